"""A question, as asked (Ask) and as decided (Call)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from .attempts import UsageLedger
from .content import Message, OutputFormat, ReasoningOptions, Sampling, Tool, ToolChoice
from .response import SettingWarning


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls. `name` is empty for an anonymous caller; `provider_keys` are the caller's own, by provider."""

    name: str = ""
    tier: str = ""
    provider_keys: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class GenerateParams:
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
    first_token_timeout: float | None = None
    idle_timeout: float | None = None
    restart_on_interruption: bool = False
    idempotency_key: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    provider_options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StreamTimeouts:
    """How long a silent model is waited for, in seconds: up to its first content, then between two pieces of it.

    `first_token` holds where another target is left; everywhere, where it `is_said`. `tool_call` is for the arguments
    of a call, `reasoning` for thinking and for the gaps in which a model that thinks may do so unseen. `is_callers`:
    the caller asked for less than the operator bears, so that what runs out says nothing of the provider.
    """

    first_token: float = 10.0
    text: float = 10.0
    tool_call: float = 90.0
    reasoning: float = 120.0
    is_explicit: bool = False
    set_by_caller: bool = False


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
    warnings: tuple[SettingWarning, ...] = ()
    emulates_format: bool = False
    context_window: int | None = None
    timeouts: StreamTimeouts = StreamTimeouts()
    is_reasoning: bool = False
    can_stream: bool = True
    prefers_streaming: bool = False

    @property
    def key(self) -> tuple[str, str]:
        """Provider and model: no two targets of a call have the same."""
        return self.provider, self.model


class UpstreamTimer:
    """Adds up the seconds a call spends waiting on others, so that its own overhead can be told."""

    __slots__ = ("_started", "seconds")

    def __init__(self) -> None:
        self.seconds = 0.0
        self._started = 0.0

    def measure(self) -> UpstreamTimer:
        """Count the time inside `with` as waiting; waits do not nest."""
        return self

    def __enter__(self) -> None:
        self._started = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self.seconds += time.perf_counter() - self._started


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A provider's key. `id` tells it from the provider's other keys and is fit for logs; it is empty for no key."""

    id: str = ""
    secret: str = field(default="", repr=False)


NO_KEY = ApiKey()
CALLER_KEY_ID = "own"
"""The id of a key that the caller brought."""


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
    restart_on_interruption: bool = False
    system_instruction: str = ""
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice = ToolChoice()
    output_format: OutputFormat | None = None
    idempotency_key: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    traceparent: str = ""
    stream_upstream: bool = False
    first_token_timeout: float | None = None
    api_key: ApiKey = NO_KEY
    upstream_timer: UpstreamTimer = field(default_factory=UpstreamTimer, compare=False, repr=False)
    usage_ledger: UsageLedger = field(default_factory=UsageLedger, compare=False, repr=False)

    @property
    def target(self) -> Target:
        """The target in question: inside `attempt` the only one."""
        return self.targets[0]

    @property
    def is_upstream_streamed(self) -> bool:
        """Whether the provider is to stream its answer."""
        return self.streaming or self.stream_upstream

    def with_targets(self, *targets: Target) -> Call:
        """The same question to these targets."""
        return replace(self, targets=targets)
