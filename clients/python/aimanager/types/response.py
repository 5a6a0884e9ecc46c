"""What comes back: a whole answer, or a piece of one on its way."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from .._convert.output_format import Output, parsed
from .._convert.scalars import amount, seconds, word
from ..v1 import content_pb2, generation_pb2
from .artifact import Artifact
from .usage import Attempt, Usage, read_attempts, read_usage

SHOWN = 50  # characters of the content in a repr


@dataclass(frozen=True, slots=True)
class ToolCall:
    """The model asks the caller to run a tool."""

    proto: content_pb2.ToolCall

    @property
    def id(self) -> str:
        """Unique in the conversation; goes back with the result."""
        return self.proto.id

    @property
    def name(self) -> str:
        """The tool, as it was declared."""
        return self.proto.name

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments as the model wrote them: validate before use. Raises ValueError if they are no JSON object."""
        arguments = json.loads(self.proto.arguments_json or "{}")
        if isinstance(arguments, dict):
            return arguments
        raise ValueError(f"the arguments of {self.name!r} are not a JSON object: {self.proto.arguments_json!r}")


@dataclass(frozen=True, slots=True)
class SettingWarning:
    """A setting that the model could not honour, and what was done instead."""

    field: str
    message: str


@dataclass(frozen=True, slots=True)
class Metadata:
    """Everything about an answer but the answer. Empty or None: not known (yet).

    `finish_reason` is stop, max_tokens, tool_calls, content_filter, refusal, context_window, paused or other;
    `provider_finish_reason` the provider's own word. `latency` and `time_to_first_token` are in seconds. `cost` is in
    `currency`, None where no price is known; `cost_is_exact` is False where it comes from the gateway's price table.
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
    route: generation_pb2.Route


@dataclass(frozen=True, slots=True, repr=False)
class AIResponse:
    """An answer, or a piece of one: `content` of a piece is what is new. `proto` is what travelled, `output` what the
    answer was asked to be.

    >>> from aimanager.messages import assistant
    >>> response = AIResponse(generation_pb2.GenerateResponse(message=assistant("Good morning")))
    >>> str(response)
    'Good morning'
    """

    proto: generation_pb2.GenerateResponse
    output: Output | None = field(default=None, compare=False)

    @property
    def content(self) -> str:
        """The text, without the reasoning."""
        return "".join(part.text for part in self.proto.message.parts)

    @property
    def reasoning(self) -> str:
        """The reasoning that the provider showed."""
        return "".join(part.reasoning.text for part in self.proto.message.parts)

    @property
    def tool_calls(self) -> list[ToolCall]:
        """What the model asks to run, in its order."""
        return [ToolCall(part.tool_call) for part in self.proto.message.parts if part.HasField("tool_call")]

    @property
    def parsed(self) -> Any:
        """What `output` asked for: an instance of the model, or plain values for a schema.

        None on a piece but the last, where nothing was asked for, and where the answer was cut or refused: see
        `finish_reason`. Raises ValueError where the model refuses what its own schema admits.
        """
        return parsed(self.proto.structured_output_json, self.output)

    @property
    def artifacts(self) -> tuple[Artifact, ...]:
        """Files, documents and data in the answer; on a stream the last piece has them."""
        return tuple(map(Artifact, self.proto.artifacts))

    @property
    def message(self) -> content_pb2.Message:
        """The model's turn, to be sent back as it is: providers refuse a turn whose provider_state was touched."""
        return self.proto.message

    @property
    def finish_reason(self) -> str:
        """Why the model stopped; empty on a piece."""
        return word(generation_pb2.FinishReason, self.proto.finish_reason)

    @property
    def usage(self) -> Usage:
        """Tokens; `source` is `missing` on a piece."""
        return read_usage(self.proto.usage)

    @property
    def cost(self) -> Decimal | None:
        """Money in `metadata.currency`; None where no price is known, which is not zero."""
        return amount(self.proto, "cost")

    @property
    def cost_is_exact(self) -> bool:
        """The provider said the cost; False where it comes from the gateway's price table, or is not known."""
        return self.proto.HasField("cost") and not self.proto.cost.estimated

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """Every try at a provider, with what it took beside this answer's own usage and cost."""
        return read_attempts(self.proto.route)

    @property
    def warnings(self) -> tuple[SettingWarning, ...]:
        """Settings that were not honoured as asked."""
        return tuple(SettingWarning(warning.field, warning.message) for warning in self.proto.warnings)

    @property
    def from_cache(self) -> bool:
        """The answer was given before, to the same idempotency key."""
        return self.proto.from_cache

    @property
    def metadata(self) -> Metadata:
        """Who answered, how, and at what price."""
        route = self.proto.route
        return Metadata(
            request_id=self.proto.id,
            provider=self.proto.message.provider or route.provider,
            model=self.proto.message.model or route.model,
            requested_model=route.requested_model,
            finish_reason=self.finish_reason,
            provider_finish_reason=self.proto.provider_finish_reason,
            cost=self.cost,
            currency=self.proto.cost.currency_code,
            cost_is_exact=self.cost_is_exact,
            latency=seconds(route, "latency"),
            time_to_first_token=seconds(route, "time_to_first_token"),
            attempts=self.attempts,
            warnings=self.warnings,
            from_cache=self.from_cache,
            route=route,
        )

    def __str__(self) -> str:
        return self.content

    def __repr__(self) -> str:
        content = self.content
        shown = content if len(content) <= SHOWN else f"{content[:SHOWN]}…"
        metadata = self.metadata
        return f"AIResponse(provider={metadata.provider!r}, model={metadata.model!r}, content={shown!r})"
