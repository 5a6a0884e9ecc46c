"""Writes the body of a Responses request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, assert_never

from pydantic_core import from_json, to_json

from ....catalog.model import Model
from ....core.content import JsonObjectFormat, JsonSchemaFormat, OutputFormat, ReasoningOptions, Tool, ToolChoice
from ....core.request import Call
from ..json_schema import OPENAI, promised
from ..native_options import merged
from .input_encoder import input_of
from .provider_state import Json

NO_ARGUMENTS: Json = {"type": "object", "properties": {}}

KEPT_REASONING = ["reasoning.encrypted_content"]
"""What makes reasoning come in a form that can be sent back, since nothing is stored."""


def body_of(call: Call, model: Model | None, options: Mapping[str, Any]) -> bytes:
    """The body; only what was asked for is said. Native options come last, the operator's before the call's.

    The API stores answers unless told not to, so it is. It knows no stop sequences, seed and top_k.
    """
    target = call.target
    # Models that do not think refuse to be asked for their reasoning.
    thinks = model is None or model.thinking != "none"
    said: Json = {
        "model": target.model,
        "instructions": call.system_instruction or None,
        "input": input_of(call),
        "store": False,
        "include": KEPT_REASONING if thinks else None,
        "max_output_tokens": target.sampling.max_output_tokens,
        "temperature": target.sampling.temperature,
        "top_p": target.sampling.top_p,
        "reasoning": _reasoning(target.reasoning),
        "text": _text(call.output_format),
        **_tools(call),
    }
    given = {field: value for field, value in said.items() if value is not None}
    body = merged(merged(given, options), target.options)
    # How the answer comes is the call's to say: it decides who reads it.
    body.pop("stream", None)
    if call.is_upstream_streamed:
        body["stream"] = True
    else:
        body.pop("stream_options", None)
    return to_json(body)


def _reasoning(reasoning: ReasoningOptions) -> Json | None:
    said: Json = {}
    if reasoning.effort is not None:
        said["effort"] = reasoning.effort.label
    if reasoning.include:
        said["summary"] = "auto"
    return said or None


def _text(output_format: OutputFormat | None) -> Json | None:
    match output_format:
        case None:
            return None
        case JsonObjectFormat():
            return {"format": {"type": "json_object"}}
        case JsonSchemaFormat():
            schema = promised(output_format, OPENAI)
            return {"format": {"type": "json_schema", "name": output_format.name, "schema": schema, "strict": True}}
        case _:
            assert_never(output_format)


def _tools(call: Call) -> Json:
    # A choice without tools is refused by the vendor, so it goes only with them.
    if not call.tools:
        return {}
    return {
        "tools": [_tool(tool) for tool in call.tools],
        "tool_choice": _choice(call.tool_choice),
        "parallel_tool_calls": call.tool_choice.parallel,
    }


def _tool(tool: Tool) -> Json:
    # Where strictness is not denied it is assumed, and most schemas do not stand it.
    function: Json = {
        "type": "function",
        "name": tool.name,
        "parameters": from_json(tool.input_schema_json or "{}") or NO_ARGUMENTS,
        "strict": tool.strict,
    }
    return {**function, "description": tool.description} if tool.description else function


def _choice(choice: ToolChoice) -> str | Json | None:
    if choice.tool_name is not None:
        return {"type": "function", "name": choice.tool_name}
    return choice.mode.value if choice.mode is not None else None
