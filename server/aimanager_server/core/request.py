"""A question, as asked (Ask) and as decided (Call)."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any

from .content import Message, OutputFormat, ReasoningOptions, Sampling, Tool, ToolChoice
from .response import Warned
from .usage import Cost, Usage, both, total


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls. `name` is empty for an anonymous caller; `provider_keys` are the caller's own, by provider."""

    name: str = ""
    tier: str = ""
    provider_keys: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Ask:
    """What the client sent, well formed but not yet decided. `provider_options` is by provider name.

    `output_format` None is free text. `first_token` and `idle` are in seconds, None where nothing was said; `restarts`
    says that an answer that breaks off may begin again.
    """

    messages: tuple[Message, ...]
    model: str = ""
    system_instruction: str = ""
    sampling: Sampling = Sampling()
    reasoning: ReasoningOptions = ReasoningOptions()
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice = ToolChoice()
    output_format: OutputFormat | None = None
    fallback_models: tuple[str, ...] = ()
    first_token: float | None = None
    idle: float | None = None
    restarts: bool = False
    idempotency_key: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    provider_options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a silent model is waited for, in seconds: up to its first content, then between two pieces of it.

    `first_token` holds where another target is left; everywhere, where it `is_said`. `tool_call` is for the arguments
    of a call, `reasoning` for thinking and for the gaps in which a model that thinks may do so unseen. `is_callers`:
    the caller asked for less than the operator bears, so that what runs out says nothing of the provider.
    """

    first_token: float = 10.0
    text: float = 10.0
    tool_call: float = 90.0
    reasoning: float = 120.0
    is_said: bool = False
    is_callers: bool = False


@dataclass(frozen=True, slots=True)
class Target:
    """One model at one provider, with the options it will be given: aliases, defaults and refusals are settled.

    `options` is merged into the provider's native request; `warnings` says what was not honoured as asked. Where it
    `emulates_format`, the model has no schemas of its own. `context_window` is in tokens, None where nobody knows.
    `thinks`: reasoning was asked for, or the model reasons by itself. `is_best_streamed`: it can stream, and a plain
    answer would leave everybody in the dark for too long.
    """

    provider: str
    model: str
    sampling: Sampling = Sampling()
    reasoning: ReasoningOptions = ReasoningOptions()
    options: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[Warned, ...] = ()
    emulates_format: bool = False
    context_window: int | None = None
    patience: Patience = Patience()
    thinks: bool = False
    streams: bool = True
    is_best_streamed: bool = False

    @property
    def place(self) -> tuple[str, str]:
        """Provider and model: no two targets of a call have the same."""
        return self.provider, self.model


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
class Key:
    """A provider's key. `id` tells it from the provider's other keys and is fit for logs; it is empty for no key."""

    id: str = ""
    secret: str = field(default="", repr=False)


NO_KEY = Key()
OWN_KEY = "own"
"""The id of a key that the caller brought."""


@dataclass(frozen=True, slots=True)
class Spent:
    """What one attempt took: `cost` is None where no price is known."""

    provider: str
    model: str
    usage: Usage
    cost: Cost | None = None


class Ledger:
    """What the attempts of one call took, each entered once it has ended, however it did.

    `sendings` and `breaks` count, by provider and model, how often a question was sent and an answer broke off. A part
    of a call that goes its own way has counts of its own, and enters what it took in those of its `root`.
    """

    __slots__ = ("breaks", "entries", "root", "sendings")

    def __init__(self, root: Ledger | None = None) -> None:
        self.root: Ledger = root or self
        self.entries: list[Spent] = root.entries if root else []
        self.sendings: Counter[tuple[str, str]] = Counter()
        self.breaks: Counter[tuple[str, str]] = Counter()

    def usage(self) -> Usage | None:
        """The sum; None where nothing was entered."""
        return reduce(total, (entry.usage for entry in self.entries)) if self.entries else None

    def cost(self) -> Cost | None:
        """The sum; None where nothing was entered, or a price is not known."""
        return reduce(both, (entry.cost for entry in self.entries)) if self.entries else None


@dataclass(frozen=True, slots=True)
class Call:
    """Everything decided about one question; layers only ever see this.

    `deadline` is on the event loop's clock, in seconds, and bounds everything. `target` is the first of `targets`.
    `trace` is the W3C traceparent to pass upstream, empty where there is none. `output_format` is what the answer must
    be; a provider only ever sees one that it can be asked for natively, since `conform` makes up for the others.

    `streaming`: the caller reads a stream. What is about one attempt is decided on the way: `prefers_stream`, that the
    provider is to stream all the same; `first_token`, the seconds to the first content, None for all there are; and
    `key`, the provider's key to use; without one the provider takes the server's.
    """

    id: str
    caller: Caller
    requested_model: str
    messages: tuple[Message, ...]
    targets: tuple[Target, ...]
    deadline: float
    streaming: bool = False
    restarts: bool = False
    system_instruction: str = ""
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice = ToolChoice()
    output_format: OutputFormat | None = None
    idempotency_key: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    trace: str = ""
    prefers_stream: bool = False
    first_token: float | None = None
    key: Key = NO_KEY
    away: Stopwatch = field(default_factory=Stopwatch, compare=False, repr=False)
    ledger: Ledger = field(default_factory=Ledger, compare=False, repr=False)

    @property
    def target(self) -> Target:
        """The target in question: inside `attempt` the only one."""
        return self.targets[0]

    @property
    def streams(self) -> bool:
        """Whether the provider is to stream its answer."""
        return self.streaming or self.prefers_stream

    def at(self, *targets: Target) -> Call:
        """The same question to these targets."""
        return replace(self, targets=targets)
