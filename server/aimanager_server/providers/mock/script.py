"""Define scripts of the mock provider: its responses, their speed, and the faults to inject."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ...core.content import Reasoning, Text, ToolCall
from ...core.errors import GatewayError
from ...core.response import FinishReason
from ...core.usage import Usage

MAX_HEAD_LENGTH = 65_536


@dataclass(frozen=True, slots=True)
class InjectedError:
    """An error raised before the first content; on every call if `times` is None, else on the first `times` calls."""

    error_type: type[GatewayError]
    retry_after: float | None = None
    times: int | None = None


@dataclass(frozen=True, slots=True)
class InjectedFault:
    """A fault that starts after `after_tokens` tokens and lasts `seconds`, without end if None.

    It applies to every call if `times` is None, else to the first `times` calls.
    """

    after_tokens: int = 0
    seconds: float | None = None
    times: int | None = None

    def applies_to(self, call_number: int) -> bool:
        """Return whether the fault applies to a call. Call numbers start at 1."""
        return self.times is None or call_number <= self.times


@dataclass(frozen=True, slots=True)
class HiddenReasoning:
    """Reasoning of this many tokens that is billed but not shown."""

    tokens: int


@dataclass(frozen=True, slots=True)
class Words:
    """A text of `count` numbered words, generated one by one.

    >>> "".join(Words(3)), Words(3).length
    ('word1 word2 word3', 17)
    """

    count: int

    def __iter__(self) -> Iterator[str]:
        for number in range(1, self.count):
            yield f"word{number} "
        if self.count:
            yield f"word{self.count}"

    @property
    def length(self) -> int:
        """Return the number of characters, without generating them."""
        total, first = 0, 1
        while first <= self.count:
            last = min(self.count, 10 * first - 1)
            total += (last - first + 1) * (len("word ") + len(str(first)))
            first *= 10
        return max(total - 1, 0)


ScriptPart = Text | Words | Reasoning | ToolCall | HiddenReasoning


@dataclass(frozen=True, slots=True)
class Script:
    """One response. Without visible `parts`, the default response follows. `rate` is in tokens per second."""

    parts: tuple[ScriptPart, ...] = ()
    errors: tuple[InjectedError, ...] = ()
    rate: float | None = None
    latency: InjectedFault | None = None
    cut: InjectedFault | None = None
    stall: InjectedFault | None = None
    finish: FinishReason | None = None
    usage: Usage | None = None

    @property
    def depends_on_call_number(self) -> bool:
        """Whether an error or fault is limited to the first calls."""
        injected = (*self.errors, self.latency, self.cut, self.stall)
        return any(fault is not None and fault.times is not None for fault in injected)

    @property
    def injects_faults(self) -> bool:
        """Whether the response fails, stalls or is delayed on purpose."""
        return bool(self.errors or self.rate or self.latency or self.cut or self.stall)


@dataclass(frozen=True, slots=True)
class ParsedScript:
    """A parsed text: one script for each round of a tool loop, and the pieces of text outside the directives."""

    rounds: tuple[Script, ...]
    remaining: tuple[str, ...] = ()

    @property
    def is_scripted(self) -> bool:
        """Whether the text contains a directive."""
        return self.rounds != (Script(),)

    @property
    def head(self) -> str:
        """The beginning of the text outside the directives, at most MAX_HEAD_LENGTH characters."""
        head = ""
        for piece in self.remaining:
            head += piece[: MAX_HEAD_LENGTH - len(head)]
        return head.strip()
