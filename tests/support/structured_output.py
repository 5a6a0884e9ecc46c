"""Calls that request JSON, and upstreams with valid and invalid answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from aimanager_server.core import errors
from aimanager_server.core.content import JsonSchemaFormat, OutputFormat, Text
from aimanager_server.core.errors import FieldViolation
from aimanager_server.core.handler import CallHandler
from aimanager_server.core.request import Attempt, Call, Target
from aimanager_server.core.response import Event, Finished, FinishReason, PartCompleted, TextDelta
from aimanager_server.core.stream import ResponseStream
from aimanager_server.core.usage import Cost
from aimanager_server.pipeline.dispatch import Dispatch
from aimanager_server.pipeline.structured_output import EnforceOutputFormat, OnValidated
from aimanager_server.structured_output.validator import ValidationResult
from tests.support.calls import TARGET, make_call
from tests.support.clock import FakeClock
from tests.support.layers import retrying
from tests.support.upstream import USAGE, ScriptedUpstream

SCHEMA = JsonSchemaFormat(
    "city", '{"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}'
)
VALID, INVALID = '{"city": "Rome"}', '{"town": "Rome"}'
EMULATING = replace(TARGET, emulates_format=True)
UNSUPPORTED = errors.CapabilityUnsupported("no", violations=(FieldViolation("output_format", "no"),))


def answer(text: str, reason: FinishReason = FinishReason.STOP, cost: Cost | None = None) -> tuple[Event, ...]:
    """Return the events of an answer with one text part, or with none if the text is empty."""
    finished = Finished(reason, reason.value, USAGE, cost)
    return (TextDelta(0, text), PartCompleted(0, Text(text)), finished) if text else (finished,)


def json_call(target: Target = TARGET, output_format: OutputFormat | None = SCHEMA, **fields: Any) -> Call:
    return make_call(targets=(target,), output_format=output_format, **fields)


class ProviderUpstream(ScriptedUpstream):
    """A scripted provider. `requests` are the attempts as they were sent."""

    async def probe(self) -> None: ...

    async def aclose(self) -> None: ...


class LimitedUpstream(ProviderUpstream):
    """Rejects output formats of other types than those it `accepts`, as a wire does."""

    def __init__(self, *outcomes: Any, accepts: tuple[type, ...]) -> None:
        super().__init__(*outcomes)
        self._accepts = accepts
        self.rejections = 0

    async def __call__(self, request: Call | Attempt[Any]) -> ResponseStream:
        if not isinstance(request.output_format, self._accepts):
            self.rejections += 1
            raise UNSUPPORTED
        return await super().__call__(request)


async def run_at_once(caller: str, validate: Callable[[], ValidationResult]) -> ValidationResult:
    """Validate in place of a thread."""
    return validate()


def enforcing(upstream: ProviderUpstream, on_validated: OnValidated = lambda *_: None, **options: Any) -> CallHandler:
    """Return the retry loop over the layer, accounting and the upstream, which is the provider "mock"."""
    clock = FakeClock()
    layer = EnforceOutputFormat(clock, run_at_once, on_validated)
    return retrying(clock, Dispatch({"mock": upstream}), [layer], **options)


async def enforce(call: Call, upstream: ProviderUpstream) -> list[Event]:
    """Return the events after the retry loop."""
    return [event async for event in await enforcing(upstream)(call)]
