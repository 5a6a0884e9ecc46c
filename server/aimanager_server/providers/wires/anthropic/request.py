"""Encode the body of a Messages API request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json, to_json

from ....catalog.model import Model
from ....core.content import JsonObjectFormat, OutputFormat, Sampling, Tool, ToolChoice, ToolMode
from ....core.request import Attempt
from ..json_schema import ANTHROPIC, native_schema, unsupported_format
from ..native_options import deep_merge
from ..setting_changes import SettingChanges
from .message_encoder import encode_messages
from .thinking import plan_thinking

TOOL_CHOICE_TYPES: dict[ToolMode, str] = {ToolMode.AUTO: "auto", ToolMode.REQUIRED: "any", ToolMode.NONE: "none"}


def encode_body(
    attempt: Attempt[Any], model: Model | None, options: Mapping[str, Any], changes: SettingChanges
) -> bytes:
    """Return the body. Unset fields are omitted. Native options are merged last: the operator's, then the call's."""
    target = attempt.target
    plan = plan_thinking(target, model, changes)
    body: dict[str, Any] = {
        "model": target.model,
        "max_tokens": plan.max_tokens,
        "system": attempt.system_instruction or None,
        "messages": encode_messages(attempt),
        "tools": [_tool(tool) for tool in attempt.tools] or None,
        "tool_choice": _tool_choice(attempt.tool_choice) if attempt.tools else None,
        "thinking": plan.thinking,
        "output_config": _output_config(plan.effort, attempt.output_format),
        **_sampling(target.sampling, changes),
    }
    fields = {field: value for field, value in body.items() if value is not None}
    body = deep_merge(deep_merge(fields, options), target.options)
    # The call decides whether the response is streamed, because that selects the decoder.
    body.pop("stream", None)
    if attempt.is_streamed:
        body["stream"] = True
    return to_json(body, inf_nan_mode="null")


def _output_config(effort: str | None, output_format: OutputFormat | None) -> dict[str, Any] | None:
    config: dict[str, Any] = {"effort": effort} if effort else {}
    if isinstance(output_format, JsonObjectFormat):
        raise unsupported_format("JSON output without a schema")
    if output_format is not None:
        config["format"] = {"type": "json_schema", "schema": native_schema(output_format, ANTHROPIC)}
    return config or None


def _tool(tool: Tool) -> dict[str, Any]:
    # The API requires the type even for a tool without arguments.
    definition: dict[str, Any] = {"name": tool.name, "input_schema": {"type": "object", **_schema(tool)}}
    if tool.description:
        definition["description"] = tool.description
    if tool.strict:
        definition["strict"] = True
    return definition


def _schema(tool: Tool) -> dict[str, Any]:
    schema: dict[str, Any] = from_json(tool.input_schema_json or "{}")
    return schema


def _tool_choice(choice: ToolChoice) -> dict[str, Any] | None:
    if choice.tool_name is not None:
        value: dict[str, Any] = {"type": "tool", "name": choice.tool_name}
    elif choice.mode is not None:
        value = {"type": TOOL_CHOICE_TYPES[choice.mode]}
    elif choice.parallel is False:
        value = {"type": "auto"}
    else:
        return None
    if choice.parallel is False and choice.mode is not ToolMode.NONE:
        value["disable_parallel_tool_use"] = True
    return value


def _sampling(sampling: Sampling, changes: SettingChanges) -> dict[str, Any]:
    if sampling.seed is not None:
        changes.remove("sampling.seed", "The Messages API has no seed")
    return {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "stop_sequences": list(sampling.stop_sequences) or None,
    }
