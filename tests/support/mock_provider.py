"""Questions to the mock provider, and ways to hear its answers."""

from __future__ import annotations

from typing import Any

from aimanager_server.core.content import Message, Part, Role, Text
from aimanager_server.core.request import Call, Caller, Target
from aimanager_server.core.response import Event, GenerateResult, ResponseStream
from aimanager_server.providers.mock.provider import Mock
from tests.support.calls import FakeClock

DEADLINE = 2000.0


WEATHER = '[[tool: get_weather {"city":"Rome"}]]'


def turn(*parts: Part | str) -> Message:
    return Message(Role.USER, tuple(Text(part) if isinstance(part, str) else part for part in parts))


def call(
    *messages: Message | str, model: str = "mock-large", options: dict[str, Any] | None = None, **facts: Any
) -> Call:
    """A call; `sampling` and `reasoning` go to its target."""
    decided = {name: facts.pop(name) for name in ("sampling", "reasoning", "warnings") if name in facts}
    turns = tuple(turn(message) if isinstance(message, str) else message for message in messages)
    target = Target("mock", model, options=options or {}, **decided)
    facts.setdefault("caller", Caller("ann"))
    return Call(
        id="call-1", requested_model="mock/latest", messages=turns, targets=(target,), deadline=DEADLINE, **facts
    )


def mock(clock: FakeClock | None = None, **options: Any) -> Mock:
    clock = clock or FakeClock()
    return Mock(options, clock, clock.pause)


async def answer(*messages: Message | str, provider: Mock | None = None, **facts: Any) -> GenerateResult:
    reply = await (provider or mock())(call(*messages, **facts))
    return await reply.result()


async def said(*messages: Message | str, provider: Mock | None = None, **facts: Any) -> str:
    completion = await answer(*messages, provider=provider, **facts)
    return " ".join(part.text for part in completion.message.parts if isinstance(part, Text))


async def streamed(*messages: Message | str, provider: Mock | None = None, **facts: Any) -> list[Event]:
    reply = await (provider or mock())(call(*messages, streaming=True, **facts))
    return [event async for event in reply]


async def into(seen: list[Event], reply: ResponseStream) -> None:
    """Read a reply to its end, whichever it is."""
    async for event in reply:
        seen.append(event)
