"""A generation request as received (`GenerateParams`), as resolved (`Call`) and as sent to one target (`Attempt`)."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import field, replace
from typing import Any, Generic, TypeVar

from .attempts import AttemptLog, AttemptRecord
from .cache_policy import CachePolicy
from .content import CacheHint, Message, OutputFormat, PromptOptimization, ReasoningOptions, Sampling, Tool, ToolChoice
from .conversation import ConversationTurn
from .errors import FieldViolation
from .response import SettingWarning
from .usage import Cost, Usage
from .value import dataclass


@dataclass(frozen=True, slots=True)
class Caller:
    """The authenticated caller. `name` is empty if anonymous; `provider_keys` are the caller's API keys by provider.

    An admin sees the data of all callers. `is_only`: the server is in the process of this caller, and has no other.
    """

    name: str = ""
    tier: str = ""
    provider_keys: Mapping[str, str] = field(default_factory=dict, repr=False)
    is_admin: bool = False
    is_only: bool = False

    @property
    def data_owner(self) -> str | None:
        """Return whose data this caller sees: None for that of all callers, or its own name."""
        return None if self.is_admin else self.name


@dataclass(frozen=True, slots=True)
class GenerateParams:
    """A request as sent by the client, parsed but not yet resolved. `provider_options` is keyed by provider.

    `output_format` None means free text. Timeouts are in seconds, None if not set. `cache_hint` is that of the tools
    and the system instruction, in a conversation of the whole history. `restart_on_interruption` permits the gateway to
    restart an interrupted stream. `turn` is the next one of `conversation_id`, once its history is part of `messages`.
    `is_generation` is False if the messages are compacted, not answered. `violations` were found while parsing;
    validation reports them together with its own.
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
    extract_artifacts: bool = False
    end_user_id: str = ""
    optimizations: frozenset[PromptOptimization] = frozenset()
    cache_hint: CacheHint | None = None
    conversation_id: str = ""
    turn: ConversationTurn | None = None
    cache_policy: CachePolicy | None = None
    is_generation: bool = True
    violations: tuple[FieldViolation, ...] = ()

    @property
    def new_messages(self) -> tuple[Message, ...]:
        """Return the messages that the caller sent, without the history of the conversation."""
        return self.messages if self.turn is None else self.messages[self.turn.first_message :]


@dataclass(frozen=True, slots=True)
class StreamTimeouts:
    """Timeouts of a stream in seconds: until the first content, then between two events.

    `first_token` applies while another target is left; if `is_explicit`, it applies to every target. `tool_call`
    applies to tool call arguments, `reasoning` to reasoning and to gaps during which the model may reason without
    output. `set_by_caller`: the caller chose the timeout, so its expiry does not count against the provider.
    """

    first_token: float = 10.0
    text: float = 10.0
    tool_call: float = 90.0
    reasoning: float = 120.0
    is_explicit: bool = False
    set_by_caller: bool = False


@dataclass(frozen=True, slots=True)
class Target:
    """One model of one provider with normalized options: aliases and defaults applied, unsupported options removed.

    `options` is merged into the provider's native request. `warnings` lists the options that were changed or removed;
    `defaulted_fields` are those that the caller did not set, such as "sampling.top_k": changing them needs no warning.
    `emulates_format` is true if the model has no native structured output. `context_window` is in tokens, None if
    unknown. `is_reasoning` is true if reasoning was requested or is the model's default, `prefers_streaming` if the
    model can stream and a unary response would take too long without any sign of progress.
    """

    provider: str
    model: str
    sampling: Sampling = Sampling()
    reasoning: ReasoningOptions = ReasoningOptions()
    options: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[SettingWarning, ...] = ()
    defaulted_fields: frozenset[str] = frozenset()
    emulates_format: bool = False
    context_window: int | None = None
    timeouts: StreamTimeouts = StreamTimeouts()
    is_reasoning: bool = False
    can_stream: bool = True
    prefers_streaming: bool = False

    @property
    def key(self) -> tuple[str, str]:
        """Return provider and model, which are unique among the targets of a call."""
        return self.provider, self.model


