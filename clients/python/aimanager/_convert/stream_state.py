"""Understands the events of a stream, without any I/O: what each adds, and what they come to."""

from __future__ import annotations

from ..errors import AIError, StreamInterruptedError
from ..types.artifact import Artifact
from ..types.response import AIResponse
from ..types.stream_events import Restarted
from ..types.usage import Attempt
from ..v1.content_pb2 import Message, Part, Reasoning
from ..v1.generation_pb2 import (
    GenerateResponse,
    Heartbeat,
    PartCompleted,
    PartDelta,
    StreamGenerateResponse,
    StreamStarted,
)
from .output_format import Output

Event = StreamStarted | PartDelta | PartCompleted | Artifact | Heartbeat | Restarted | AIResponse
"""What `events` yields: the messages of aimanager.v1, artifacts, restarts, and the whole answer at the end."""


class Reading:
    """What a stream has told so far; `output` is what its answer was asked to be."""

    def __init__(self, output: Output | None = None) -> None:
        self._output = output
        self._started = StreamStarted()
        self._previewed: set[int] = set()
        self._begun = False
        # No exception is kept here: its traceback holds the stream, and a dropped stream has to end its call.
        self._restarted: Restarted | None = None
        self._outcome: AIResponse | AIError | None = None

    def begin(self) -> None:
        """Raises RuntimeError the second time, unless the answer began again since."""
        if self._begun and not self.goes_on:
            raise RuntimeError("a stream can be read once: keep what it yields, or ask again")
        self._begun, self._restarted = True, None

    @property
    def goes_on(self) -> bool:
        """Whether a reader was told that the answer begins again, and nobody has begun to read the new one."""
        return self._restarted is not None

    @property
    def has_ended(self) -> bool:
        """Whether it is known how the answer ended."""
        return self._outcome is not None

    def give_up(self) -> None:
        """What began again is not read: the answer stays interrupted."""
        if self._restarted is not None:
            self._outcome, self._restarted = _interruption(self._restarted), None

    def event(self, message: StreamGenerateResponse) -> Event | None:
        """The event of a message; None for one this client does not know."""
        kind = message.WhichOneof("event")
        if kind == "completed":
            self._outcome = AIResponse(message.completed, self._output)
            return self._outcome
        if kind == "artifact":
            return Artifact(message.artifact)
        if kind == "restarted":
            self._previewed.clear()
            self._started = StreamStarted(id=self._started.id, route=message.restarted.route)
            return Restarted(message.restarted)
        if kind == "started":
            self._started = message.started
        return getattr(message, kind) if kind else None

    def piece(self, event: Event) -> AIResponse | None:
        """What an event adds to the answer; None for nothing. The last piece is the answer without what was said.

        Raises StreamInterruptedError where the answer begins again: no piece could take back what was said.
        """
        match event:
            case Restarted():
                self._restarted = event
                raise _interruption(event)
            case AIResponse():
                return AIResponse(_without_parts(event.proto), self._output)
            case PartDelta():
                return self._preview(event)
            case PartCompleted() if event.index not in self._previewed:
                return self._said(event.part)
        return None

    def _preview(self, delta: PartDelta) -> AIResponse | None:
        """Text and reasoning are shown as they come; a tool call may run only once it is whole."""
        kind = delta.WhichOneof("delta")
        if kind == "text":
            self._previewed.add(delta.index)
            return self._said(Part(text=delta.text))
        if kind == "reasoning":
            self._previewed.add(delta.index)
            return self._said(Part(reasoning=Reasoning(text=delta.reasoning)))
        return None

    def _said(self, part: Part) -> AIResponse:
        route = self._started.route
        message = Message(parts=[part], provider=route.provider, model=route.model)
        return AIResponse(GenerateResponse(id=self._started.id, message=message, route=route))

    def end(self) -> None:
        """Raises StreamInterruptedError unless the answer came to its end."""
        if self._outcome is None:
            raise StreamInterruptedError(
                "the stream ended before the answer did", solution="Discard what was received and ask again."
            )

    def fail(self, failure: AIError) -> None:
        """Remembers why there is no answer."""
        self._outcome = failure

    @property
    def response(self) -> AIResponse:
        """The whole answer. Raises what ended the stream, or RuntimeError while it has not ended."""
        if isinstance(self._outcome, AIError):
            raise self._outcome
        if self._outcome is None:
            raise RuntimeError("the stream has not ended: read it to its end first, or call complete()")
        return self._outcome


def _interruption(restarted: Restarted) -> StreamInterruptedError:
    failed = [attempt for attempt in restarted.attempts if attempt.error_reason]
    cut = failed[-1] if failed else Attempt("", "")
    return StreamInterruptedError(
        "the answer was cut off and begins again: what was received is void",
        solution="Discard it. Read the stream once more for the new answer, or take that whole from complete().",
        provider=cut.provider,
        model=cut.model,
        attempts=restarted.attempts,
        usage=cut.usage,
    )


def _without_parts(answer: GenerateResponse) -> GenerateResponse:
    last = GenerateResponse()
    last.CopyFrom(answer)
    del last.message.parts[:]
    return last
