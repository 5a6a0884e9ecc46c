"""Writes the body of a generateContent request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json, to_json

from ....catalog.model import Model
from ....core.content import JsonObjectFormat, Tool, ToolChoice, ToolMode
from ....core.request import Call
from ..json_schema import refused_format
from ..native_options import merged
from .message_encoder import contents_of
from .schema import inlined
from .thinking import thinking_config, thinks_by_budget

MODES: dict[ToolMode, str] = {ToolMode.AUTO: "AUTO", ToolMode.REQUIRED: "ANY", ToolMode.NONE: "NONE"}


def body_of(call: Call, model: Model | None, options: Mapping[str, Any]) -> bytes:
    """The body. Fields nobody asked for are not sent; `options` are the operator's, the target's own beat them."""
    config = {name: value for name, value in _generation(call, model).items() if value is not None}
    body: dict[str, Any] = {"contents": contents_of(call, signed=not thinks_by_budget(model))}
    if call.system_instruction:
        body["systemInstruction"] = {"parts": [{"text": call.system_instruction}]}
    if call.tools:
        body["tools"] = [{"functionDeclarations": [_declaration(tool) for tool in call.tools]}]
        calling = _calling(call.tool_choice, strict=any(tool.strict for tool in call.tools))
        if calling:
            body["toolConfig"] = {"functionCallingConfig": calling}
    if config:
        body["generationConfig"] = config
    return to_json(merged(merged(body, options), call.target.options), inf_nan_mode="null")


def _generation(call: Call, model: Model | None) -> dict[str, Any]:
    sampling = call.target.sampling
    return {
        "maxOutputTokens": sampling.max_output_tokens,
        "stopSequences": list(sampling.stop_sequences) or None,
        "temperature": sampling.temperature,
        "topP": sampling.top_p,
        "topK": sampling.top_k,
        "seed": sampling.seed,
        "thinkingConfig": thinking_config(call.target.reasoning, model) or None,
        **_format(call, model),
    }


def _format(call: Call, model: Model | None) -> dict[str, Any]:
    """Raises CapabilityUnsupported where the model cannot be asked for it; then it is asked for in words."""
    wanted = call.output_format
    if wanted is None:
        return {}
    if call.tools and thinks_by_budget(model):
        raise refused_format("a format of the answer beside tools")
    if isinstance(wanted, JsonObjectFormat):
        return {"responseMimeType": "application/json"}
    return {"responseMimeType": "application/json", "responseJsonSchema": inlined(from_json(wanted.schema_json))}


def _declaration(tool: Tool) -> dict[str, Any]:
    declaration: dict[str, Any] = {"name": tool.name}
    if tool.description:
        declaration["description"] = tool.description
    schema = from_json(tool.input_schema_json or "{}")
    if schema:
        declaration["parametersJsonSchema"] = inlined(schema)
    return declaration


def _calling(choice: ToolChoice, *, strict: bool) -> dict[str, Any]:
    if choice.tool_name is not None:
        return {"mode": "ANY", "allowedFunctionNames": [choice.tool_name]}
    if strict and choice.mode in (None, ToolMode.AUTO):
        # The arguments are held to their schema, as ANY does too; it applies to all tools, strict or not.
        return {"mode": "VALIDATED"}
    return {"mode": MODES[choice.mode]} if choice.mode is not None else {}