class UpstreamTimer:
    """Sums the seconds a call waits for upstreams, to separate them from the gateway's overhead."""

    __slots__ = ("_started", "seconds")

    def __init__(self) -> None:
        self.seconds = 0.0
        self._started = 0.0

    def measure(self) -> UpstreamTimer:
        """Measure the duration of a `with` block. Measurements must not nest."""
        return self

    def __enter__(self) -> None:
        self._started = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self.seconds += time.perf_counter() - self._started


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A provider's API key. `id` identifies it among the provider's keys and may be logged; empty without a key."""

    id: str = ""
    secret: str = field(default="", repr=False)


HOPS_HEADER = "X-AIManager-Hops"
"""Header and metadata with the ids of the gateways that a call has passed, separated by commas."""

NO_KEY = ApiKey()
CALLER_KEY_ID = "own"
"""`ApiKey.id` of a key that the caller sent."""


@dataclass(frozen=True, slots=True)
class Call:
    """A resolved request. Layers outside the retry loop receive it.

    `deadline` is in seconds on the event loop's clock and applies to the whole call. `traceparent` is the W3C header to
    send upstream, empty if there is none, and `hops` the value of HOPS_HEADER, which includes this gateway.
    `output_format` is the required format of the answer. `streaming` is true if the caller reads a stream. `turn` is
    the next turn of a conversation, None without one. `cache_hint` is as in GenerateParams, `cache_policy` None if the
    response cache is not used. `params` is the request that was resolved, None for operations that are not generations.
    `attempts` is the log of its attempts. If callers share the response, `latest_deadline` returns the latest of their
    deadlines, and `deadline` is later.
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
    extract_artifacts: bool = False
    optimizations: frozenset[PromptOptimization] = frozenset()
    idempotency_key: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    traceparent: str = ""
    hops: str = ""
    turn: ConversationTurn | None = None
    cache_policy: CachePolicy | None = None
    params: GenerateParams | None = field(default=None, compare=False, repr=False)
    cache_hint: CacheHint | None = None
    upstream_timer: UpstreamTimer = field(default_factory=UpstreamTimer, compare=False, repr=False)
    attempts: AttemptLog = field(default_factory=AttemptLog, compare=False, repr=False)
    latest_deadline: Callable[[], float] | None = field(default=None, compare=False, repr=False)

    def remaining_seconds(self, now: float) -> float:
        """Return how long the callers still wait."""
        return (self.deadline if self.latest_deadline is None else self.latest_deadline()) - now

    @property
    def target(self) -> Target:
        """Return the target that is tried first."""
        return self.targets[0]

    @property
    def new_messages(self) -> tuple[Message, ...]:
        """Return the messages that the caller sent, without the history of the conversation."""
        return self.messages if self.turn is None else self.messages[self.turn.first_message :]

    def with_targets(self, *targets: Target) -> Call:
        """Return the same call with other targets."""
        return replace(self, targets=targets)


AnyCall = TypeVar("AnyCall", bound=Call)


@dataclass(slots=True, eq=False)
class Attempt(Generic[AnyCall]):
    """One attempt at a call: one target, one key. Layers inside the retry loop and providers receive it.

    `api_key` without a secret means that the provider uses its only key. `first_token_timeout` is in seconds, None if
    only the deadline applies. `is_streamed` tells whether the upstream request is a streaming request; it may be one
    even if the caller's is not. Layers may change `messages`, `system_instruction` and `output_format` before they are
    sent. Providers receive only output formats that they support natively, since the structured output layer emulates
    the others. `forms` lists the ways to request the format, the preferred one first, and is empty without a format;
    `sent` is the one that the provider accepted. `omits_state`: the provider rejected the state of earlier turns, which
    is not sent.
    """

    call: AnyCall
    target: Target
    record: AttemptRecord
    is_streamed: bool = False
    first_token_timeout: float | None = None
    api_key: ApiKey = NO_KEY
    messages: tuple[Message, ...] = ()
    system_instruction: str = ""
    output_format: OutputFormat | None = None
    upstream_timer: UpstreamTimer = field(default_factory=UpstreamTimer, repr=False)
    forms: tuple[Attempt[AnyCall], ...] = ()
    sent: Attempt[AnyCall] | None = None
    repair: Repair | None = None
    omits_state: bool = False

    @classmethod
    def of(
        cls,
        call: AnyCall,
        target: Target,
        now: float,
        *,
        is_streamed: bool = False,
        first_token_timeout: float | None = None,
        api_key: ApiKey = NO_KEY,
    ) -> Attempt[AnyCall]:
        """Start an attempt and add its record to the call's log; `now` is on the monotonic clock."""
        record = call.attempts.start(target.provider, target.model, now, is_streamed=is_streamed)
        record.key_id = api_key.id
        record.caller = call.caller.name
        return cls(
            call, target, record, is_streamed, first_token_timeout, api_key, call.messages, call.system_instruction,
            call.output_format, call.upstream_timer,
        )  # fmt: skip

    @property
    def id(self) -> str:
        """Return the id of the call."""
        return self.call.id

    @property
    def requested_model(self) -> str:
        """Return the model as the caller named it."""
        return self.call.requested_model

    @property
    def caller(self) -> Caller:
        """Return who made the call."""
        return self.call.caller

    @property
    def deadline(self) -> float:
        """Return the deadline of the call, on the event loop's clock."""
        return self.call.deadline

    @property
    def tools(self) -> tuple[Tool, ...]:
        """Return the tools of the call."""
        return self.call.tools

    @property
    def tool_choice(self) -> ToolChoice:
        """Return the tool choice of the call."""
        return self.call.tool_choice

    @property
    def labels(self) -> Mapping[str, str]:
        """Return the labels of the call."""
        return self.call.labels

    @property
    def traceparent(self) -> str:
        """Return the W3C trace header to send upstream."""
        return self.call.traceparent

    @property
    def hops(self) -> str:
        """Return the gateways that the call has passed. A plug-in that calls a gateway sends it in HOPS_HEADER."""
        return self.call.hops


@dataclass(frozen=True, slots=True)
class Repair:
    """A request to correct an answer that does not match the output format.

    `attempt` is what was sent, `answer` what came back, `violations` what is wrong with it; `usage` and `cost` are
    those of the rejected answer.
    """

    attempt: Attempt[Any]
    answer: Message
    violations: tuple[str, ...]
    usage: Usage
    cost: Cost | None
