"""Define scripts of the mock provider: its responses, their speed, and the faults to inject."""

from __future__ import annotations

from dataclasses import dataclass

from ...core.content import Reasoning, Text, ToolCall
from ...core.errors import GatewayError
from ...core.response import FinishReason
from ...core.usage import Usage


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


ScriptPart = Text | Reasoning | ToolCall | HiddenReasoning


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


@dataclass(frozen=True, slots=True)
class ParsedScript:
    """A parsed text: one script for each round of a tool loop, and the text outside the directives."""

    rounds: tuple[Script, ...]
    remaining_text: str

    @property
    def is_scripted(self) -> bool:
        """Whether the text contains a directive."""
        return self.rounds != (Script(),)
