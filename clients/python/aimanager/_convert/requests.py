"""Build the operations of generation: generate, stream and count tokens. Only attachment paths do I/O."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from os import PathLike
from typing import Any, TypeAlias

from ..errors import ConfigurationError, InvalidRequestError
from ..messages import Attachment, AttachmentSource, Tool, attachment, cache_hint, tool
from ..options import OnInterruption, RequestOptions, request_options
from ..types.cache_policy import CacheMode, CachePolicy
from ..types.model_suggestion import TokenCount, read_token_count
from ..types.response import AIResponse
from ..v1.generation_pb2 import CachePolicy as CachePolicyProto
from ..v1.generation_pb2 import (
    GenerateRequest,
    GenerateResponse,
    InterruptionPolicy,
    PromptOptimization,
    ReasoningEffort,
    ReasoningOptions,
    SamplingOptions,
    StreamGenerateRequest,
    StreamTimeouts,
    ToolChoice,
    ToolMode,
)
from ..v1.model_pb2 import CountTokensRequest, CountTokensResponse
from .checks import (
    require_cache_policy,
    require_choice,
    require_duration,
    require_names,
    require_optimizations,
    require_utf8,
    set_number,
)
from .defaults import CallDefaults
from .operation import PROBE_TIMEOUT, REQUEST_TIMEOUT, STREAM_TIMEOUT, Operation
from .output_format import Output, output_format
from .prompt import Prompt, PromptMessages, read_prompt
from .scalars import enum_words

SAMPLING_FIELDS = {
    "temperature": "temperature",
    "max_tokens": "max_output_tokens",
    "top_p": "top_p",
    "top_k": "top_k",
    "seed": "seed",
}
TIMEOUT_FIELDS = ("first_token_timeout", "idle_timeout")
MAX_FALLBACK_MODELS = 8

GenerateOperation: TypeAlias = Operation[GenerateRequest, GenerateResponse, AIResponse]
StreamOperation: TypeAlias = Operation[StreamGenerateRequest, GenerateResponse, AIResponse]
"""`read` takes the completed response, which is the last event of a stream."""


def generate(prompt: Prompt, options: RequestOptions, defaults: CallDefaults) -> GenerateOperation:
    """Describe a unary generation. It always has an idempotency key: a retry after a lost response is billed once."""
    options = request_options("request", options)
    timeout = defaults.timeout_for(options.get("timeout"), REQUEST_TIMEOUT)
    request, messages = _generate_request(prompt, options, defaults)
    request.idempotency_key = request.idempotency_key or uuid.uuid4().hex
    request.extract_artifacts = _extract_artifacts(options)
    return Operation(
        "generation.Generate",
        request,
        timeout,
        _response_reader(options.get("output")),
        sends_provider_key=True,
        retries_rate_limit=True,
        field_name=messages.field_name,
    )


def stream_generate(
    prompt: Prompt, options: RequestOptions, defaults: CallDefaults, on_interruption: OnInterruption
) -> StreamOperation:
    """Describe a streamed generation."""
    options = request_options("stream", options, "on_interruption")
    timeout = defaults.timeout_for(options.get("timeout"), STREAM_TIMEOUT)
    policy = require_choice("on_interruption", on_interruption, enum_words(InterruptionPolicy))
    request, messages = _generate_request(prompt, options, defaults)
    request.extract_artifacts = _extract_artifacts(options)
    return Operation(
        "generation.StreamGenerate",
        StreamGenerateRequest(request=request, on_interruption=InterruptionPolicy.ValueType(policy)),
        timeout,
        _response_reader(options.get("output")),
        sends_provider_key=True,
        retries_rate_limit=True,
        retries_unavailable=True,
        field_name=messages.field_name,
    )


def count_tokens(
    prompt: Prompt, options: RequestOptions, defaults: CallDefaults
) -> Operation[CountTokensRequest, CountTokensResponse, TokenCount]:
    """Describe a token count of the request that `generate` would send. Artifacts do not affect it."""
    options = request_options("count_tokens", options)
    request, messages = _generate_request(prompt, options, defaults)
    return Operation(
        "models.CountTokens",
        CountTokensRequest(request=request),
        defaults.timeout_for(options.get("timeout"), PROBE_TIMEOUT),
        read_token_count,
        sends_provider_key=True,
        field_name=messages.field_name,
    )


def _response_reader(output: Output | None) -> Callable[[GenerateResponse], AIResponse]:
    return lambda response: AIResponse.from_proto(response, output)


def _generate_request(
    prompt: Prompt, options: RequestOptions, defaults: CallDefaults
) -> tuple[GenerateRequest, PromptMessages]:
    messages = read_prompt(prompt, _attachments(options.get("attachments")))
    request = GenerateRequest(
        model=require_utf8("model", defaults.qualified_model(options.get("model"))),
        messages=messages.messages,
        system_instruction=_system(options.get("system"), messages.system),
        sampling=_sampling(options, defaults),
        reasoning=_reasoning(options.get("reasoning"), default=defaults.reasoning),
        tools=_tools(options.get("tools")),
        tool_choice=_tool_choice(options.get("tool_choice")),
        output_format=output_format(options.get("output")),
        fallback_models=_fallback_models(options.get("fallback_models") or (), defaults),
        idempotency_key=require_utf8("idempotency_key", options.get("idempotency_key") or ""),
        labels=_labels(options.get("labels") or {}),
        provider_options_json=provider_options_json(options.get("provider_options")),
        stream_timeouts=_stream_timeouts(options),
        end_user_id=require_utf8("end_user_id", options.get("end_user_id") or ""),
        cache_hint=cache_hint("cache_hint", options.get("cache_hint")),
        optimizations=_optimizations(options.get("optimize"), defaults),
        cache_policy=_cache_policy(options.get("cache"), defaults),
    )
    if not defaults.vision:
        _reject_images(request)
    return request, messages


def _attachments(files: Sequence[AttachmentSource] | AttachmentSource | None) -> list[Attachment]:
    """Read the attachments; one alone is a list of one."""
    if files is None:
        return []
    if isinstance(files, str | PathLike | bytes | bytearray | Attachment):
        return [attachment(files)]
    if not isinstance(files, Iterable) or isinstance(files, Mapping):
        raise InvalidRequestError(
            f"attachments must be a list, got {type(files).__name__}", 'Write attachments=["photo.png"].'
        )
    return [attachment(file) for file in files]


def _system(option: str | None, in_prompt: str) -> str:
    text = require_utf8("system", option or "")
    if text and in_prompt:
        raise InvalidRequestError(
            "system and the prompt both have a system instruction", "Pass system=…, or a message with the role system."
        )
    return text or in_prompt


def _tools(tools: Any) -> list[Tool]:
    """Describe the tools; one alone is a list of one."""
    if tools is None:
        return []
    items = [tools] if isinstance(tools, Tool) or callable(tools) else tools
    if isinstance(items, str) or not isinstance(items, Iterable):
        raise InvalidRequestError(f"tools must be a list of functions, got {items!r:.100}", "Write tools=[function].")
    return [_tool(each, index) for index, each in enumerate(items)]


def _tool(each: Any, index: int) -> Tool:
    if isinstance(each, Tool):
        return each
    if callable(each):
        return tool(each)
    raise InvalidRequestError(
        f"tools[{index}] must be a function or a Tool, got {type(each).__name__}",
        "Pass a function, or tool(name, schema={…}).",
    )


def _sampling(options: RequestOptions, defaults: CallDefaults) -> SamplingOptions | None:
    if not _has_sampling(options, defaults):
        return None
    sampling = SamplingOptions()
    for parameter, field in SAMPLING_FIELDS.items():
        requested = options.get(parameter)
        set_number(sampling, field, parameter, getattr(defaults, parameter, None) if requested is None else requested)
    sampling.stop_sequences.extend(_stop_sequences(options.get("stop") or ()))
    return sampling if sampling.ByteSize() else None


def _stop_sequences(stop: Any) -> list[str]:
    """Return the texts as a list; one alone is a list of one."""
    if isinstance(stop, str):
        return [require_utf8("stop", stop)]
    if not isinstance(stop, Iterable):
        raise InvalidRequestError(
            f"stop must be a text or a list of texts, got {type(stop).__name__}", 'Write stop=["END"].'
        )
    return [require_utf8("stop", text) for text in stop]


def _has_sampling(options: RequestOptions, defaults: CallDefaults) -> bool:
    is_default = defaults.temperature is not None or defaults.max_tokens is not None
    return is_default or not options.keys().isdisjoint((*SAMPLING_FIELDS, "stop"))


def _labels(labels: Any) -> dict[str, str]:
    if not isinstance(labels, Mapping):
        raise InvalidRequestError(
            f"labels must be a dict, got {type(labels).__name__}", 'Write labels={"name": "value"}.'
        )
    return {require_utf8("labels", name): require_utf8("labels", value) for name, value in labels.items()}


def _fallback_models(models: Sequence[str], defaults: CallDefaults) -> list[str]:
    names = require_names("fallback_models", models)
    if len(names) > MAX_FALLBACK_MODELS:
        raise InvalidRequestError(
            f"fallback_models must have at most {MAX_FALLBACK_MODELS} items, got {len(names)}",
            solution="Remove some models.",
        )
    return [defaults.qualified_model(name) for name in names]


def _optimizations(requested: Any, defaults: CallDefaults) -> list[PromptOptimization.ValueType]:
    words = defaults.optimize if requested is None else require_optimizations(requested)
    return [PromptOptimization.ValueType(enum_words(PromptOptimization)[word]) for word in words]


def _cache_policy(requested: CacheMode | CachePolicy | None, defaults: CallDefaults) -> CachePolicyProto | None:
    return defaults.cache if requested is None else require_cache_policy(requested)


def _extract_artifacts(options: RequestOptions) -> bool:
    """Return whether to request artifacts, which the API omits by default and this client does not."""
    requested = options.get("extract_artifacts")
    return requested is None or requested


def _stream_timeouts(options: RequestOptions) -> StreamTimeouts | None:
    timeouts = StreamTimeouts()
    for parameter in TIMEOUT_FIELDS:
        seconds = options.get(parameter)
        if seconds is not None:
            getattr(timeouts, parameter).CopyFrom(require_duration(parameter, seconds))
    return timeouts if timeouts.ByteSize() else None


def _reasoning(reasoning: str | bool | ReasoningOptions | None, *, default: bool) -> ReasoningOptions | None:
    if isinstance(reasoning, ReasoningOptions):
        return reasoning
    reasoning = default or None if reasoning is None else reasoning
    if reasoning is None:
        return None
    effort = {True: "medium", False: "none"}[reasoning] if isinstance(reasoning, bool) else reasoning
    number = require_choice("reasoning", effort, enum_words(ReasoningEffort))
    return ReasoningOptions(effort=ReasoningEffort.ValueType(number), include_if_available=effort != "none")


def _tool_choice(choice: str | ToolChoice | None) -> ToolChoice | None:
    if choice is None or isinstance(choice, ToolChoice):
        return choice
    mode = enum_words(ToolMode).get(choice)
    if mode:
        return ToolChoice(mode=ToolMode.ValueType(mode))
    return ToolChoice(tool_name=require_utf8("tool_choice", choice))


def provider_options_json(options: Mapping[str, Mapping[str, object]] | None) -> dict[str, str]:
    """Encode native options by provider. Raises InvalidRequestError for options that are not a JSON object."""
    return {
        require_utf8("provider_options", provider): _native_json(provider, native)
        for provider, native in (options or {}).items()
    }


def _native_json(provider: str, native: Any) -> str:
    parameter = f"provider_options[{provider!r}]"
    if not isinstance(native, dict):
        raise InvalidRequestError(
            f"{parameter} must be a dict, got {type(native).__name__}", solution='Write {"claude": {"field": value}}.'
        )
    try:
        return json.dumps(native, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InvalidRequestError(
            f"{parameter} must be a JSON object: {error}", solution="Use values that JSON can represent."
        ) from error


def _reject_images(request: GenerateRequest) -> None:
    for message in request.messages:
        for part in message.parts:
            files = [part.attachment, *part.tool_result.attachments]
            if any(file.mime_type.startswith("image/") for file in files):
                raise ConfigurationError(
                    "Images are disabled: AIConfig.enable_vision is False.",
                    solution="Remove the image, or set enable_vision=True.",
                )
