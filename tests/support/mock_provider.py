"""Calls to the mock provider, and ways to read its responses."""

from __future__ import annotations

from typing import Any

from aimanager_server.core.content import Message, Part, Role, Text
from aimanager_server.core.request import Attempt, Call, Caller, Target
from aimanager_server.core.response import Event, GenerateResult
from aimanager_server.core.stream import ResponseStream
from aimanager_server.providers.mock.provider import MockProvider
from tests.support.clock import FakeClock

DEADLINE = 2000.0
WEATHER = '[[tool: get_weather {"city":"Rome"}]]'


def user_message(*parts: Part | str) -> Message:
    return Message(Role.USER, tuple(Text(part) if isinstance(part, str) else part for part in parts))


def attempt(
    *messages: Message | str, model: str = "mock-large", options: dict[str, Any] | None = None, **fields: Any
) -> Attempt[Any]:
    """Return an attempt. `sampling`, `reasoning` and `warnings` are fields of its target, the others of its call."""
    target_fields = {name: fields.pop(name) for name in ("sampling", "reasoning", "warnings") if name in fields}
    target = Target("mock", model, options=options or {}, **target_fields)
    fields.setdefault("caller", Caller("ann"))
    fields.setdefault("deadline", DEADLINE)
    call = Call(
        id="call-1",
        requested_model="mock/latest",
        messages=tuple(user_message(message) if isinstance(message, str) else message for message in messages),
        targets=(target,),
        **fields,
    )
    return Attempt.of(call, target, 0.0, is_streamed=call.streaming)


def mock(clock: FakeClock | None = None, **options: Any) -> MockProvider:
    clock = clock or FakeClock()
    return MockProvider(options, clock, clock.sleep)


async def generate(*messages: Message | str, provider: MockProvider | None = None, **fields: Any) -> GenerateResult:
    stream = await (provider or mock())(attempt(*messages, **fields))
    return await stream.result()


async def reply_text(*messages: Message | str, provider: MockProvider | None = None, **fields: Any) -> str:
    result = await generate(*messages, provider=provider, **fields)
    return " ".join(part.text for part in result.message.parts if isinstance(part, Text))


async def stream_events(*messages: Message | str, provider: MockProvider | None = None, **fields: Any) -> list[Event]:
    stream = await (provider or mock())(attempt(*messages, streaming=True, **fields))
    return [event async for event in stream]


async def append_events(events: list[Event], stream: ResponseStream) -> None:
    """Append the events to a list, which keeps those before an error."""
    async for event in stream:
        events.append(event)
