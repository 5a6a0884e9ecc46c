"""A response, or one piece of a streamed response."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from .._convert.field_names import parameter_name, with_parameter_names
from .._convert.output_format import Output, parse_output
from .._convert.scalars import enum_word, read_cost, read_seconds
from ..v1 import content_pb2, generation_pb2, usage_pb2
from .artifact import Artifact
from .usage import Attempt, Usage, read_attempts, read_usage

MAX_REPR_CONTENT = 50  # characters


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A request of the model to run a tool. `proto` is the message from the server.

    >>> ToolCall(content_pb2.ToolCall(id="1", name="weather", arguments_json='{"city": "Rome"}')).arguments
    {'city': 'Rome'}
    """

    proto: content_pb2.ToolCall

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


@dataclass(frozen=True, slots=True)
class SettingWarning:
    """An option that the gateway changed or dropped because the model does not support it. `field` is the parameter."""

    field: str
    message: str


@dataclass(frozen=True, slots=True)
class Metadata:
    """Everything about a response except its content. Values that are not known (yet) are empty or None.

    `finish_reason` is stop, max_tokens, tool_calls, content_filter, refusal, context_window, paused or other;
    `provider_finish_reason` is the provider's own value. `latency` and `time_to_first_token` are in seconds. `cost` is
    in `currency`, None if the price is unknown; `cost_is_exact` is False for a cost from the gateway's price table.
    `cache_status` is miss or idempotent_replay. `execution` is the message from the server.
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
    execution: generation_pb2.Execution


@dataclass(frozen=True, slots=True, repr=False)
class AIResponse:
    """A response, or one piece of a streamed response: `content` of a piece is the new text.

    `proto` is the message from the server, `output` the output format of the request.

    >>> from aimanager import assistant
    >>> response = AIResponse(generation_pb2.GenerateResponse(message=assistant("Good morning")))
    >>> str(response)
    'Good morning'
    """

    proto: generation_pb2.GenerateResponse
    output: Output | None = field(default=None, compare=False)

    @property
    def content(self) -> str:
        """Text without the reasoning."""
        return "".join(part.text for part in self.proto.message.parts)

    @property
    def reasoning(self) -> str:
        """Reasoning text, if the provider returns it."""
        return "".join(part.reasoning.text for part in self.proto.message.parts)

    @property
    def tool_calls(self) -> list[ToolCall]:
        """Tool calls in the model's order."""
        return [ToolCall(part.tool_call) for part in self.proto.message.parts if part.HasField("tool_call")]

    @property
    def parsed(self) -> Any:
        """Structured output: an instance of the pydantic model in `output`, or plain values for a schema.

        None without `output`, on every piece but the last, and for a truncated or refused response: see
        `finish_reason`. Raises ValueError if the pydantic model rejects JSON that matches its schema.
        """
        return parse_output(self.proto.structured_output_json, self.output)

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
    def cost_is_exact(self) -> bool:
        """Whether the provider reported the cost; False for the gateway's price table or an unknown price."""
        return self.proto.HasField("cost") and not self.proto.cost.estimated

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """Every attempt at a provider. The response's own usage and cost exclude those of failed attempts."""
        return read_attempts(self.proto.execution)

    @property
    def warnings(self) -> tuple[SettingWarning, ...]:
        """Options that the gateway changed or dropped."""
        return tuple(map(_read_warning, self.proto.warnings))

    @property
    def from_cache(self) -> bool:
        """Whether this is a stored response; its usage and cost were not incurred again."""
        return self.cache_status not in ("", "miss")

    @property
    def cache_status(self) -> str:
        """`miss` for a new response, `idempotent_replay` for that of an earlier call with the same idempotency key.

        Empty on every piece but the last.
        """
        return enum_word(usage_pb2.CacheStatus, self.proto.cache_status)

    @property
    def metadata(self) -> Metadata:
        """Provider, model, finish reason, cost, latency and attempts."""
        execution = self.proto.execution
        return Metadata(
            request_id=self.proto.id,
            provider=self.proto.message.provider or execution.provider,
            model=self.proto.message.model or execution.model,
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
            execution=execution,
        )

    def __str__(self) -> str:
        return self.content

    def __repr__(self) -> str:
        content = self.content
        shown = content if len(content) <= MAX_REPR_CONTENT else f"{content[:MAX_REPR_CONTENT]}…"
        metadata = self.metadata
        return f"AIResponse(provider={metadata.provider!r}, model={metadata.model!r}, content={shown!r})"


def _read_warning(warning: generation_pb2.Warning) -> SettingWarning:
    return SettingWarning(parameter_name(warning.field), with_parameter_names(warning.message, [warning.field]))
