"""Keyword arguments of the clients: connection, request, embedding and model suggestion."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any, Literal, Required, TypedDict, cast

from ._convert.output_format import Output
from .messages import AttachmentSource
from .types.cache_policy import CacheMode, CachePolicy
from .v1.generation_pb2 import ReasoningOptions, Tool, ToolChoice

ReasoningEffort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
LoadBalancing = Literal["round_robin", "pick_first"]
Optimization = Literal["whitespace", "history"]
OnInterruption = Literal["restart", "fail"]
"""If a provider fails after the first content: restart the response, or fail the stream."""


class CallOptions(TypedDict, total=False):
    """Defaults of the calls of a client: `optimize` and `cache` as in RequestOptions, for requests that set none."""

    optimize: Optimization | Sequence[Optimization] | None
    cache: CacheMode | CachePolicy | None


class ConnectionOptions(CallOptions, total=False):
    """Connection to the gateway, and defaults of calls.

    `token` is the gateway's own token; without TLS it is sent in plaintext. `tls=True` trusts the system's certificate
    authorities; `root_certificates` (PEM) replaces them. `private_key` and `certificate_chain` (PEM) are the client
    certificate for mTLS. `timeout` is in seconds and applies to requests and streams. `retries` is the number of
    attempts after the first, 0 to 3. `max_wait` is how many seconds a call may wait for the gateway's rate limit before
    its one retry, 10 by default; 0 never waits. `load_balancing` distributes the calls over all addresses of the target
    (round_robin, the default for host names) or uses one of them (pick_first, the default for others). `compression`
    compresses requests with 16 KiB of text or more, by default unless the target is on this machine.

    >>> options: ConnectionOptions = {"token": "t0ken", "tls": True, "load_balancing": "round_robin"}
    """

    token: str | None
    tls: bool
    root_certificates: bytes | None
    private_key: bytes | None
    certificate_chain: bytes | None
    timeout: float | None
    retries: int | None
    max_wait: float | None
    load_balancing: LoadBalancing | None
    compression: bool | None


class ServerSwitches(TypedDict, total=False):
    """Parts of a server in this process. A gateway decides for itself: with one, True raises ConfigurationError.

    `enable_metrics`: False leaves `metrics` without data; True also opens `metrics_listen` of its configuration.
    `enable_health_checks`: False sends no probes to failing providers. `enable_rate_limiting`: False ignores the tiers
    of its configuration. `enable_logging`: True sends its events to the logger "aimanager.server" of `logging`.
    """

    enable_metrics: bool | None
    enable_health_checks: bool | None
    enable_rate_limiting: bool | None
    enable_logging: bool | None


class ClientOptions(ConnectionOptions, ServerSwitches, total=False):
    """Options of AIManager: of its connection, or of the server in this process."""


class EmbeddedOptions(ServerSwitches, CallOptions, total=False):
    """Options of AIManager.embedded. `timeout`, `retries` and `max_wait` as in ConnectionOptions.

    `keep_conversations=True` keeps conversations in a file in the user's state directory, the one of `make run`, unless
    the configuration names a database. Otherwise they end with the process. `extensions` are objects that the server
    uses besides the extensions of its configuration.
    """

    timeout: float | None
    retries: int | None
    max_wait: float | None
    keep_conversations: bool
    extensions: Sequence[Any]


class RunOptions(TypedDict, total=False):
    """Options of a request except its tools and its output format. RequestOptions describes them.

    >>> options: RunOptions = {"temperature": 0.5}
    """

    model: str | None
    system: str | None
    temperature: float | None
    max_tokens: int | None
    top_p: float | None
    top_k: int | None
    seed: int | None
    stop: str | Sequence[str] | None
    tool_choice: str | ToolChoice | None
    reasoning: ReasoningEffort | bool | ReasoningOptions | None
    reasoning_mode: ReasoningEffort | bool | ReasoningOptions | None
    enable_reasoning: ReasoningEffort | bool | ReasoningOptions | None
    attachments: Sequence[AttachmentSource] | AttachmentSource | None
    provider_options: Mapping[str, Mapping[str, object]] | None
    labels: Mapping[str, str] | None
    end_user_id: str | None
    cache_hint: Literal["short", "long"] | None
    idempotency_key: str | None
    extract_artifacts: bool | None
    fallback_models: Sequence[str] | None
    optimize: Optimization | Sequence[Optimization] | None
    cache: CacheMode | CachePolicy | None
    timeout: float | None
    first_token_timeout: float | None
    idle_timeout: float | None


class GenerationOptions(RunOptions, total=False):
    """Options of a request except its output format. RequestOptions describes them.

    >>> options: GenerationOptions = {"temperature": 0.5}
    """

    tools: Sequence[Tool | Callable[..., Any]] | Tool | Callable[..., Any] | None


class RequestOptions(GenerationOptions, total=False):
    """Options of a request. If omitted or None, the default of the gateway or the provider applies.

    `model`: [provider/]id or [provider/]alias (latest, current, fast, reasoning). `system`: system instruction.
    `tools`: functions, or tools from `tool`. `tool_choice`: auto, required, none, the name of a tool, or a ToolChoice.
    `reasoning`: an effort, True for medium, False for none, or ReasoningOptions; also called `reasoning_mode` and
    `enable_reasoning`. `attachments`: paths, https URLs, bytes or Attachments, added to the last user message.
    `provider_options`: by provider, merged into its native request. `labels`: copied to the gateway's logs.
    `end_user_id`: stable, opaque id of the end user, for abuse detection by providers that accept one; it must not be
    personal data. `cache_hint`: ask the provider to cache the system instruction and the tools, and in a conversation
    how long; `cached` marks the parts of a prompt. `idempotency_key`: a repeated request returns the first response,
    for an hour. `extract_artifacts`:
    False leaves `AIResponse.artifacts` empty; True by default. `fallback_models`: at most 8 names in the form of
    `model`, tried in order if a model fails. A model that lacks a required capability is skipped with a warning. The
    caller's own key is sent to no other provider. `optimize`: "whitespace" leaves out spaces at the ends of lines and
    blank lines beyond one, but never where they may have a meaning, and "history" the oldest turns that do not fit the
    model; a warning says how much. `cache`: "use" returns the stored response of an equal request, "refresh" generates
    a new one in its place, "off" does neither; CachePolicy(max_age=300) limits its age to 300 s. `timeout`: seconds for
    the whole call. `first_token_timeout`: seconds to wait for the first token before the next model is tried.
    `idle_timeout`: seconds without an event after which the response counts as interrupted. `output`: a pydantic
    model, a dataclass, a type such as `list[City]`, a TypeAdapter,
    a JSON Schema, or dict for any JSON object; `AIResponse.parsed` returns the result. Also called `response_format`.

    >>> options: RequestOptions = {"model": "mock/fast", "temperature": 0.5}
    """

    output: Output | None
    response_format: Output | None


class BatchRequest(RequestOptions, total=False):
    """A request of a batch: its prompt and its own options.

    >>> request: BatchRequest = {"prompt": "Hi", "temperature": 0.5}
    """

    prompt: Required[Any]  # a Prompt, whose module imports this one


OTHER_NAMES: Mapping[str, str] = MappingProxyType(
    {"response_format": "output", "reasoning_mode": "reasoning", "enable_reasoning": "reasoning"}
)
"""Names that the design document and other libraries use, and the option that they are."""

SIMILAR_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "extra_body": "provider_options",
        "instructions": "system",
        "max_turns": "max_rounds",
        "response_model": "output",
        "result_type": "output",
        "stop_sequences": "stop",
    }
)
"""Names of other libraries that are not accepted, and the option to suggest."""

ADVICE: Mapping[tuple[str, str], str] = MappingProxyType(
    {
        ("request", "stream"): "Call stream() instead.",
        ("AIManager", "base_url"): "Pass config=AIConfig(base_url=…).",
        ("embedded", "base_url"): "Pass config=AIConfig(base_url=…).",
        ("gateway", "base_url"): "Pass target='host:port'.",
        ("gateway", "api_key"): "Pass token=…, or use AIManager(api_key, …) for a key of yours.",
    }
)
"""What to do instead of passing a keyword to a function."""


def request_options(function: str, given: RequestOptions, *more_keywords: str) -> RequestOptions:
    """Return the options under their own names. Raises TypeError for an unknown name or two names of one option.

    >>> request_options("request", {"enable_reasoning": True})
    {'reasoning': True}
    """
    reject_unknown(function, given, (*RequestOptions.__annotations__, *more_keywords))
    if OTHER_NAMES.keys().isdisjoint(given):
        return given
    options: dict[str, Any] = {}
    for name, value in given.items():
        own_name = OTHER_NAMES.get(name, name)
        if options.get(own_name) is not None and value is not None:
            raise TypeError(f"{function}() got {own_name} under two names: pass only {own_name!r}")
        if value is not None or own_name not in options:
            options[own_name] = value
    return cast("RequestOptions", options)


class EmbedOptions(TypedDict, total=False):
    """Options of an embedding. If omitted or None, the model's default applies.

    `model`: [provider/]id of an embedding model; required by the gateway, whose error suggests some. `dimensions`:
    length of each vector. `purpose`: intended use, for models that distinguish uses. `provider_options`: by provider,
    merged into its native request. `idempotency_key`: a repeated call returns the first response, for an hour.
    `timeout`: seconds for the whole call.
    """

    model: str | None
    dimensions: int | None
    purpose: Literal["document", "query", "similarity", "classification", "clustering"] | None
    provider_options: Mapping[str, Mapping[str, object]] | None
    idempotency_key: str | None
    timeout: float | None


class SuggestOptions(TypedDict, total=False):
    """Options of a model suggestion, besides the required capabilities.

    `preferred`: capabilities that improve the score. `objective`: the property with the largest weight in the score,
    balanced by default. `min_context_window_tokens`: excludes models with a smaller or unknown context window.
    `providers`: the only providers to consider. `max_results`: at most 50, 3 by default.
    """

    preferred: Sequence[str]
    objective: Literal["balanced", "quality", "speed", "cost"] | None
    min_context_window_tokens: int
    providers: Sequence[str]
    max_results: int


def reject_unknown(function: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Raise TypeError for an unknown keyword, naming a known one if it is similar.

    >>> reject_unknown("request", ["temprature"], RequestOptions.__annotations__)
    Traceback (most recent call last):
    TypeError: request() got an unexpected keyword argument 'temprature'. Did you mean 'temperature'?
    """
    names = list(known)
    for name in given:
        if name not in names:
            hint = _hint(function, name, names)
            raise TypeError(f"{function}() got an unexpected keyword argument {name!r}.{hint}")


def _hint(function: str, name: str, known: Sequence[str]) -> str:
    if advice := ADVICE.get((function, name)):
        return f" {advice}"
    similar = SIMILAR_NAMES.get(name)
    closest = [similar] if similar in known else get_close_matches(name, known, n=1)
    return f" Did you mean {closest[0]!r}?" if closest else ""
