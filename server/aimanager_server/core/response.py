"""An answer on its way: the events it is made of, and the Reply that carries them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum

from .attempts import AttemptRecord
from .content import Artifact, Message, Part, Role
from .errors import ProviderProtocolError
from .usage import Cost, Usage


class FinishReason(StrEnum):
    """Why the model stopped."""

    STOP = "stop"
    MAX_TOKENS = "max_tokens"
    TOOL_CALLS = "tool_calls"
    CONTENT_FILTER = "content_filter"
    REFUSAL = "refusal"
    CONTEXT_WINDOW = "context_window"
    PAUSED = "paused"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class TextDelta:
    """More text of the part at `index`."""

    index: int
    text: str


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """More reasoning of the part at `index`."""

    index: int
    text: str


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """More of the tool call at `index`: id and name on its first delta, then fragments of the arguments."""

    index: int
    id: str
    name: str
    arguments_json: str


@dataclass(frozen=True, slots=True)
class PartCompleted:
    """The part at `index` is whole. Indices are dense from 0; every part is completed before `Finished`."""

    index: int
    part: Part


@dataclass(frozen=True, slots=True)
class ArtifactExtracted:
    """A deliverable was lifted out of the answer; the parts it came from say the same as without it."""

    artifact: Artifact


@dataclass(frozen=True, slots=True)
class Finished:
    """The provider's own terminal evidence, and the last event. Without it an answer is not complete.

    `cost` is None where no price is known; `latency` (seconds) is filled in on the way out. `structured_json` is the
    answer as JSON that was found to be what was asked for, empty where none was asked for or the answer was cut.
    """

    reason: FinishReason
    provider_reason: str = ""
    usage: Usage = Usage()
    cost: Cost | None = None
    latency: float = 0.0
    structured_json: str = ""


@dataclass(frozen=True, slots=True)
class ReasoningProgress:
    """The model thinks where nobody can see it: progress, but nothing to show."""


@dataclass(frozen=True, slots=True)
class SettingWarning:
    """A setting that was not honoured as asked, and what was done instead."""

    field: str
    message: str


@dataclass(frozen=True, slots=True)
class ResponseMetadata:
    """What is known of an answer once its first content is there. `time_to_first_token` is in seconds."""

    id: str
    requested_model: str
    provider: str
    model: str
    attempts: tuple[AttemptRecord, ...] = ()
    warnings: tuple[SettingWarning, ...] = ()
    time_to_first_token: float = 0.0
    from_cache: bool = False


@dataclass(frozen=True, slots=True)
class Restarted:
    """The answer begins again under another head: everything before it is void."""

    metadata: ResponseMetadata


Event = (
    TextDelta
    | ReasoningDelta
    | ToolCallDelta
    | PartCompleted
    | ArtifactExtracted
    | ReasoningProgress
    | Restarted
    | Finished
)


@dataclass(frozen=True, slots=True)
class GenerateResult:
    """A whole answer."""

    metadata: ResponseMetadata
    message: Message
    finished: Finished
    artifacts: tuple[Artifact, ...] = ()


class ResponseBuilder:
    """Adds up the events of one answer."""

    __slots__ = ("_metadata", "artifacts", "finished", "parts")

    def __init__(self) -> None:
        self.parts: dict[int, Part] = {}
        self.artifacts: list[Artifact] = []
        self.finished: Finished | None = None
        self._metadata: ResponseMetadata | None = None

    def add(self, event: Event) -> None:
        """Take note of an event; previews are passed over, since the parts say the same."""
        if isinstance(event, PartCompleted):
            self.parts[event.index] = event.part
        elif isinstance(event, ArtifactExtracted):
            self.artifacts.append(event.artifact)
        elif isinstance(event, Finished):
            self.finished = event
        elif isinstance(event, Restarted):
            self.parts, self.artifacts, self._metadata = {}, [], event.metadata

    def result(self, metadata: ResponseMetadata) -> GenerateResult:
        """The whole answer, under the head it began with or the last it restarted with.

        Raises ProviderProtocol where it did not come to its end.
        """
        metadata = self._metadata or metadata
        if self.finished is None:
            raise ProviderProtocolError("The answer ended without its end.", provider=metadata.provider)
        parts = tuple(self.parts[index] for index in sorted(self.parts))
        message = Message(Role.ASSISTANT, parts, metadata.provider, metadata.model)
        return GenerateResult(metadata, message, self.finished, tuple(self.artifacts))


class ResponseStream:
    """An answer that has begun: iterate it once, to the end, or close it.

    Whoever holds a Reply and stops reading closes it; `close` reaches the upstream connection even where nothing was
    read yet, which closing an async generator that was never started would not. `spent` tells the usage so far, None
    where the provider has not said.
    """

    __slots__ = ("_close", "_events", "metadata", "usage_so_far")

    def __init__(
        self,
        metadata: ResponseMetadata,
        events: AsyncIterator[Event],
        close: Callable[[], Awaitable[None]],
        usage_so_far: Callable[[], Usage | None] = lambda: None,
    ) -> None:
        self.metadata = metadata
        self._events = events
        self._close = close
        self.usage_so_far = usage_so_far

    def __aiter__(self) -> AsyncIterator[Event]:
        return self._events

    async def aclose(self) -> None:
        """Give up the rest. Safe to call twice, and after the end."""
        await self._close()

    def map_events(self, transform: Callable[[AsyncIterator[Event]], AsyncIterator[Event]]) -> ResponseStream:
        """The same answer, its events seen by `watch` on the way. Closing closes this Reply too."""
        return ResponseStream(self.metadata, transform(self._events), self._close, self.usage_so_far)

    def on_end(self, callback: Callable[[], None]) -> ResponseStream:
        """The same answer; `end` is called when it has ended, failed or was closed, at least once."""

        async def watched() -> AsyncIterator[Event]:
            try:
                async for event in self._events:
                    yield event
            finally:
                callback()

        async def close() -> None:
            try:
                await self._close()
            finally:
                callback()

        return ResponseStream(self.metadata, watched(), close, self.usage_so_far)

    def with_metadata(self, metadata: ResponseMetadata) -> ResponseStream:
        """The same answer under another head."""
        return ResponseStream(metadata, self._events, self._close, self.usage_so_far)

    async def result(self) -> GenerateResult:
        """Read to the end and fold the events into a whole answer; the Reply is closed however this ends."""
        collected = ResponseBuilder()
        try:
            async for event in self._events:
                collected.add(event)
        finally:
            await self.aclose()
        return collected.result(self.metadata)
