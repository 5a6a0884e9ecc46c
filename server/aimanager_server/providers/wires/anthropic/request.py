"""Encode the body of a Messages API request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic_core import from_json, to_json

from ....catalog.model import Model
from ....core.content import CacheHint, JsonObjectFormat, OutputFormat, Sampling, Tool, ToolChoice, ToolMode
from ....core.request import Attempt
from ..json_schema import ANTHROPIC, native_schema, unsupported_format
from ..native_options import deep_merge
from ..prompt_markers import MarkedPrompt, Markers, mark_prompt, without_markers
from ..setting_changes import SettingChanges
from .message_encoder import cache_control, encode_messages
from .thinking import plan_thinking

TOOL_CHOICE_TYPES: dict[ToolMode, str] = {ToolMode.AUTO: "auto", ToolMode.REQUIRED: "any", ToolMode.NONE: "none"}


MARKERS = Markers(assistant_parts=True, tools=True, long=True)


def encode_body(
    attempt: Attempt[Any],
    model: Model | None,
    options: Mapping[str, Any],
    changes: SettingChanges,
    compacted: dict[str, Any] | None = None,
    *,
    marks_prompt: bool = False,
) -> bytes:
    """Return the body. Unset fields are omitted. Native options are merged last: the operator's, then the call's.

    `compacted` is the block of a compaction, which comes first and replaces the first message of the call.
    `marks_prompt`: the parts of the prompt that are worth it are marked for the prompt cache.
    """
    target = attempt.target
    plan = plan_thinking(target, model, changes)
    prompt = _marked(attempt, model, options, changes, is_on=marks_prompt, replaced=0 if compacted is None else 1)
    body: dict[str, Any] = {
        "model": target.model,
        "max_tokens": plan.max_tokens,
        "system": _system(attempt.system_instruction, prompt.system),
        "messages": [*_assistant(compacted), *encode_messages(prompt.of(attempt))],
        "tools": _tools(attempt.tools, prompt.tools),
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


def _marked(
    attempt: Attempt[Any],
    model: Model | None,
    options: Mapping[str, Any],
    changes: SettingChanges,
    *,
    is_on: bool,
    replaced: int,
) -> MarkedPrompt:
    """Return what to mark: nothing if a native option asks for automatic caching, which places a marker itself."""
    spec = model.prompt_cache if model is not None else None
    if not is_on or spec is None:
        return without_markers(attempt, spec, changes, is_on=is_on)
    if "cache_control" in options or "cache_control" in attempt.target.options:
        reason = "The native option cache_control caches the prompt"
        return without_markers(attempt, spec, changes, reason=reason)
    return mark_prompt(attempt, spec, MARKERS, changes, replaced=replaced)


def _system(instruction: str, hint: CacheHint | None) -> str | list[dict[str, Any]] | None:
    if hint is None:
        return instruction or None
    return [{"type": "text", "text": instruction, **cache_control(hint)}]


def _assistant(compacted: dict[str, Any] | None) -> list[dict[str, Any]]:
    return [] if compacted is None else [{"role": "assistant", "content": [compacted]}]


def _output_config(effort: str | None, output_format: OutputFormat | None) -> dict[str, Any] | None:
    config: dict[str, Any] = {"effort": effort} if effort else {}
    if isinstance(output_format, JsonObjectFormat):
        raise unsupported_format("JSON output without a schema")
    if output_format is not None:
        config["format"] = {"type": "json_schema", "schema": native_schema(output_format, ANTHROPIC)}
    return config or None


def _tools(tools: Sequence[Tool], hint: CacheHint | None) -> list[dict[str, Any]] | None:
    definitions = [_tool(tool) for tool in tools]
    if definitions:
        definitions[-1] |= cache_control(hint)
    return definitions or None


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
