"""Writes the body of a Messages API request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json, to_json

from ....catalog.model import Model
from ....core.content import JsonObjectFormat, OutputFormat, Sampling, Tool, ToolChoice, ToolMode
from ....core.request import Call
from ..json_schema import CLAUDE, promised, refused_format
from ..native_options import merged
from .message_encoder import messages_of
from .thinking import plan

MODES: dict[ToolMode, str] = {ToolMode.AUTO: "auto", ToolMode.REQUIRED: "any", ToolMode.NONE: "none"}


def body_of(call: Call, model: Model | None, options: Mapping[str, Any]) -> bytes:
    """The body. Fields nobody asked for are not sent; `options` are the operator's, the target's own beat them."""
    target = call.target
    planned = plan(target, model)
    body: dict[str, Any] = {
        "model": target.model,
        "max_tokens": planned.max_tokens,
        "system": call.system_instruction or None,
        "messages": messages_of(call),
        "tools": [_tool(tool) for tool in call.tools] or None,
        "tool_choice": _choice(call.tool_choice) if call.tools else None,
        "thinking": planned.thinking,
        "output_config": _output_config(planned.effort, call.output_format),
        **_sampling(target.sampling),
    }
    given = {field: value for field, value in body.items() if value is not None}
    body = merged(merged(given, options), target.options)
    # How the answer comes is the call's to say: it decides who reads it.
    body.pop("stream", None)
    if call.is_upstream_streamed:
        body["stream"] = True
    return to_json(body, inf_nan_mode="null")


def _output_config(effort: str | None, wanted: OutputFormat | None) -> dict[str, Any] | None:
    config: dict[str, Any] = {"effort": effort} if effort else {}
    if isinstance(wanted, JsonObjectFormat):
        raise refused_format("JSON without a schema")
    if wanted is not None:
        config["format"] = {"type": "json_schema", "schema": promised(wanted, CLAUDE)}
    return config or None


def _tool(tool: Tool) -> dict[str, Any]:
    # The type is demanded even of a tool that takes nothing.
    definition: dict[str, Any] = {"name": tool.name, "input_schema": {"type": "object", **_schema(tool)}}
    if tool.description:
        definition["description"] = tool.description
    if tool.strict:
        definition["strict"] = True
    return definition


def _schema(tool: Tool) -> dict[str, Any]:
    schema: dict[str, Any] = from_json(tool.input_schema_json or "{}")
    return schema


def _choice(choice: ToolChoice) -> dict[str, Any] | None:
    if choice.tool_name is not None:
        chosen: dict[str, Any] = {"type": "tool", "name": choice.tool_name}
    elif choice.mode is not None:
        chosen = {"type": MODES[choice.mode]}
    elif choice.parallel is False:
        chosen = {"type": "auto"}
    else:
        return None
    if choice.parallel is False and choice.mode is not ToolMode.NONE:
        chosen["disable_parallel_tool_use"] = True
    return chosen


def _sampling(sampling: Sampling) -> dict[str, Any]:
    """What Claude knows of it; it has no seed."""
    return {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "stop_sequences": list(sampling.stop_sequences) or None,
    }
