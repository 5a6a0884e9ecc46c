"""Attachments by URL end to end: the server fetches them only if configured, and never from its own network."""

from __future__ import annotations

from typing import Any

import pytest

from aimanager import AIManager, InvalidRequestError
from tests.support.gateway import settings_with, started_gateway

LOOPBACK = "https://127.0.0.1/a.pdf?signature=canary-7Hq2mZ81xW"
OPENAI = {"api_key": "sk-canary", "wire": "chat_completions", "base_url": "http://127.0.0.1:1/v1"}


def rejection_of_a_loopback_url(**server: Any) -> InvalidRequestError:
    settings = settings_with(server=server, providers={"openai": OPENAI})
    with (
        started_gateway(settings) as target,
        AIManager.gateway(target, model="openai/o3") as ai,
        pytest.raises(InvalidRequestError) as caught,
    ):
        ai.request("Read it", attachments=[LOOPBACK])
    return caught.value


def test_attachments_are_not_fetched_by_default() -> None:
    error = rejection_of_a_loopback_url()

    assert "accepts documents only as data" in str(error)
    assert "server.fetch_attachments" in error.solution


def test_attachments_are_not_fetched_from_private_addresses() -> None:
    error = rejection_of_a_loopback_url(fetch_attachments=True)

    assert "public" in str(error)
    assert "canary" not in str(error)
