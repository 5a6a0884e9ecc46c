"""What the mock provider is told to do: what to say, how, and what shall go wrong."""

from __future__ import annotations

from dataclasses import dataclass

from ...core.content import Reasoning, Text, ToolCall
from ...core.errors import GatewayError
from ...core.response import FinishReason
from ...core.usage import Usage


@dataclass(frozen=True, slots=True)
class Failure:
    """A fault to raise before anything is said; `times` None is every time."""

    fault: type[GatewayError]
    retry_after: float | None = None
    times: int | None = None


@dataclass(frozen=True, slots=True)
class Trouble:
    """What happens `after` so many tokens, for so many `seconds`: None is to the end; `times` None is every time."""

    after: int = 0
    seconds: float | None = None
    times: int | None = None

    def befalls(self, number: int) -> bool:
        """Whether it happens to the call of that number, from 1."""
        return self.times is None or number <= self.times


@dataclass(frozen=True, slots=True)
class Unseen:
    """Thinking that nobody can see, of so many tokens."""

    tokens: int


Said = Text | Reasoning | ToolCall | Unseen


@dataclass(frozen=True, slots=True)
class Script:
    """One answer: what to say, and how. Nothing to be seen in `parts` means the default answer behind them.

    `rate` is in tokens per second.
    """

    parts: tuple[Said, ...] = ()
    failures: tuple[Failure, ...] = ()
    rate: float | None = None
    latency: Trouble | None = None
    cut: Trouble | None = None
    stall: Trouble | None = None
    finish: FinishReason | None = None
    usage: Usage | None = None

    @property
    def counts(self) -> bool:
        """Something happens only so many times."""
        told = (*self.failures, self.latency, self.cut, self.stall)
        return any(one is not None and one.times is not None for one in told)


@dataclass(frozen=True, slots=True)
class Reading:
    """What a text says: one script for each round of a tool loop, and the text around the directives."""

    rounds: tuple[Script, ...]
    rest: str

    @property
    def is_scripted(self) -> bool:
        """There was a directive."""
        return self.rounds != (Script(),)
