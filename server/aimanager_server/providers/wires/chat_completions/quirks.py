"""Describe how the servers of the chat-completions API differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from ....core.content import Effort
from ..call_ids import ANY, CallIds

ALL_EFFORTS: Mapping[Effort, str] = MappingProxyType({effort: effort.label for effort in Effort})


@dataclass(frozen=True, slots=True)
class Quirks:
    """The differences of one server or model. The defaults are what an unknown server most likely accepts.

    `system_role`: the role of the system instruction.
    `max_tokens_field`: the field for the output token limit.
    `effort_values`: the `reasoning_effort` value of each level. A level without a value is not sent; one with an empty
    value is how the server always reasons, so nothing need be sent.
    `has_thinking_toggle`: a `thinking` object switches reasoning on and off, in addition to the effort.
    `reasoning_field`: the field that carries reasoning on assistant turns; empty if the server does not accept it.
    `requests_stream_usage`: usage on streams must be requested with `stream_options`.
    `supports_strict_tools`: tools may be marked strict.
    `schema_support`: "strict" guarantees schemas under OpenAI's rules, "plain" accepts schemas unchanged,
    "json_mode" supports JSON without schemas, "none" supports neither.
    `reasoning_in_content`: reasoning goes back as a thinking item in the content of assistant turns.
    `top_k_field`: the field for top_k, which OpenAI lacks and most servers of open models have; empty if none.
    `shows_reasoning`: the server returns the reasoning of models that reason.
    `seed_field`, `required_tool_choice`: the server's names for the seed and for a required tool call.
    `call_ids`: the ids of tool calls that the server accepts.
    `allows_user_after_tool`: a user turn may directly follow tool results.
    `extra_fields`: fields sent with every request.
    """

    system_role: Literal["system", "developer"] = "system"
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    effort_values: Mapping[Effort, str] = field(default_factory=lambda: ALL_EFFORTS)
    has_thinking_toggle: bool = False
    reasoning_field: str = ""
    requests_stream_usage: bool = True
    supports_strict_tools: bool = True
    schema_support: Literal["strict", "plain", "json_mode", "none"] = "none"
    reasoning_in_content: bool = False
    seed_field: Literal["seed", "random_seed"] = "seed"
    top_k_field: Literal["top_k", ""] = ""
    shows_reasoning: bool = True
    required_tool_choice: Literal["required", "any"] = "required"
    call_ids: CallIds = ANY
    allows_user_after_tool: bool = True
    extra_fields: Mapping[str, Any] = field(default_factory=dict)
