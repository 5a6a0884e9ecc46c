"""The event of an answer that begins again."""

from __future__ import annotations

from dataclasses import dataclass

from ..v1 import generation_pb2
from .usage import Attempt, read_attempts


@dataclass(frozen=True, slots=True)
class Restarted:
    """Every part and artifact so far is void: a provider failed, and the answer begins again.

    `proto` is what travelled.
    """

    proto: generation_pb2.StreamRestarted

    @property
    def route(self) -> generation_pb2.Route:
        """Where the answer now comes from."""
        return self.proto.route

    @property
    def provider(self) -> str:
        """Who answers now."""
        return self.proto.route.provider

    @property
    def model(self) -> str:
        """Its model."""
        return self.proto.route.model

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """The tries so far: the last that failed is the one that was cut off, and its `usage` is what it took."""
        return read_attempts(self.proto.route)
