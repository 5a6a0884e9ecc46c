"""Events of a stream."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from ..v1 import generation_pb2
from ..v1.generation_pb2 import Heartbeat, PartCompleted, PartDelta, StreamStarted
from .artifact import Artifact
from .presentation import short_repr
from .response import AIResponse
from .usage import Attempt, read_attempts


@dataclass(frozen=True, slots=True, repr=False)
class Restarted:
    """The stream was interrupted and restarts: discard every part and artifact received so far.

    `proto` is the message from the server.

    >>> Restarted(generation_pb2.StreamRestarted(execution=generation_pb2.Execution(provider="claude"))).provider
    'claude'
    """

    proto: generation_pb2.StreamRestarted

    @property
    def execution(self) -> generation_pb2.Execution:
        """Requested model, provider, model and attempts of the new response: the message from the server."""
        return self.proto.execution

    @property
    def provider(self) -> str:
        """Provider of the new response."""
        return self.proto.execution.provider

    @property
    def model(self) -> str:
        """Model of the new response."""
        return self.proto.execution.model

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """Attempts so far. The last failed one is the interrupted one; its `usage` is what it consumed."""
        return read_attempts(self.proto.execution)

    def __repr__(self) -> str:
        return short_repr(self, "provider", "model")


Event: TypeAlias = StreamStarted | PartDelta | PartCompleted | Artifact | Heartbeat | Restarted | AIResponse
"""What `AIStream.events` yields: messages of aimanager.v1, artifacts, restarts, and finally the whole response."""
