"""Interpret the messages of a stream, without I/O: events, response pieces and the final response."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ..errors import AIError, StreamInterruptedError
from ..types.artifact import Artifact
from ..types.response import AIResponse
from ..types.stream_events import Event, Restarted
from ..types.usage import Attempt
from ..v1.content_pb2 import Message, Part, Reasoning, Role
from ..v1.generation_pb2 import GenerateResponse, PartCompleted, PartDelta, StreamGenerateResponse, StreamStarted

LOST_CONNECTION = ("UNAVAILABLE", "INTERNAL", "UNKNOWN")
"""Reasons of errors without details of the gateway: gRPC ended the stream, not the gateway."""


class PartialParts:
    """The parts of a response so far, by index: deltas of a part that is still open, and completed parts."""

    def __init__(self) -> None:
        self._deltas: dict[int, list[PartDelta]] = {}
        self._completed: dict[int, Part] = {}

    def add(self, delta: PartDelta) -> None:
        """Add a delta. Tool calls are left out until they are complete, as only then they may run."""
        if delta.WhichOneof("delta") in ("text", "reasoning"):
            self._deltas.setdefault(delta.index, []).append(delta)

    def complete(self, completed: PartCompleted) -> None:
        """Replace the deltas of a part."""
        self._deltas.pop(completed.index, None)
        self._completed[completed.index] = completed.part

    def read(self) -> list[Part]:
        """Return the parts in order."""
        parts = dict(self._completed)
        for index, deltas in self._deltas.items():
            text = "".join(delta.text for delta in deltas)
            reasoning = "".join(delta.reasoning for delta in deltas)
            parts[index] = Part(reasoning=Reasoning(text=reasoning)) if reasoning else Part(text=text)
        return [parts[index] for index in sorted(parts)]


class StreamState:
    """What a stream has delivered so far. The sync and the async stream share it."""

    def __init__(self) -> None:
        self._started = StreamStarted()
        self._previewed: set[int] = set()
        self._reading = False
        # No exception is stored here: its traceback would keep a dropped stream, and so its call, alive.
        self._pending_restart: Restarted | None = None
        self._outcome: AIResponse | AIError | None = None
        self._has_messages = False
        self.waited: tuple[Attempt, ...] = ()
        """The client's own attempts before the stream, which the gateway's rate limit rejected."""
        self._parts = PartialParts()

    def begin_reading(self) -> None:
        """Note that a reader starts. Raises RuntimeError for a second reader, unless the stream restarted since."""
        if self._reading and not self.awaits_new_reader:
            raise RuntimeError("a stream can be read only once: keep what it yields, or send the request again")
        self._reading, self._pending_restart = True, None

    @property
    def awaits_new_reader(self) -> bool:
        """Whether a reader ended at a restart and no other has started to read the new response."""
        return self._pending_restart is not None

    @property
    def has_outcome(self) -> bool:
        """Whether the response or the error of the stream is known."""
        return self._outcome is not None

    def abandon_restart(self) -> None:
        """Record the interruption as the outcome if the restarted response is not read."""
        if self._pending_restart is not None:
            self._outcome, self._pending_restart = _interruption(self._pending_restart), None

    def event(self, message: StreamGenerateResponse, read: Callable[[GenerateResponse], AIResponse]) -> Event | None:
        """Return the event of a message, or None for a type that this client does not support."""
        kind = message.WhichOneof("event")
        self._has_messages = True
        if kind == "delta":
            self._parts.add(message.delta)
            return message.delta
        if kind == "part_completed":
            self._parts.complete(message.part_completed)
            return message.part_completed
        if kind == "completed":
            response = read(message.completed)
            self._outcome = AIResponse.from_proto(response.proto, response.output, self.waited)
            return self._outcome
        if kind == "artifact":
            return Artifact(message.artifact)
        if kind == "restarted":
            self._previewed.clear()
            self._parts = PartialParts()
            self._started = StreamStarted(id=self._started.id, execution=message.restarted.execution)
            return Restarted(message.restarted)
        if kind == "started":
            self._started = message.started
        return getattr(message, kind) if kind else None

    def piece(self, event: Event) -> AIResponse | None:
        """Return what an event adds to the response, if anything. The last piece is the response without its parts.

        Raises StreamInterruptedError at a restart, as no piece can revoke the earlier ones.
        """
        match event:
            case Restarted():
                self._pending_restart = event
                raise _interruption(event)
            case AIResponse():
                return AIResponse.from_proto(_without_parts(event.proto), event.output, event._waited)
            case PartDelta():
                return self._preview(event)
            case PartCompleted() if event.index not in self._previewed:
                return self._piece_of(event.part)
        return None

    def _preview(self, delta: PartDelta) -> AIResponse | None:
        """Text and reasoning are delivered as deltas. A tool call is delivered whole, as only then it may run."""
        kind = delta.WhichOneof("delta")
        if kind == "text":
            self._previewed.add(delta.index)
            return self._piece_of(Part(text=delta.text))
        if kind == "reasoning":
            self._previewed.add(delta.index)
            return self._piece_of(Part(reasoning=Reasoning(text=delta.reasoning)))
        return None

    def _piece_of(self, part: Part) -> AIResponse:
        return self._response_of([part])

    def _response_of(self, parts: Iterable[Part]) -> AIResponse:
        execution = self._started.execution
        message = Message(role=Role.ROLE_ASSISTANT, parts=parts, provider=execution.provider, model=execution.model)
        return AIResponse.from_proto(GenerateResponse(id=self._started.id, message=message, execution=execution))

    def require_completion(self) -> None:
        """Raise StreamInterruptedError if the stream ended without a completion event."""
        if self._outcome is None:
            raise StreamInterruptedError.build(
                "The stream ended without a completion event.",
                "Discard everything received and send the request again.",
            )

    def fail(self, error: AIError) -> AIError:
        """Record the error as the outcome and return it: an interruption if the gateway was lost during the stream."""
        if self._has_messages and error.reason in LOST_CONNECTION:
            error = StreamInterruptedError.build(
                f"The connection to the gateway was lost during the stream: {error}",
                "Discard everything received and send the request again.",
                original_error=error.original_error,
            )
        self._outcome = error
        return error

    @property
    def partial(self) -> AIResponse:
        """What was received so far, as a response without a finish reason; the whole response once it is known."""
        if isinstance(self._outcome, AIResponse):
            return self._outcome
        return self._response_of(self._parts.read())

    @property
    def response(self) -> AIResponse:
        """The whole response. Raises the error of a failed stream, or RuntimeError before the end."""
        if isinstance(self._outcome, AIError):
            raise self._outcome
        if self._outcome is None:
            raise RuntimeError(
                "the stream has not ended: read it to the end or call complete(); `partial` has what was received"
            )
        return self._outcome


def _interruption(restarted: Restarted) -> StreamInterruptedError:
    failed = [attempt for attempt in restarted.attempts if attempt.error_reason]
    interrupted = failed[-1] if failed else Attempt("", "")
    return StreamInterruptedError.build(
        "The stream was interrupted and is being restarted; discard everything received so far.",
        "Read the stream once more for the new response, or get it whole from complete().",
        provider=interrupted.provider,
        model=interrupted.model,
        attempts=restarted.attempts,
        usage=interrupted.usage,
    )


def _without_parts(response: GenerateResponse) -> GenerateResponse:
    copy = GenerateResponse()
    copy.CopyFrom(response)
    del copy.message.parts[:]
    return copy
