"""Encode the body of a generateContent request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic_core import to_json

from ....catalog.model import Model
from ....core.content import JsonObjectFormat, Tool, ToolChoice, ToolMode
from ....core.request import Attempt
from ..json_schema import unsupported_format
from ..native_options import deep_merge
from ..prompt_markers import without_markers
from ..setting_changes import SettingChanges
from .message_encoder import encode_contents
from .schema import ReferenceInliner
from .thinking import thinking_config, uses_thinking_budget

FUNCTION_CALLING_MODES: dict[ToolMode, str] = {ToolMode.AUTO: "AUTO", ToolMode.REQUIRED: "ANY", ToolMode.NONE: "NONE"}


def encode_body(
    attempt: Attempt[Any], model: Model | None, options: Mapping[str, Any], changes: SettingChanges
) -> bytes:
    """Return the body. Unset fields are omitted. Native options are merged last: the operator's, then the call's."""
    without_markers(attempt, model.prompt_cache if model is not None else None, changes)  # it caches by itself
    inliner = ReferenceInliner()
    config = {name: value for name, value in _generation(attempt, model, inliner, changes).items() if value is not None}
    body: dict[str, Any] = {"contents": encode_contents(attempt, uses_signatures=not uses_thinking_budget(model))}
    if attempt.system_instruction:
        body["systemInstruction"] = {"parts": [{"text": attempt.system_instruction}]}
    if attempt.tools:
        body["tools"] = [{"functionDeclarations": [_declaration(tool, inliner) for tool in attempt.tools]}]
        function_calling = _function_calling(attempt.tool_choice, strict=any(tool.strict for tool in attempt.tools))
        if attempt.tool_choice.parallel is False:
            changes.remove("tool_choice.parallel", "The Gemini API cannot limit a turn to one tool call")
        if function_calling:
            body["toolConfig"] = {"functionCallingConfig": function_calling}
    if config:
        body["generationConfig"] = config
    return to_json(deep_merge(deep_merge(body, options), attempt.target.options), inf_nan_mode="null")


def _generation(
    attempt: Attempt[Any], model: Model | None, inliner: ReferenceInliner, changes: SettingChanges
) -> dict[str, Any]:
    sampling = attempt.target.sampling
    return {
        "maxOutputTokens": sampling.max_output_tokens,
        "stopSequences": list(sampling.stop_sequences) or None,
        "temperature": sampling.temperature,
        "topP": sampling.top_p,
        "topK": sampling.top_k,
        "seed": sampling.seed,
        "thinkingConfig": thinking_config(attempt.target.reasoning, model, changes) or None,
        **_format(attempt, model, inliner),
    }


def _format(attempt: Attempt[Any], model: Model | None, inliner: ReferenceInliner) -> dict[str, Any]:
    """Return the format fields. Raises CapabilityUnsupported if the model does not support the format natively."""
    output_format = attempt.output_format
    if output_format is None:
        return {}
    if attempt.tools and uses_thinking_budget(model):
        raise unsupported_format("an output format combined with tools")
    if isinstance(output_format, JsonObjectFormat):
        return {"responseMimeType": "application/json"}
    return {
        "responseMimeType": "application/json",
        "responseJsonSchema": inliner.inline(output_format.schema_json),
    }


def _declaration(tool: Tool, inliner: ReferenceInliner) -> dict[str, Any]:
    declaration: dict[str, Any] = {"name": tool.name}
    if tool.description:
        declaration["description"] = tool.description
    schema = inliner.inline(tool.input_schema_json or "{}")
    if schema:
        declaration["parametersJsonSchema"] = schema
    return declaration


def _function_calling(choice: ToolChoice, *, strict: bool) -> dict[str, Any]:
    if choice.tool_name is not None:
        return {"mode": "ANY", "allowedFunctionNames": [choice.tool_name]}
    if strict and choice.mode in (None, ToolMode.AUTO):
        # VALIDATED enforces the schemas of all tools, strict or not. ANY does as well.
        return {"mode": "VALIDATED"}
    return {"mode": FUNCTION_CALLING_MODES[choice.mode]} if choice.mode is not None else {}
