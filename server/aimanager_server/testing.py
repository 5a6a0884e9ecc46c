"""For authors of plug-ins: `check_provider` proves that a plug-in keeps what the gateway expects of a provider."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from .catalog.model import Capability, Level
from .config.plugins import WIRE
from .config.providers import ProviderSettings
from .core.content import Message, Role, Text
from .core.errors import GatewayError
from .core.handler import Handler
from .core.request import Call, Caller, Target
from .core.response import (
    Event,
    Finished,
    GenerateResult,
    PartCompleted,
    ReasoningDelta,
    ResponseStream,
    Restarted,
    TextDelta,
    ToolCallDelta,
)
from .core.usage import UsageSource
from .providers.factory import open_transport
from .providers.http.transport import PooledTransport
from .providers.plugins.api import ProviderPlugin, Transport, defects

CALL_SECONDS = 30.0
CLOSE_SECONDS = 1.0
UNKNOWN_MODEL = "no-such-model-anywhere"


async def check_provider(
    plugin: ProviderPlugin,
    *,
    settings: Mapping[str, Any] | None = None,
    transport: Transport | None = None,
    model: str = "",
    question: str = "Say hello.",
) -> None:
    """Raises AssertionError with everything that is wrong; best run against a fake of the provider.

    `settings` are those of [providers.NAME]; `transport` reaches the fake where `base_url` does not; without `model`
    the first that the plug-in lists is asked. The answer to the question has to be the same each time, but for words.
    """
    found = list(defects(plugin))
    if found:
        raise AssertionError(_told(found))
    async with _opened(plugin, settings or {}, transport) as handler:
        check = _Check(plugin, handler, question)
        await check.models()
        await check.answers(model)
    if check.found:
        raise AssertionError(_told(check.found))


@asynccontextmanager
async def _opened(
    plugin: ProviderPlugin, said: Mapping[str, Any], transport: Transport | None
) -> AsyncIterator[Handler]:
    settings = ProviderSettings.model_validate({"wire": WIRE, **said})
    used = transport or PooledTransport(open_transport(plugin.name, settings))
    try:
        yield plugin.open(settings, used, time.monotonic)
    finally:
        await used.aclose()


class _Check:
    """One run. `found` says what is wrong so far."""

    def __init__(self, plugin: ProviderPlugin, handler: Handler, question: str) -> None:
        self._plugin = plugin
        self._handler = handler
        self._question = question
        self._listed: list[str] = []
        self.found: list[str] = []

    async def models(self) -> None:
        self._listed = list(await self._plugin.models())
        if not all(isinstance(model, str) and model for model in self._listed):
            self.found.append("models() lists something that is no id")
        elif len(set(self._listed)) != len(self._listed):
            self.found.append("models() lists an id twice")
        for model in self._listed:
            for capability, level in self._plugin.capabilities(model).items():
                if not (isinstance(capability, Capability) and isinstance(level, Level)):
                    self.found.append(
                        f"capabilities({model!r}) holds {capability!r}: {level!r}, no Capability and Level"
                    )

    async def answers(self, model: str) -> None:
        model = model or next(iter(self._listed), "")
        if not model:
            self.found.append("models() is empty: name a model to ask")
            return
        whole = await self._completion(model, streaming=False)
        streamed = await self._completion(model, streaming=True)
        if whole is not None and streamed is not None:
            self._compare(whole, streamed)
        await self._closes(model)
        await self._fails(UNKNOWN_MODEL)

    async def _completion(self, model: str, *, streaming: bool) -> GenerateResult | None:
        what = "the streamed answer" if streaming else "the whole answer"
        try:
            async with asyncio.timeout(CALL_SECONDS):
                reply = await self._handler(self._call(model, streaming=streaming))
                events = [event async for event in reply]
                await reply.aclose()
                await reply.aclose()
        except GatewayError as fault:
            self.found.append(f"{what} failed with {fault.reason}: {fault.message}")
            return None
        flaws = list(_flaws(events))
        self.found += [f"{what} {flaw}" for flaw in flaws]
        return None if flaws else await _again(reply, events)

    def _compare(self, whole: GenerateResult, streamed: GenerateResult) -> None:
        kinds = [[type(part).__name__ for part in one.message.parts] for one in (whole, streamed)]
        if kinds[0] != kinds[1]:
            self.found.append(f"whole and streamed answers differ: {kinds[0]} and {kinds[1]}")
        if whole.finished.reason is not streamed.finished.reason:
            reasons = f"{whole.finished.reason.value} and {streamed.finished.reason.value}"
            self.found.append(f"whole and streamed answers end differently: {reasons}")

    async def _closes(self, model: str) -> None:
        """A reply that is put down after its first event leaves nothing behind."""
        before = asyncio.all_tasks()
        try:
            reply = await self._handler(self._call(model, streaming=True))
            await anext(aiter(reply))
        except (GatewayError, StopAsyncIteration):
            return  # told by the streamed answer
        try:
            await asyncio.wait_for(reply.aclose(), CLOSE_SECONDS)
        except TimeoutError:
            self.found.append(f"closing an answer takes longer than {CLOSE_SECONDS:g} s")
        await asyncio.sleep(0)
        left = asyncio.all_tasks() - before
        if left:
            self.found.append(f"an answer that was closed leaves {len(left)} tasks running")

    async def _fails(self, model: str) -> None:
        """What cannot be answered is a Fault, from the await or from the events."""
        try:
            async with asyncio.timeout(CALL_SECONDS):
                reply = await self._handler(self._call(model, streaming=False))
                await reply.result()
        except (GatewayError, TimeoutError):
            pass
        # Whatever else comes is the finding.
        except Exception as error:
            self.found.append(f"a model that does not exist raises {type(error).__name__}; accepted is a GatewayError")

    def _call(self, model: str, *, streaming: bool) -> Call:
        return Call(
            id="check",
            caller=Caller(),
            requested_model=f"{self._plugin.name}/{model}",
            messages=(Message(Role.USER, (Text(self._question),)),),
            targets=(Target(self._plugin.name, model),),
            deadline=time.monotonic() + CALL_SECONDS,
            streaming=streaming,
        )


def _flaws(events: list[Event]) -> list[str]:
    found: list[str] = []
    ends = [place for place, event in enumerate(events) if isinstance(event, Finished)]
    if ends != [len(events) - 1]:
        found.append("does not end with the one event Finished")
    whole = [event for event in events if isinstance(event, PartCompleted)]
    if sorted(event.index for event in whole) != list(range(len(whole))):
        found.append("does not number its parts 0, 1, 2 …, each completed once")
    if any(isinstance(event, Restarted) for event in events):
        found.append("says that it restarts, which is for the gateway to say")
    for event in whole:
        said = "".join(_fragment(one) for one in events if getattr(one, "index", None) == event.index)
        text = getattr(event.part, "text", getattr(event.part, "arguments_json", ""))
        if said and said != text:
            found.append(f"has deltas of part {event.index} that do not add up to it")
    last = events[-1] if events else None
    if isinstance(last, Finished) and (last.usage.source is UsageSource.MISSING or not last.usage.input_tokens):
        found.append("has no usage: the tokens that it took")
    return found


def _fragment(event: Event) -> str:
    match event:
        case TextDelta() | ReasoningDelta():
            return event.text
        case ToolCallDelta():
            return event.arguments_json
    return ""


async def _again(reply: ResponseStream, events: list[Event]) -> GenerateResult:
    async def said() -> AsyncIterator[Event]:
        for event in events:
            yield event

    async def nothing() -> None: ...

    return await ResponseStream(reply.metadata, said(), nothing).result()


def _told(found: list[str]) -> str:
    return "\n".join(["The plug-in is not ready:", *(f"- {flaw}" for flaw in found)])
