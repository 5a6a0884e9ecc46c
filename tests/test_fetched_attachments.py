"""Attachments by address through a whole server, which fetches them only where the operator says so."""

from __future__ import annotations

from typing import Any

import pytest

from aimanager import AIManager, InvalidRequestError
from gateways import served, settings_with

LOOPBACK = "https://127.0.0.1/a.pdf?signature=canary-7Hq2mZ81xW"
OPENAI = {"api_key": "sk-canary", "wire": "chat_completions", "base_url": "http://127.0.0.1:1/v1"}


def refused(**server: Any) -> InvalidRequestError:
    settings = settings_with(server=server, providers={"openai": OPENAI})
    with (
        served(settings) as target,
        AIManager.gateway(target, model="openai/o3") as ai,
        pytest.raises(InvalidRequestError) as caught,
    ):
        ai.request("Read it", attachments=[LOOPBACK])
    return caught.value


def test_a_server_fetches_nothing_unless_told_to() -> None:
    error = refused()

    assert "takes documents as data only" in str(error)
    assert "server.fetch_attachments" in error.solution


def test_a_server_that_fetches_stays_out_of_its_own_network() -> None:
    error = refused(fetch_attachments=True)

    assert "attachments[0].uri: has a host that is not on the public internet" in str(error)
    assert "canary" not in str(error)
