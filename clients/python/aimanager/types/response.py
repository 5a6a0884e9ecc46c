"""A response, or one piece of a streamed response."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from .._convert.field_names import parameter_name, with_parameter_names
from .._convert.json_form import from_plain, to_plain
from .._convert.message_dict import message_to_dict, read_message_dict
from .._convert.output_format import Output, parse_output
from .._convert.scalars import enum_word, enum_words, read_cost, read_seconds, read_time
from ..v1 import content_pb2, generation_pb2, usage_pb2
from .artifact import Artifact
from .presentation import FieldMapping
from .usage import Attempt, Usage, read_attempts, read_usage, write_usage

if TYPE_CHECKING:
    # Part of typing from Python 3.13; the package does not depend on typing_extensions.
    from typing_extensions import TypeVar as DefaultTypeVar

    Parsed = DefaultTypeVar("Parsed", default=Any, covariant=True)
else:
    Parsed = TypeVar("Parsed", covariant=True)

MAX_REPR_CONTENT = 50  # characters
NOT_PARSED: Any = ...  # a singleton, also after pickling
METADATA_FIELDS = ("request_id", "requested_model", "provider_finish_reason")
"""What `metadata` of a constructed response may contain, besides `finish_reason` and `cache_status`."""


@dataclass(frozen=True, slots=True, repr=False)
class ToolCall:
    """A request of the model to run a tool. `proto` is the message from the server.

    >>> ToolCall.build("weather", {"city": "Rome"}).arguments
    {'city': 'Rome'}
    """

    proto: content_pb2.ToolCall

    @classmethod
    def build(cls, name: str, arguments: Mapping[str, Any] | None = None, *, id: str = "1") -> Self:  # noqa: A002
        """Return a tool call, for tests."""
        return cls(content_pb2.ToolCall(id=id, name=name, arguments_json=json.dumps(dict(arguments or {}))))

    @property
    def id(self) -> str:
        """Unique id in the conversation; `tool_result` returns it."""
        return self.proto.id

    @property
    def name(self) -> str:
        """Name of the tool."""
        return self.proto.name

    @property
    def arguments(self) -> dict[str, Any]:
        """Arguments from the model, not validated. Raises ValueError unless they are a JSON object."""
        arguments = json.loads(self.proto.arguments_json or "{}")
        if isinstance(arguments, dict):
            return arguments
        raise ValueError(f"arguments of tool {self.name!r} must be a JSON object, got {self.proto.arguments_json!r}")

    def __repr__(self) -> str:
        arguments = self.proto.arguments_json
        shown = arguments if len(arguments) <= MAX_REPR_CONTENT else f"{arguments[:MAX_REPR_CONTENT]}…"
        return f"ToolCall(id={self.id!r}, name={self.name!r}, arguments={shown})"


@dataclass(frozen=True, slots=True)
class SettingWarning:
    """An option that the gateway changed or dropped because the model does not support it. `field` is the parameter.

    >>> SettingWarning("seed", "seed is not supported").field
    'seed'
    """

    field: str
    message: str


@dataclass(frozen=True, slots=True)
class Metadata(FieldMapping):
    """Everything about a response except its content. Values that are not known (yet) are empty or None.

    Also a mapping of its attributes. `finish_reason` is stop, max_tokens, tool_calls, content_filter, refusal,
    context_window, paused or other; `provider_finish_reason` is the provider's own value. `latency` and
    `time_to_first_token` are in seconds. `cost` is in `currency`, None if the price is unknown; `cost_is_exact` is
    False for a cost from the gateway's price table. `cache_status` is miss, idempotent_replay, hit or coalesced.
    `saved_cost` is what a response from the cache cost when it was generated, at `generate_time`. `execution` is the
    message from the server.

    >>> AIResponse("Hi", "mock", "mock-large").metadata["provider"]
    'mock'
    """

    request_id: str
    provider: str
    model: str
    requested_model: str
    finish_reason: str
    provider_finish_reason: str
    cost: Decimal | None
    currency: str
    cost_is_exact: bool
    latency: float | None
    time_to_first_token: float | None
    attempts: tuple[Attempt, ...]
    warnings: tuple[SettingWarning, ...]
    from_cache: bool
    cache_status: str
    saved_cost: Decimal | None
    generate_time: datetime | None
    execution: generation_pb2.Execution = field(repr=False)


@dataclass(frozen=True, slots=True, repr=False, init=False)
class AIResponse(Generic[Parsed]):
    """A response, or one piece of a streamed response: `content` of a piece is the new text.

    `proto` is the message from the server, `output` the output format of the request. The constructor is for tests.

    >>> response = AIResponse("Good morning", "mock", "mock-large", {"input_tokens": 3, "output_tokens": 2})
    >>> response
    AIResponse(provider='mock', model='mock-large', content='Good morning')
    >>> AIResponse.from_dict(response.to_dict()) == response
    True
    """

    proto: generation_pb2.GenerateResponse
    output: Output | None = field(compare=False)
    _waited: tuple[Attempt, ...] = field(compare=False)
    _parsed: Any = field(compare=False)

    def __init__(
        self,
        content: str = "",
        provider: str = "",
        model: str = "",
        usage: Usage | Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
        artifacts: Iterable[Artifact] | None = None,
        reasoning: str | None = None,
        *,
        tool_calls: Iterable[ToolCall] = (),
        parsed: Any = None,
        finish_reason: str = "stop",
    ) -> None:
        parts = [content_pb2.Part(reasoning=content_pb2.Reasoning(text=reasoning))] if reasoning else []
        parts += [content_pb2.Part(text=content)] if content else []
        parts += [content_pb2.Part(tool_call=call.proto) for call in tool_calls]
        details = dict(metadata or {})
        reason = enum_words(generation_pb2.FinishReason)[details.pop("finish_reason", finish_reason)]
        status = enum_words(usage_pb2.CacheStatus)[details.pop("cache_status", "miss")]
        if unknown := [name for name in details if name not in METADATA_FIELDS]:
            raise TypeError(
                f"metadata of a response cannot set {unknown[0]!r}; it can set {', '.join(METADATA_FIELDS)}"
            )
        role = content_pb2.Role.ROLE_ASSISTANT
        proto = generation_pb2.GenerateResponse(
            id=details.get("request_id", ""),
            message=content_pb2.Message(role=role, parts=parts, provider=provider, model=model),
            finish_reason=generation_pb2.FinishReason.ValueType(reason),
            provider_finish_reason=details.get("provider_finish_reason", ""),
            usage=write_usage(usage or {}),
            execution=generation_pb2.Execution(
                requested_model=details.get("requested_model", ""), provider=provider, model=model
            ),
            cache_status=usage_pb2.CacheStatus.ValueType(status),
            artifacts=[artifact.proto for artifact in artifacts or ()],
        )
        self._set(proto, None, (), parsed)

    @classmethod
    def from_proto(
        cls,
        proto: generation_pb2.GenerateResponse,
        output: Output | None = None,
        waited: tuple[Attempt, ...] = (),
    ) -> Self:
        """Return the response of a message from the server. `waited` are the client's own attempts before it."""
        response = cls.__new__(cls)
        response._set(proto, output, waited, NOT_PARSED)
        return response

    def _set(
        self, proto: generation_pb2.GenerateResponse, output: Output | None, waited: tuple[Attempt, ...], parsed: Any
    ) -> None:
        for name, value in (("proto", proto), ("output", output), ("_waited", waited), ("_parsed", parsed)):
            object.__setattr__(self, name, value)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        """Return the response of a dict from `to_dict`. Raises InvalidRequestError for another dict."""
        stored = {name: value for name, value in fields.items() if name not in ("content", "provider", "model")}
        shown = {name: fields.get(name, "") for name in ("content", "provider", "model")}
        message = stored.pop("message", None) or {"role": "assistant", **shown}
        others = {name: value for name, value in stored.items() if name != "usage"}
        proto = from_plain(others, generation_pb2.GenerateResponse())
        usage = {name: value for name, value in dict(stored.get("usage") or {}).items() if name != "total_tokens"}
        if usage.get("source", "missing") != "missing":
            from_plain(usage, proto.usage)
        proto.message.CopyFrom(read_message_dict(message, "message"))
        return cls.from_proto(proto)

    def to_dict(self) -> dict[str, Any]:
        """Return the response as a dict that JSON can carry: content, provider, model, usage and everything else.

        `parsed` is the JSON text in `structured_output_json`. `AIResponse.from_dict` restores the response.
        """
        shown = {"content": self.content, "provider": self.provider, "model": self.model}
        return {
            **shown,
            **to_plain(self.proto),
            "message": message_to_dict(self.proto.message),
            "usage": dict(self.usage),
        }

    @property
    def content(self) -> str:
        """Text without the reasoning."""
        return "".join(part.text for part in self.proto.message.parts)

    @property
    def text(self) -> str:
        """Text without the reasoning: the same as `content`."""
        return self.content

    @property
    def provider(self) -> str:
        """Provider that answered."""
        return self.proto.message.provider or self.proto.execution.provider

    @property
    def model(self) -> str:
        """Model that answered, without the provider."""
        return self.proto.message.model or self.proto.execution.model

    @property
    def reasoning(self) -> str:
        """Reasoning text, if the provider returns it."""
        return "".join(part.reasoning.text for part in self.proto.message.parts)

    @property
    def tool_calls(self) -> list[ToolCall]:
        """Tool calls in the model's order."""
        return [ToolCall(part.tool_call) for part in self.proto.message.parts if part.HasField("tool_call")]

    @property
    def parsed(self) -> Parsed:
        """Structured output: an instance of the type in `output`, or plain values for a JSON Schema.

        None without `output`, and on every piece of a stream but the last. Raises ValueError for a response that was
        truncated or refused, see `finish_reason`, and for JSON that a validator of the type rejects.
        """
        if self._parsed is NOT_PARSED:
            object.__setattr__(self, "_parsed", self._parse())
        parsed: Parsed = self._parsed
        return parsed

    def _parse(self) -> Any:
        text = self.proto.structured_output_json
        if not text and self.output is not None and self.finish_reason:
            is_cut = self.finish_reason == "max_tokens"
            advice = "increase max_tokens, or change the prompt" if is_cut else "change the prompt"
            raise ValueError(
                f"the response has no structured output, as it ended with finish_reason {self.finish_reason!r}: "
                f"{advice}"
            )
        return parse_output(text, self.output)

    @property
    def artifacts(self) -> tuple[Artifact, ...]:
        """Files, documents and data in the response, if they were requested. On a stream the last piece has them."""
        return tuple(map(Artifact, self.proto.artifacts))

    @property
    def message(self) -> content_pb2.Message:
        """Message of the model. Send it back unchanged: providers reject a message with a modified provider_state."""
        return self.proto.message

    @property
    def finish_reason(self) -> str:
        """Reason why the model stopped; empty on every piece but the last."""
        return enum_word(generation_pb2.FinishReason, self.proto.finish_reason)

    @property
    def usage(self) -> Usage:
        """Tokens; `source` is `missing` on every piece but the last."""
        return read_usage(self.proto.usage)

    @property
    def cost(self) -> Decimal | None:
        """Cost in `metadata.currency`; None, not zero, if the price is unknown."""
        return read_cost(self.proto, "cost")

    @property
    def total_cost(self) -> Decimal | None:
        """Cost of all attempts, also of those that failed or were lost to a restart; None if a price is unknown."""
        return read_cost(self.proto.execution, "total_cost")

    @property
    def saved_cost(self) -> Decimal | None:
        """What a response from the cache cost when it was generated; None for other responses and unknown prices."""
        return read_cost(self.proto.execution, "saved_cost")

    @property
    def cost_is_exact(self) -> bool:
        """Whether the provider reported the cost; False for the gateway's price table or an unknown price."""
        return self.proto.HasField("cost") and not self.proto.cost.estimated

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """Every attempt at a provider. The response's own usage and cost exclude those of failed attempts.

        The first ones have no provider if the gateway's rate limit rejected the call and the client waited.
        """
        return self._waited + read_attempts(self.proto.execution)

    @property
    def warnings(self) -> tuple[SettingWarning, ...]:
        """Options that the gateway changed or dropped."""
        return tuple(map(read_warning, self.proto.warnings))

    @property
    def from_cache(self) -> bool:
        """Whether this is a stored response; its usage and cost were not incurred again."""
        return self.cache_status not in ("", "miss")

    @property
    def cache_status(self) -> str:
        """`miss` for a new response; `idempotent_replay` for that of an earlier call with the same idempotency key.

        `hit` for the stored one of an earlier, equal request; `coalesced` for that of an equal request that was in
        flight. Empty on every piece but the last.
        """
        return enum_word(usage_pb2.CacheStatus, self.proto.cache_status)

    @property
    def metadata(self) -> Metadata:
        """Provider, model, finish reason, cost, latency and attempts."""
        execution = self.proto.execution
        return Metadata(
            request_id=self.proto.id,
            provider=self.provider,
            model=self.model,
            requested_model=execution.requested_model,
            finish_reason=self.finish_reason,
            provider_finish_reason=self.proto.provider_finish_reason,
            cost=self.cost,
            currency=self.proto.cost.currency_code,
            cost_is_exact=self.cost_is_exact,
            latency=read_seconds(execution, "latency"),
            time_to_first_token=read_seconds(execution, "time_to_first_token"),
            attempts=self.attempts,
            warnings=self.warnings,
            from_cache=self.from_cache,
            cache_status=self.cache_status,
            saved_cost=self.saved_cost,
            generate_time=read_time(execution, "generate_time"),
            execution=execution,
        )

    def __str__(self) -> str:
        return self.content

    def __format__(self, specification: str) -> str:
        return format(self.content, specification)

    def __repr__(self) -> str:
        content = self.content
        shown = content if len(content) <= MAX_REPR_CONTENT else f"{content[:MAX_REPR_CONTENT]}…"
        return f"AIResponse(provider={self.provider!r}, model={self.model!r}, content={shown!r})"


def read_warning(warning: generation_pb2.Warning) -> SettingWarning:
    """Convert a warning from the server."""
    return SettingWarning(parameter_name(warning.field), with_parameter_names(warning.message, [warning.field]))
