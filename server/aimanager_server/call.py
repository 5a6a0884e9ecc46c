"""A question, as asked (Ask) and as decided (Call)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from .content import Message, OutputFormat, ReasoningOptions, Sampling, Tool, ToolChoice
from .reply import Warned


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls. `name` is empty for an anonymous caller; `provider_keys` are the caller's own, by provider."""

    name: str = ""
    tier: str = ""
    provider_keys: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Ask:
    """What the client sent, well formed but not yet decided. `provider_options` is by provider name.

    `output_format` None is free text.
    """

    messages: tuple[Message, ...]
    model: str = ""
    system_instruction: str = ""
    sampling: Sampling = Sampling()
    reasoning: ReasoningOptions = ReasoningOptions()
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice = ToolChoice()
    output_format: OutputFormat | None = None
    idempotency_key: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    provider_options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Target:
    """One model at one provider, with the options it will be given: aliases, defaults and refusals are settled.

    `options` is merged into the provider's native request; `warnings` says what was not honoured as asked. Where it
    `emulates_format`, the model has no schemas of its own.
    """

    provider: str
    model: str
    sampling: Sampling = Sampling()
    reasoning: ReasoningOptions = ReasoningOptions()
    options: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[Warned, ...] = ()
    emulates_format: bool = False


class Stopwatch:
    """Adds up the seconds a call spends waiting on others, so that its own overhead can be told."""

    __slots__ = ("_began", "seconds")

    def __init__(self) -> None:
        self.seconds = 0.0
        self._began = 0.0

    def waiting(self) -> Stopwatch:
        """Count the time inside `with` as waiting; waits do not nest."""
        return self

    def __enter__(self) -> None:
        self._began = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self.seconds += time.perf_counter() - self._began


@dataclass(frozen=True, slots=True)
class Call:
    """Everything decided about one question; layers only ever see this.

    `deadline` is on the event loop's clock, in seconds, and bounds everything. `target` is the first of `targets`.
    `trace` is the W3C traceparent to pass upstream, empty where there is none. `output_format` is what the answer must
    be; a provider only ever sees one that it can be asked for natively, since `conform` makes up for the others.
    """

    id: str
    caller: Caller
    requested_model: str
    messages: tuple[Message, ...]
    targets: tuple[Target, ...]
    deadline: float
    streaming: bool = False
    system_instruction: str = ""
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice = ToolChoice()
    output_format: OutputFormat | None = None
    idempotency_key: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    trace: str = ""
    away: Stopwatch = field(default_factory=Stopwatch, compare=False, repr=False)

    @property
    def target(self) -> Target:
        """The target in question: inside `attempt` the only one."""
        return self.targets[0]

    def at(self, target: Target) -> Call:
        """The same question to one target."""
        return replace(self, targets=(target,))
