"""Questions that ask for JSON, and upstreams that give it or do not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from aimanager_server.core import errors
from aimanager_server.core.content import JsonSchemaFormat, OutputFormat, Text
from aimanager_server.core.errors import FieldViolation
from aimanager_server.core.request import Call, Target
from aimanager_server.core.response import Event, Finished, FinishReason, PartCompleted, ResponseStream, TextDelta
from aimanager_server.core.usage import Cost
from aimanager_server.pipeline.structured_output import Conform
from tests.support.calls import TARGET, USAGE, FakeClock, Upstream, call

SCHEMA = JsonSchemaFormat(
    "city", '{"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}'
)
GOOD, BAD = '{"city": "Rome"}', '{"town": "Rome"}'
EMULATING = replace(TARGET, emulates_format=True)
REFUSED = errors.CapabilityUnsupported("no", violations=(FieldViolation("output_format", "no"),))


def saying(text: str, reason: FinishReason = FinishReason.STOP, cost: Cost | None = None) -> tuple[Event, ...]:
    finished = Finished(reason, reason.value, USAGE, cost)
    return (TextDelta(0, text), PartCompleted(0, Text(text)), finished) if text else (finished,)


def question(target: Target = TARGET, wanted: OutputFormat | None = SCHEMA, **facts: Any) -> Call:
    return call(targets=(target,), output_format=wanted, **facts)


class Bounded(Upstream):
    """Refuses to be asked for what it does not know, as a dialect does."""

    def __init__(self, *outcomes: Any, takes: tuple[type, ...]) -> None:
        super().__init__(*outcomes)
        self._takes = takes
        self.refused = 0

    async def __call__(self, call: Call) -> ResponseStream:
        if not isinstance(call.output_format, self._takes):
            self.refused += 1
            raise REFUSED
        return await super().__call__(call)


async def conformed(asked: Call, upstream: Upstream) -> list[Event]:
    reply = await Conform(FakeClock())(asked, upstream)
    return [event async for event in reply]
