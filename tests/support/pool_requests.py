"""Calls over real sockets, and the responses of a raw server."""

from __future__ import annotations

from typing import Any

from aimanager_server.core.content import Text
from aimanager_server.core.request import Attempt
from aimanager_server.core.stream import ResponseStream
from tests.support.chat_completions import collect_events, deadline_in, make_attempt, recorded
from tests.support.http_servers.raw import http_response
from tests.support.wire_cases import completed_parts

TEXT_RESPONSE = http_response(recorded("openai/text.json"))
STREAM = recorded("openai/text.sse")
SPLIT = STREAM.index(b"aus Rom")
FIRST_BYTES, REMAINING_BYTES = STREAM[:SPLIT], STREAM[SPLIT:]
EXPECTED_PARTS = (Text("Grüße aus Rom 😀."),)


def unary_attempt(seconds: float = 10) -> Attempt[Any]:
    return make_attempt(provider="upstream", deadline=deadline_in(seconds))


def streaming_attempt(seconds: float = 10) -> Attempt[Any]:
    return make_attempt(provider="upstream", streaming=True, deadline=deadline_in(seconds))


async def parts_from(stream: ResponseStream) -> object:
    return completed_parts(await collect_events(stream))
