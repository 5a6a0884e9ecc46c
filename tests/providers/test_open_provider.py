"""Providers are opened by name, or by the wire they speak."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from aimanager_server.config.providers import ProviderSettings
from aimanager_server.core.errors import MissingCredentials
from aimanager_server.providers.factory import BUILTIN, open_provider
from aimanager_server.providers.http.provider import HttpProvider
from aimanager_server.providers.mock.provider import Mock
from aimanager_server.resilience.key_pool import KeyRing
from tests.support.chat_completions import LIMITS, settings


@pytest.mark.parametrize("name", ["claude", "openai", "deepseek", "chat_completions"])
async def test_what_is_built_in_opens_by_its_name(name: str) -> None:
    provider = open_provider(name, settings(), LIMITS)

    assert isinstance(provider, HttpProvider)
    await provider.aclose()


@pytest.mark.parametrize(
    ("wire", "kind"), [("claude", HttpProvider), ("chat_completions", HttpProvider), ("mock", Mock)]
)
async def test_any_other_name_speaks_the_wire_of_its_settings(wire: str, kind: type) -> None:
    there = ProviderSettings.model_validate({"wire": wire, "base_url": "https://upstream.test/v1"})

    assert isinstance(open_provider("ours", there, LIMITS), kind)


def test_every_wire_that_settings_can_name_is_built_in() -> None:
    wires = ProviderSettings.model_json_schema()["properties"]["wire"]["enum"]

    assert set(wires) - {"plugin"} <= BUILTIN.keys()


def test_an_authority_file_that_holds_none_is_found_at_the_start(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("nothing")

    with pytest.raises(ssl.SSLError):
        open_provider("ours", settings(ca_file=file), LIMITS)


async def test_a_ring_that_is_given_is_used_even_where_it_is_empty() -> None:
    ring = KeyRing([], lambda: 0.0)
    there = settings(api_key="sk-of-the-settings", key_variable="UP_API_KEY")

    provider = open_provider("ours", there, LIMITS, ring=ring)

    with pytest.raises(MissingCredentials):
        await provider.probe()
    await provider.aclose()
