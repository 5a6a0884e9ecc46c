"""Response events, and the complete response that they build."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from .attempts import AttemptRecord
from .content import Artifact, Message, Part, Role
from .errors import ProviderProtocolError
from .usage import Cost, Usage, UsageSource
from .value import dataclass


class FinishReason(StrEnum):
    """Reason why the model stopped."""

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
    """Additional text of the part at `index`."""

    index: int
    text: str


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """Additional reasoning of the part at `index`."""

    index: int
    text: str


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """A fragment of the tool call at `index`: id and name in the first delta, then pieces of the arguments."""

    index: int
    id: str
    name: str
    arguments_json: str


@dataclass(frozen=True, slots=True)
class PartCompleted:
    """The complete part at `index`. Indices count up from 0 without gaps; all parts complete before `Finished`."""

    index: int
    part: Part


@dataclass(frozen=True, slots=True)
class ArtifactExtracted:
    """An artifact extracted from the answer. The parts it was extracted from are unchanged."""

    artifact: Artifact


@dataclass(frozen=True, slots=True)
class Finished:
    """The completion event: the last event, based on the provider's own end marker. A stream without it is incomplete.

    `cost` is None if the price is unknown. `latency` is in seconds and set by the telemetry layer. `structured_json` is
    the validated JSON answer, empty if no output format was requested or the answer was truncated. `is_empty` means
    that the provider sent an answer without content on purpose, so that none was lost.
    """

    reason: FinishReason
    provider_reason: str = ""
    usage: Usage = Usage()
    cost: Cost | None = None
    latency: float = 0.0
    structured_json: str = ""
    is_empty: bool = False

    def with_totals(self, usage: Usage, cost: Cost | None, latency: float) -> Finished:
        """Return the event with other totals; every call does this, and `replace` takes five times as long."""
        return Finished(self.reason, self.provider_reason, usage, cost, latency, self.structured_json, self.is_empty)

    def without_cost(self, latency: float) -> Finished:
        """Return the event of a call for which no provider was called."""
        currency = "USD" if self.cost is None else self.cost.currency
        return self.with_totals(Usage(source=UsageSource.REPORTED), Cost(0, 0, currency, estimated=False), latency)


@dataclass(frozen=True, slots=True)
class ReasoningProgress:
    """Progress of reasoning that the provider does not show."""


@dataclass(frozen=True, slots=True)
class SettingWarning:
    """A requested option that was changed or ignored; `message` names what was done instead."""

    field: str
    message: str


class CacheStatus(StrEnum):
    """Where a response comes from.

    Generated for this call; the stored one of a call with the same idempotency key, or of an equal request; or that of
    an equal request in flight.
    """

    MISS = "miss"
    IDEMPOTENT_REPLAY = "idempotent_replay"
    HIT = "hit"
    COALESCED = "coalesced"


@dataclass(slots=True)
class ResponseMetadata:
    """Facts about a response, available with its first content. `time_to_first_token` is in seconds.

    `attempts` is the log of the call, which grows until the call has ended. `conversation_id` names the conversation
    that the response is added to. `saved_cost` is what a response from the cache cost when it was generated, None if
    its price is unknown, and `generated_at` the Unix time of its end.
    """

    id: str
    requested_model: str
    provider: str
    model: str
    attempts: Sequence[AttemptRecord] = ()
    warnings: tuple[SettingWarning, ...] = ()
    time_to_first_token: float = 0.0
    cache_status: CacheStatus = CacheStatus.MISS
    conversation_id: str = ""
    saved_cost: Cost | None = None
    generated_at: float | None = None


@dataclass(frozen=True, slots=True)
class Restarted:
    """The response restarts with new metadata; discard all events received before."""

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
    """A complete response."""

    metadata: ResponseMetadata
    message: Message
    finished: Finished
    artifacts: tuple[Artifact, ...] = ()


class ResponseBuilder:
    """Builds a complete response from its events."""

    __slots__ = ("_metadata", "artifacts", "finished", "parts")

    def __init__(self) -> None:
        self.parts: dict[int, Part] = {}
        self.artifacts: list[Artifact] = []
        self.finished: Finished | None = None
        self._metadata: ResponseMetadata | None = None

    def add(self, event: Event) -> None:
        """Add an event. Deltas are ignored, since the completed parts repeat their content."""
        if isinstance(event, PartCompleted):
            self.parts[event.index] = event.part
        elif isinstance(event, ArtifactExtracted):
            self.artifacts.append(event.artifact)
        elif isinstance(event, Finished):
            self.finished = event
        elif isinstance(event, Restarted):
            self.parts, self.artifacts, self._metadata = {}, [], event.metadata

    def result(self, metadata: ResponseMetadata) -> GenerateResult:
        """Return the complete response, with `metadata` or that of the last restart.

        Raises ProviderProtocolError if no completion event was added.
        """
        metadata = self._metadata or metadata
        if self.finished is None:
            raise ProviderProtocolError("The stream ended without a completion event.", provider=metadata.provider)
        parts = tuple(self.parts[index] for index in sorted(self.parts))
        message = Message(Role.ASSISTANT, parts, metadata.provider, metadata.model)
        return GenerateResult(metadata, message, self.finished, tuple(self.artifacts))
