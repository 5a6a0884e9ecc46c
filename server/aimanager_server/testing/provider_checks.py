"""Checks for authors of provider plug-ins."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from ..catalog.model import Capability, SupportLevel
from ..config.provider_defaults import PLUGIN_WIRE
from ..config.providers import ProviderSettings
from ..core.content import Message, Role, Text
from ..core.errors import GatewayError
from ..core.handler import AttemptHandler
from ..core.request import Attempt, Call, Caller, Target
from ..core.response import (
    Event,
    Finished,
    GenerateResult,
    PartCompleted,
    ReasoningDelta,
    ResponseBuilder,
    ResponseMetadata,
    Restarted,
    TextDelta,
    ToolCallDelta,
)
from ..core.usage import UsageSource
from ..providers.factory import open_transport
from ..providers.plugins.api import NativePlugin, Transport, plugin_problems

CALL_TIMEOUT_SECONDS = 30.0
CLOSE_TIMEOUT_SECONDS = 1.0
UNKNOWN_MODEL = "no-such-model-anywhere"


async def check_provider(
    plugin: NativePlugin,
    *,
    settings: Mapping[str, Any] | None = None,
    transport: Transport | None = None,
    model: str = "",
    prompt: str = "Say hello.",
) -> None:
    """Raise AssertionError with everything the gateway would reject about a plug-in. Best run against a fake provider.

    `settings` are those of [providers.NAME]; `transport` replaces the connection to `base_url`. `model` is the model to
    call, by default the first that the plug-in lists. It must answer `prompt` with the same structure every time.

    Example: `asyncio.run(check_provider(MyProvider(), settings={"api_key": "test"}))`
    """
    problems = list(plugin_problems(plugin))
    if problems:
        raise AssertionError(_report(problems))
    async with _open(plugin, settings or {}, transport) as handler:
        check = _ProviderCheck(plugin, handler, prompt)
        await check.check_models()
        await check.check_calls(model)
    if check.problems:
        raise AssertionError(_report(check.problems))


@asynccontextmanager
async def _open(
    plugin: NativePlugin, values: Mapping[str, Any], transport: Transport | None
) -> AsyncIterator[AttemptHandler]:
    settings = ProviderSettings.model_validate({"wire": PLUGIN_WIRE, **values})
    used = transport or open_transport(plugin.name, settings)
    try:
        yield plugin.open(settings, used, time.monotonic)
    finally:
        await used.aclose()


class _ProviderCheck:
    """One run of the checks; `problems` collects their findings."""

    def __init__(self, plugin: NativePlugin, handler: AttemptHandler, prompt: str) -> None:
        self._plugin = plugin
        self._handler = handler
        self._prompt = prompt
        self._models: list[str] = []
        self.problems: list[str] = []

    async def check_models(self) -> None:
        self._models = list(await self._plugin.models())
        if not all(isinstance(model, str) and model for model in self._models):
            self.problems.append("models() must return non-empty strings")
        elif len(set(self._models)) != len(self._models):
            self.problems.append("models() returns a duplicate id")
        for model in self._models:
            for capability, level in self._plugin.capabilities(model).items():
                if not (isinstance(capability, Capability) and isinstance(level, SupportLevel)):
                    self.problems.append(
                        f"capabilities({model!r}) must map Capability to SupportLevel, got {capability!r}: {level!r}"
                    )

    async def check_calls(self, model: str) -> None:
        model = model or next(iter(self._models), "")
        if not model:
            self.problems.append("models() is empty: pass the model to call")
            return
        unary = await self._result(model, streaming=False)
        streamed = await self._result(model, streaming=True)
        if unary is not None and streamed is not None:
            self._compare(unary, streamed)
        await self._check_close(model)
        await self._check_error(UNKNOWN_MODEL)

    async def _result(self, model: str, *, streaming: bool) -> GenerateResult | None:
        subject = "the streamed response" if streaming else "the unary response"
        try:
            async with asyncio.timeout(CALL_TIMEOUT_SECONDS):
                stream = await self._handler(self._attempt(model, streaming=streaming))
                events = [event async for event in stream]
                await stream.aclose()
                await stream.aclose()  # must be idempotent
        except GatewayError as error:
            self.problems.append(f"{subject} failed with {error.reason}: {error.message}")
            return None
        problems = list(_event_problems(events))
        self.problems += [f"{subject} {problem}" for problem in problems]
        return None if problems else _fold(stream.metadata, events)

    def _compare(self, unary: GenerateResult, streamed: GenerateResult) -> None:
        parts = [[type(part).__name__ for part in result.message.parts] for result in (unary, streamed)]
        if parts[0] != parts[1]:
            self.problems.append(f"unary and streamed responses have different parts: {parts[0]} and {parts[1]}")
        reasons = unary.finished.reason, streamed.finished.reason
        if reasons[0] is not reasons[1]:
            values = f"{reasons[0].value} and {reasons[1].value}"
            self.problems.append(f"unary and streamed responses have different finish reasons: {values}")

    async def _check_close(self, model: str) -> None:
        """Close a stream after its first event; that must be quick and leave no task behind."""
        before = asyncio.all_tasks()
        try:
            stream = await self._handler(self._attempt(model, streaming=True))
            await stream.read()
        except GatewayError:
            return  # already reported by the check of the streamed response
        try:
            await asyncio.wait_for(stream.aclose(), CLOSE_TIMEOUT_SECONDS)
        except TimeoutError:
            self.problems.append(f"closing a stream must take at most {CLOSE_TIMEOUT_SECONDS:g} s")
        await asyncio.sleep(0)
        remaining = asyncio.all_tasks() - before
        if remaining:
            self.problems.append(f"closing a stream leaves {len(remaining)} tasks running")

    async def _check_error(self, model: str) -> None:
        """Call a model that does not exist; only a GatewayError or a timeout may be raised."""
        try:
            async with asyncio.timeout(CALL_TIMEOUT_SECONDS):
                stream = await self._handler(self._attempt(model, streaming=False))
                await stream.result()
        except (GatewayError, TimeoutError):
            pass
        # Any other exception is the finding.
        except Exception as error:
            self.problems.append(f"a call of an unknown model must raise GatewayError, got {type(error).__name__}")

    def _attempt(self, model: str, *, streaming: bool) -> Attempt[Any]:
        call = Call(
            id="check",
            caller=Caller(),
            requested_model=f"{self._plugin.name}/{model}",
            messages=(Message(Role.USER, (Text(self._prompt),)),),
            targets=(Target(self._plugin.name, model),),
            deadline=time.monotonic() + CALL_TIMEOUT_SECONDS,
            streaming=streaming,
        )
        return Attempt.of(call, call.target, time.monotonic(), is_streamed=streaming)


def _event_problems(events: Sequence[Event]) -> Iterator[str]:
    finished = [index for index, event in enumerate(events) if isinstance(event, Finished)]
    if finished != [len(events) - 1]:
        yield "must end with exactly one Finished event"
    completed = [event for event in events if isinstance(event, PartCompleted)]
    if sorted(event.index for event in completed) != list(range(len(completed))):
        yield "must complete each part once, with indices 0, 1, 2 …"
    if any(isinstance(event, Restarted) for event in events):
        yield "must not contain Restarted events, which only the gateway emits"
    for event in completed:
        deltas = "".join(_delta_text(delta) for delta in events if getattr(delta, "index", None) == event.index)
        text = getattr(event.part, "text", getattr(event.part, "arguments_json", ""))
        if deltas and deltas != text:
            yield f"has deltas of part {event.index} that do not add up to the part"
    last = events[-1] if events else None
    if isinstance(last, Finished) and (last.usage.source is UsageSource.MISSING or not last.usage.input_tokens):
        yield "must report token usage"


def _delta_text(event: Event) -> str:
    match event:
        case TextDelta() | ReasoningDelta():
            return event.text
        case ToolCallDelta():
            return event.arguments_json
    return ""


def _fold(metadata: ResponseMetadata, events: Sequence[Event]) -> GenerateResult:
    builder = ResponseBuilder()
    for event in events:
        builder.add(event)
    return builder.result(metadata)


def _report(problems: Sequence[str]) -> str:
    return "\n".join(["The plug-in does not meet the gateway's requirements:", *(f"- {one}" for one in problems)])
