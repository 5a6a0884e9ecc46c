"""A conversation without its messages, its turns and its summary, as the server returned them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from .._convert.scalars import read_cost, read_time
from ..v1 import content_pb2, conversation_pb2
from .artifact import Artifact
from .presentation import short_repr
from .response import SettingWarning
from .usage import Usage, read_usage


@dataclass(frozen=True, slots=True, repr=False)
class ConversationTurn:
    """Messages that were added together, usually a request and its response. `proto` is the message from the server.

    >>> ConversationTurn(conversation_pb2.Turn(number=3, pinned=True))
    ConversationTurn(number=3, is_pinned=True)
    """

    proto: conversation_pb2.Turn

    @property
    def number(self) -> int:
        """Position in the conversation, from 0 on."""
        return self.proto.number

    @property
    def messages(self) -> tuple[content_pb2.Message, ...]:
        """Messages in order; a response comes last."""
        return tuple(self.proto.messages)

    @property
    def is_interrupted(self) -> bool:
        """Whether the response ended before it was complete."""
        return self.proto.interrupted

    @property
    def is_pinned(self) -> bool:
        """Whether the turn is never left out to make a prompt fit."""
        return self.proto.pinned

    @property
    def artifacts(self) -> tuple[Artifact, ...]:
        """Artifacts of the response."""
        return tuple(map(Artifact, self.proto.artifacts))

    @property
    def usage(self) -> Usage:
        """Tokens of the response; `source` is `missing` if nothing was generated."""
        return read_usage(self.proto.usage)

    @property
    def cost(self) -> Decimal | None:
        """Cost of the response; None if its price is unknown or nothing was generated."""
        return read_cost(self.proto, "cost")

    @property
    def create_time(self) -> datetime | None:
        """When the turn was added."""
        return read_time(self.proto, "create_time")

    def __repr__(self) -> str:
        pinned = ", is_pinned=True" if self.is_pinned else ""
        interrupted = ", is_interrupted=True" if self.is_interrupted else ""
        return f"ConversationTurn(number={self.number}{pinned}{interrupted})"


@dataclass(frozen=True, slots=True)
class Compaction:
    """Result of a compaction: what it cost. `cost` is None if the price is unknown or nothing was to be summarized.

    `turns` is how many turns the summary of the conversation replaces, `text` the summary; 0 and empty without one.
    `warnings` say why the provider made no compaction of its own, if that was requested.

    >>> Compaction(turns=4, text="Ada plans a trip to Rome.", usage=Usage(), cost=None).turns
    4
    """

    turns: int
    text: str
    usage: Usage
    cost: Decimal | None
    warnings: tuple[SettingWarning, ...] = ()


class ConversationState:
    """What is known of a conversation: as of the last call that returned it, see `refresh`."""

    proto: conversation_pb2.Conversation
    """Message from the server."""

    @property
    def id(self) -> str:
        """Id, for `ai.conversation(id)`."""
        return self.proto.id

    @property
    def title(self) -> str:
        """Title, possibly empty."""
        return self.proto.title

    @property
    def model(self) -> str:
        """Model of requests that name none; empty for the default of the gateway."""
        return self.proto.model

    @property
    def system_instruction(self) -> str:
        """System instruction of requests that have none."""
        return self.proto.system_instruction

    @property
    def labels(self) -> Mapping[str, str]:
        """Labels."""
        return dict(self.proto.labels)

    @property
    def turn_count(self) -> int:
        """Number of turns."""
        return self.proto.turn_count

    @property
    def message_count(self) -> int:
        """Number of messages in all turns."""
        return self.proto.message_count

    @property
    def usage(self) -> Usage:
        """Tokens of all turns."""
        return read_usage(self.proto.usage)

    @property
    def cost(self) -> Decimal | None:
        """Cost of all turns; None if the price of one is unknown."""
        return read_cost(self.proto, "cost")

    @property
    def summary(self) -> str:
        """Summary that replaces the first turns in prompts, see `compact`; empty without one."""
        return self.proto.summary.text

    @property
    def forked_from(self) -> str:
        """Id of the conversation that this one was forked from, or empty."""
        return self.proto.forked_from

    @property
    def create_time(self) -> datetime | None:
        """When it was created."""
        return read_time(self.proto, "create_time")

    @property
    def update_time(self) -> datetime | None:
        """When it was used last."""
        return read_time(self.proto, "update_time")

    @property
    def expire_time(self) -> datetime | None:
        """When it is deleted unless it is used before."""
        return read_time(self.proto, "expire_time")

    def __repr__(self) -> str:
        return short_repr(self, "id", "title", "model", "turn_count")
