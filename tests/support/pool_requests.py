"""Questions over real sockets, and the answers a raw server gives."""

from __future__ import annotations

from aimanager_server.core.content import Text
from aimanager_server.core.request import Call
from aimanager_server.core.response import ResponseStream
from tests.support.chat_completions import events_of, fixture, parts_of, question, soon
from tests.support.http_servers.raw import http

TEXT = http(fixture("openai/text.json"))
STREAM = fixture("openai/text.sse")
SPLIT = STREAM.index(b"aus Rom")
BEGUN, REST = STREAM[:SPLIT], STREAM[SPLIT:]
SAID = (Text("Grüße aus Rom 😀."),)


def whole(seconds: float = 10) -> Call:
    return question(provider="upstream", deadline=soon(seconds))


def streamed(seconds: float = 10) -> Call:
    return question(provider="upstream", streaming=True, deadline=soon(seconds))


async def said_by(reply: ResponseStream) -> object:
    return parts_of(await events_of(reply))
