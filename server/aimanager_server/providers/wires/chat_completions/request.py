"""Writes the body of a chat-completions request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json, to_json

from ....core.content import (
    Effort,
    JsonObjectFormat,
    OutputFormat,
    ReasoningOptions,
    Sampling,
    Tool,
    ToolChoice,
    ToolMode,
)
from ....core.request import Call
from ..json_schema import OPENAI, promised, refused_format
from ..native_options import merged
from .message_encoder import messages_of
from .quirks import Quirks

NO_ARGUMENTS: dict[str, Any] = {"type": "object", "properties": {}}


def body_of(call: Call, quirks: Quirks, options: Mapping[str, Any]) -> bytes:
    """The body; only what was asked for is said. Native options come last, the operator's before the call's."""
    target = call.target
    body: dict[str, Any] = {
        "model": target.model,
        "messages": messages_of(call, quirks),
        **quirks.fields,
        **_sampling(target.sampling, quirks),
        **_reasoning(target.reasoning, quirks),
        **_tools(call, quirks),
        **_format(call.output_format, quirks),
    }
    if call.is_upstream_streamed and quirks.stream_usage:
        body["stream_options"] = {"include_usage": True}
    body = merged(merged(body, options), target.options)
    # How the answer comes is the call's to say: it decides who reads it.
    body.pop("stream", None)
    if call.is_upstream_streamed:
        body["stream"] = True
    else:
        body.pop("stream_options", None)
    return to_json(body)


def _sampling(sampling: Sampling, quirks: Quirks) -> dict[str, Any]:
    said: dict[str, Any] = {
        quirks.limit_field: sampling.max_output_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        quirks.seed_field: sampling.seed,
        "stop": list(sampling.stop_sequences) or None,
    }
    return {name: value for name, value in said.items() if value is not None}


def _reasoning(reasoning: ReasoningOptions, quirks: Quirks) -> dict[str, Any]:
    effort = reasoning.effort
    if effort is None:
        return {}
    body: dict[str, Any] = {}
    if quirks.thinking_switch:
        body["thinking"] = {"type": "disabled" if effort is Effort.NONE else "enabled"}
    if effort in quirks.effort_words:
        body["reasoning_effort"] = quirks.effort_words[effort]
    return body


def _tools(call: Call, quirks: Quirks) -> dict[str, Any]:
    # A choice without tools is refused by the vendor, so it goes only with them.
    if not call.tools:
        return {}
    body: dict[str, Any] = {"tools": [_tool(tool, quirks) for tool in call.tools]}
    choice = _choice(call.tool_choice, quirks)
    if choice is not None:
        body["tool_choice"] = choice
    if call.tool_choice.parallel is not None:
        body["parallel_tool_calls"] = call.tool_choice.parallel
    return body


def _format(wanted: OutputFormat | None, quirks: Quirks) -> dict[str, Any]:
    """Raises CapabilityUnsupported where the server cannot be asked for it; then it is asked for in words."""
    if wanted is None:
        return {}
    if isinstance(wanted, JsonObjectFormat):
        if quirks.schemas == "none":
            raise refused_format("JSON")
        return {"response_format": {"type": "json_object"}}
    if quirks.schemas in ("none", "object"):
        raise refused_format("schemas")
    is_strict = quirks.schemas == "strict"
    schema = promised(wanted, OPENAI) if is_strict else from_json(wanted.schema_json)
    described = {"name": wanted.name, "schema": schema, "strict": is_strict or wanted.strict}
    return {"response_format": {"type": "json_schema", "json_schema": described}}


def _tool(tool: Tool, quirks: Quirks) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name}
    if tool.description:
        function["description"] = tool.description
    function["parameters"] = from_json(tool.input_schema_json or "{}") or NO_ARGUMENTS
    if tool.strict and quirks.strict_tools:
        function["strict"] = True
    return {"type": "function", "function": function}


def _choice(choice: ToolChoice, quirks: Quirks) -> str | dict[str, Any] | None:
    if choice.tool_name is not None:
        return {"type": "function", "function": {"name": choice.tool_name}}
    if choice.mode is ToolMode.REQUIRED:
        return quirks.required_word
    return choice.mode.value if choice.mode is not None else None
