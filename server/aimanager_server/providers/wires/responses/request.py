"""Encode the body of a Responses request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, assert_never

from pydantic_core import from_json, to_json

from ....catalog.model import Model
from ....core.content import (
    JsonObjectFormat,
    JsonSchemaFormat,
    OutputFormat,
    ReasoningOptions,
    Sampling,
    Tool,
    ToolChoice,
)
from ....core.request import Attempt
from ..cache_keys import PromptCacheKeys
from ..json_schema import OPENAI, native_schema
from ..native_options import deep_merge
from ..openai_breakpoints import mark_openai_prompt
from ..prompt_markers import Markers
from ..setting_changes import SettingChanges, budget_as_effort
from .input_encoder import encode_input, encode_instruction
from .provider_state import Json

NO_ARGUMENTS: Json = {"type": "object", "properties": {}}

INCLUDED_REASONING = ["reasoning.encrypted_content"]
"""Requests reasoning in a form that can be sent back, because responses are not stored."""


API = "The Responses API"


MARKERS = Markers(long=True)


def encode_body(
    attempt: Attempt[Any],
    model: Model | None,
    options: Mapping[str, Any],
    changes: SettingChanges,
    key: str,
    cache_keys: PromptCacheKeys | None = None,
) -> bytes:
    """Return the body. Unset fields are omitted. Native options are merged last: the operator's, then the call's.

    `store` is false, because the API stores responses by default. Without `cache_keys`, the prompt cache is left to the
    provider.
    """
    target = attempt.target
    prompt, cache_options = mark_openai_prompt(attempt, model, MARKERS, changes, is_on=cache_keys is not None)
    items = encode_input(prompt.of(attempt), key, is_marked=prompt.is_repeated and bool(cache_options))
    if prompt.system is not None:
        items.insert(0, encode_instruction(attempt.system_instruction, prompt.system))
    # Models without reasoning reject a request to include it.
    _report_missing_fields(target.sampling, changes)
    may_reason = model is None or model.thinking != "none"
    fields: Json = {
        "model": target.model,
        "instructions": attempt.system_instruction or None if prompt.system is None else None,
        "input": items,
        "store": False,
        "include": INCLUDED_REASONING if may_reason else None,
        "max_output_tokens": target.sampling.max_output_tokens,
        "temperature": target.sampling.temperature,
        "top_p": target.sampling.top_p,
        "reasoning": _reasoning(target.reasoning, changes),
        "text": _text(attempt.output_format),
        **_tools(attempt),
        **cache_options,
    }
    body = {field: value for field, value in fields.items() if value is not None}
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


def _report_missing_fields(sampling: Sampling, changes: SettingChanges) -> None:
    for name in ("top_k", "seed", "stop_sequences"):
        if getattr(sampling, name) not in (None, ()):
            changes.remove(f"sampling.{name}", f"{API} has no {name}")


def _reasoning(reasoning: ReasoningOptions, changes: SettingChanges) -> Json | None:
    fields: Json = {}
    effort = budget_as_effort(reasoning, changes, API, has_efforts=True)
    if effort is not None:
        fields["effort"] = effort.label
    if reasoning.include:
        fields["summary"] = "auto"
    return fields or None


def _text(output_format: OutputFormat | None) -> Json | None:
    match output_format:
        case None:
            return None
        case JsonObjectFormat():
            return {"format": {"type": "json_object"}}
        case JsonSchemaFormat():
            schema = native_schema(output_format, OPENAI)
            return {"format": {"type": "json_schema", "name": output_format.name, "schema": schema, "strict": True}}
        case _:
            assert_never(output_format)


def _tools(attempt: Attempt[Any]) -> Json:
    # The API rejects a tool choice without tools.
    if not attempt.tools:
        return {}
    return {
        "tools": [_tool(tool) for tool in attempt.tools],
        "tool_choice": _tool_choice(attempt.tool_choice),
        "parallel_tool_calls": attempt.tool_choice.parallel,
    }


def _tool(tool: Tool) -> Json:
    # `strict` defaults to true, and most schemas violate its rules.
    function: Json = {
        "type": "function",
        "name": tool.name,
        "parameters": from_json(tool.input_schema_json or "{}") or NO_ARGUMENTS,
        "strict": tool.strict,
    }
    return {**function, "description": tool.description} if tool.description else function


def _tool_choice(choice: ToolChoice) -> str | Json | None:
    if choice.tool_name is not None:
        return {"type": "function", "name": choice.tool_name}
    return choice.mode.value if choice.mode is not None else None
