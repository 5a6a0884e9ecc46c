"""Encode the body of a chat-completions request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json, to_json

from ....catalog.model import Model
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
from ....core.request import Attempt
from ..cache_keys import PromptCacheKeys
from ..json_schema import OPENAI, native_schema, unsupported_format
from ..native_options import deep_merge
from ..openai_breakpoints import mark_openai_prompt
from ..prompt_markers import Markers
from ..setting_changes import EFFORT, INCLUDE, SettingChanges, budget_as_effort
from .message_encoder import encode_messages
from .quirks import Quirks

NO_ARGUMENTS: dict[str, Any] = {"type": "object", "properties": {}}


API = "The chat-completions API of this server"


MARKERS = Markers()


def encode_body(
    attempt: Attempt[Any],
    quirks: Quirks,
    options: Mapping[str, Any],
    changes: SettingChanges,
    model: Model | None = None,
    cache_keys: PromptCacheKeys | None = None,
) -> bytes:
    """Return the body. Unset fields are omitted. Native options are merged last: the operator's, then the call's.

    Without `cache_keys`, the prompt cache is left to the provider.
    """
    target = attempt.target
    prompt, cache_options = mark_openai_prompt(attempt, model, MARKERS, changes, is_on=cache_keys is not None)
    is_marked = prompt.is_repeated and bool(cache_options)
    body: dict[str, Any] = {
        "model": target.model,
        "messages": encode_messages(prompt.of(attempt), quirks, prompt if is_marked else None),
        **quirks.extra_fields,
        **_sampling(target.sampling, quirks, changes),
        **_reasoning(target.reasoning, quirks, changes),
        **_tools(attempt, quirks, changes),
        **_format(attempt.output_format, quirks),
        **cache_options,
    }
    if attempt.is_streamed and quirks.requests_stream_usage:
        body["stream_options"] = {"include_usage": True}
    body = deep_merge(deep_merge(body, options), target.options)
    if cache_keys is not None and model is not None and model.prompt_cache is not None:
        cache_keys.add_to(body, attempt, model.prompt_cache)
    # The call decides whether the response is streamed, because that selects the decoder.
    body.pop("stream", None)
    if attempt.is_streamed:
        body["stream"] = True
    else:
        body.pop("stream_options", None)
    return to_json(body)


def _sampling(sampling: Sampling, quirks: Quirks, changes: SettingChanges) -> dict[str, Any]:
    if sampling.top_k is not None and not quirks.top_k_field:
        changes.remove("sampling.top_k", f"{API} has no top_k")
    fields: dict[str, Any] = {
        quirks.max_tokens_field: sampling.max_output_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        quirks.seed_field: sampling.seed,
        **({quirks.top_k_field: sampling.top_k} if quirks.top_k_field else {}),
        "stop": list(sampling.stop_sequences) or None,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _reasoning(reasoning: ReasoningOptions, quirks: Quirks, changes: SettingChanges) -> dict[str, Any]:
    if reasoning.include and not quirks.shows_reasoning:
        changes.report(INCLUDE, f"{API} does not return reasoning; include was ignored.")
    effort = budget_as_effort(reasoning, changes, API, has_efforts=bool(quirks.effort_values))
    if effort is None:
        return {}
    body: dict[str, Any] = {}
    if quirks.has_thinking_toggle:
        body["thinking"] = {"type": "disabled" if effort is Effort.NONE else "enabled"}
    value = quirks.effort_values.get(effort)
    if value:
        body["reasoning_effort"] = value
    if value and value != effort.label:
        changes.report(EFFORT, f"{API} does not support effort {effort.label}; {value!r} is used.")
    elif value is None and not (quirks.has_thinking_toggle and effort is Effort.NONE):
        changes.remove(EFFORT, f"{API} does not support effort {effort.label} for this model")
    return body


def _tools(attempt: Attempt[Any], quirks: Quirks, changes: SettingChanges) -> dict[str, Any]:
    # Servers reject a tool choice without tools.
    if not attempt.tools:
        return {}
    if not quirks.supports_strict_tools:
        for index, tool in enumerate(attempt.tools):
            if tool.strict:
                changes.remove(f"tools[{index}].strict", f"{API} has no strict tools")
    body: dict[str, Any] = {"tools": [_tool(tool, quirks) for tool in attempt.tools]}
    choice = _tool_choice(attempt.tool_choice, quirks)
    if choice is not None:
        body["tool_choice"] = choice
    if attempt.tool_choice.parallel is not None:
        body["parallel_tool_calls"] = attempt.tool_choice.parallel
    return body


def _format(output_format: OutputFormat | None, quirks: Quirks) -> dict[str, Any]:
    """Return `response_format`. Raises CapabilityUnsupported if the server does not support it natively."""
    if output_format is None:
        return {}
    if isinstance(output_format, JsonObjectFormat):
        if quirks.schema_support == "none":
            raise unsupported_format("JSON output")
        return {"response_format": {"type": "json_object"}}
    if quirks.schema_support in ("none", "json_mode"):
        raise unsupported_format("JSON schemas")
    is_strict = quirks.schema_support == "strict"
    schema = native_schema(output_format, OPENAI) if is_strict else from_json(output_format.schema_json)
    json_schema = {"name": output_format.name, "schema": schema, "strict": is_strict or output_format.strict}
    return {"response_format": {"type": "json_schema", "json_schema": json_schema}}


def _tool(tool: Tool, quirks: Quirks) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name}
    if tool.description:
        function["description"] = tool.description
    function["parameters"] = from_json(tool.input_schema_json or "{}") or NO_ARGUMENTS
    if tool.strict and quirks.supports_strict_tools:
        function["strict"] = True
    return {"type": "function", "function": function}


def _tool_choice(choice: ToolChoice, quirks: Quirks) -> str | dict[str, Any] | None:
    if choice.tool_name is not None:
        return {"type": "function", "function": {"name": choice.tool_name}}
    if choice.mode is ToolMode.REQUIRED:
        return quirks.required_tool_choice
    return choice.mode.value if choice.mode is not None else None
