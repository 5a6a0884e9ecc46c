"""Parse protobuf requests into domain types; validation reports malformed fields together with invalid ones.

Paths are those of GenerateRequest, also for streams. Counts are checked before anything is converted, so that a small
request cannot expand into a large one; only they raise InvalidRequest at once. The resolver checks what depends on the
model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic_core import from_json

from aimanager.v1 import content_pb2, embedding_pb2, generation_pb2

from ...config.settings import Limits
from ...core.cache_policy import CacheMode, CachePolicy
from ...core.content import (
    Attachment,
    CacheHint,
    Effort,
    JsonObjectFormat,
    JsonSchemaFormat,
    Message,
    OutputFormat,
    Part,
    PromptOptimization,
    Reasoning,
    ReasoningOptions,
    Role,
    Sampling,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolMode,
    ToolResult,
)
from ...core.embedding import EmbeddingPurpose, EmbedParams
from ...core.request import GenerateParams
from ...validation.violations import entry_path
from .fields import FieldParser, optional_field, unknown_enum_value
from .json_size import check_embedding_options_size, check_json_size
from .times import parse_duration

MAX_LABELS: Final = 64
MAX_STOP_SEQUENCES: Final = 64
MAX_PROVIDER_OPTIONS: Final = 32
MAX_FALLBACK_MODELS: Final = 8
MAX_OPTIMIZATIONS: Final = 16
DEFAULT_SAMPLING: Final = Sampling()
DEFAULT_REASONING: Final = ReasoningOptions()
DEFAULT_TOOL_CHOICE: Final = ToolChoice()
DEFAULT_SCHEMA_NAME: Final = "answer"
"""Name of a schema that the caller did not name: some providers require one."""

ROLES = {content_pb2.Role.Value(f"ROLE_{role.name}"): role for role in Role}
EFFORTS = {generation_pb2.ReasoningEffort.Value(f"REASONING_EFFORT_{effort.name}"): effort for effort in Effort}
CACHE_HINTS: Mapping[int, CacheHint] = {
    content_pb2.CacheHint.Value(f"CACHE_HINT_{hint.name}"): hint for hint in CacheHint
}
TOOL_MODES = {generation_pb2.ToolMode.Value(f"TOOL_MODE_{mode.name}"): mode for mode in ToolMode}
CACHE_MODES = {generation_pb2.CacheMode.Value(f"CACHE_MODE_{mode.name}"): mode for mode in CacheMode}
EMBEDDING_PURPOSES = {
    embedding_pb2.EmbeddingPurpose.Value(f"EMBEDDING_PURPOSE_{purpose.name}"): purpose for purpose in EmbeddingPurpose
}
OPTIMIZATIONS = {
    generation_pb2.PromptOptimization.Value(f"PROMPT_OPTIMIZATION_{each.name}"): each for each in PromptOptimization
}
NO_OPTIMIZATIONS: Final[frozenset[PromptOptimization]] = frozenset()
RESTART_POLICIES: dict[int, bool] = {
    generation_pb2.INTERRUPTION_POLICY_UNSPECIFIED: False,
    generation_pb2.INTERRUPTION_POLICY_FAIL: False,
    generation_pb2.INTERRUPTION_POLICY_RESTART: True,
}


def parse_generate_request(
    request: generation_pb2.GenerateRequest, limits: Limits, *, restart_on_interruption: bool = False
) -> GenerateParams:
    """Parse a generation request. `restart_on_interruption` comes from the stream request around it, if any."""
    _check_counts(request, limits)
    parser = FieldParser()
    labels = request.labels.items()
    fallbacks = enumerate(request.fallback_models)
    return GenerateParams(
        messages=tuple(
            _message(parser, message, f"messages[{index}]") for index, message in enumerate(request.messages)
        ),
        model=parser.text(request.model, "model"),
        system_instruction=parser.text(request.system_instruction, "system_instruction"),
        sampling=_sampling(parser, request.sampling) if request.HasField("sampling") else DEFAULT_SAMPLING,
        reasoning=_reasoning_options(parser, request.reasoning) if request.HasField("reasoning") else DEFAULT_REASONING,
        tools=tuple(_tool(parser, tool, f"tools[{index}]") for index, tool in enumerate(request.tools)),
        tool_choice=(
            _tool_choice(parser, request.tool_choice) if request.HasField("tool_choice") else DEFAULT_TOOL_CHOICE
        ),
        output_format=_output_format(parser, request.output_format) if request.HasField("output_format") else None,
        fallback_models=tuple(parser.text(name, f"fallback_models[{index}]") for index, name in fallbacks),
        first_token_timeout=_stream_timeout(parser, request, "first_token_timeout"),
        idle_timeout=_stream_timeout(parser, request, "idle_timeout"),
        restart_on_interruption=restart_on_interruption,
        idempotency_key=parser.text(request.idempotency_key, "idempotency_key"),
        labels={parser.text(key, "labels"): parser.text(value, entry_path("labels", key)) for key, value in labels},
        provider_options=_provider_options(parser, request.provider_options_json),
        extract_artifacts=request.extract_artifacts,
        end_user_id=request.end_user_id,
        optimizations=_optimizations(parser, request.optimizations) if request.optimizations else NO_OPTIMIZATIONS,
        cache_hint=_cache_hint(parser, request.cache_hint, "cache_hint") if request.cache_hint else None,
        conversation_id=request.conversation_id,
        cache_policy=_cache_policy(parser, request.cache_policy) if request.HasField("cache_policy") else None,
        violations=parser.violations,
    )


def parse_interruption_policy(policy: int) -> bool:
    """Return whether an interrupted stream may be restarted. Raises InvalidRequest for an unknown policy."""
    may_restart = RESTART_POLICIES.get(policy)
    if may_restart is None:
        raise unknown_enum_value("on_interruption", generation_pb2.InterruptionPolicy, policy)
    return may_restart


def parse_messages(messages: Sequence[content_pb2.Message], limits: Limits) -> tuple[Message, ...]:
    """Parse messages that are added to a conversation. Raises InvalidRequest."""
    parser = FieldParser()
    check_message_counts(parser, messages, limits)
    parser.raise_violations()
    parsed = parse_each_message(parser, messages, "")
    parser.raise_violations()
    return parsed


def parse_each_message(
    parser: FieldParser, messages: Sequence[content_pb2.Message], prefix: str
) -> tuple[Message, ...]:
    """Parse messages whose counts are checked; `prefix` precedes the paths of their fields."""
    return tuple(_message(parser, message, f"{prefix}messages[{index}]") for index, message in enumerate(messages))


def parse_embed_request(request: embedding_pb2.EmbedRequest, max_inputs: int) -> EmbedParams:
    """Parse an embedding request with at most `max_inputs` inputs."""
    parser = FieldParser()
    _check_count(parser, max_inputs, len(request.inputs), "inputs")
    _check_count(parser, MAX_PROVIDER_OPTIONS, len(request.provider_options_json), "provider_options_json")
    parser.raise_violations()
    check_embedding_options_size(parser, request.provider_options_json)
    parser.raise_violations()
    purpose = EMBEDDING_PURPOSES.get(request.purpose)
    if purpose is None and request.purpose:
        parser.reject_enum("purpose", embedding_pb2.EmbeddingPurpose, request.purpose)
    return EmbedParams(
        inputs=tuple(parser.text(text, f"inputs[{index}]") for index, text in enumerate(request.inputs)),
        model=parser.text(request.model, "model"),
        dimensions=optional_field(request, "dimensions"),
        purpose=purpose,
        provider_options=_provider_options(parser, request.provider_options_json),
        idempotency_key=parser.text(request.idempotency_key, "idempotency_key"),
        violations=parser.violations,
    )


def _check_counts(request: generation_pb2.GenerateRequest, limits: Limits) -> None:
    parser = FieldParser()
    check_message_counts(parser, request.messages, limits)
    _check_count(parser, limits.max_tools, len(request.tools), "tools")
    _check_count(parser, MAX_FALLBACK_MODELS, len(request.fallback_models), "fallback_models")
    _check_count(parser, MAX_LABELS, len(request.labels), "labels")
    if request.HasField("sampling"):
        _check_count(parser, MAX_STOP_SEQUENCES, len(request.sampling.stop_sequences), "sampling.stop_sequences")
    _check_count(parser, MAX_PROVIDER_OPTIONS, len(request.provider_options_json), "provider_options_json")
    _check_count(parser, MAX_OPTIMIZATIONS, len(request.optimizations), "optimizations")
    parser.raise_violations()
    if request.tools or request.provider_options_json or request.HasField("output_format"):
        check_json_size(parser, request, limits)
        parser.raise_violations()


def check_message_counts(
    parser: FieldParser, messages: Sequence[content_pb2.Message], limits: Limits, prefix: str = ""
) -> None:
    """Reject too many messages or parts; `prefix` precedes the paths of the fields."""
    _check_count(parser, limits.max_messages, len(messages), f"{prefix}messages")
    counted = messages if len(messages) <= limits.max_messages else ()
    for index, message in enumerate(counted):
        if len(message.parts) > limits.max_parts_per_message:
            _check_count(parser, limits.max_parts_per_message, len(message.parts), f"{prefix}messages[{index}].parts")


def _check_count(parser: FieldParser, limit: int, actual: int, path: str) -> None:
    if actual > limit:
        parser.reject(path, f"must have at most {limit} items, got {actual}")


def _message(parser: FieldParser, message: content_pb2.Message, path: str) -> Message:
    role = ROLES.get(message.role)
    if role is None:
        parser.reject_enum(f"{path}.role", content_pb2.Role, message.role)
    return Message(
        role=role or Role.USER,
        parts=tuple(_part(parser, part, f"{path}.parts[{index}]") for index, part in enumerate(message.parts)),
        provider=parser.text(message.provider, f"{path}.provider"),
        model=parser.text(message.model, f"{path}.model"),
    )


def _part(parser: FieldParser, part: content_pb2.Part, path: str) -> Part:
    state = part.provider_state
    hint = _cache_hint(parser, part.cache_hint, f"{path}.cache_hint") if part.cache_hint else None
    match part.WhichOneof("content"):
        case "text":
            return Text(parser.text(part.text, f"{path}.text"), state, hint)
        case "reasoning":
            reasoning = part.reasoning
            return Reasoning(parser.text(reasoning.text, f"{path}.reasoning.text"), reasoning.redacted, state, hint)
        case "attachment":
            return _attachment(parser, part.attachment, f"{path}.attachment", state, hint)
        case "tool_call":
            return _tool_call(parser, part.tool_call, f"{path}.tool_call", state, hint)
        case "tool_result":
            return _tool_result(parser, part.tool_result, f"{path}.tool_result", state, hint)
        case _:
            parser.reject(path, "must set one of text, reasoning, attachment, tool_call or tool_result")
            return Text("", state)


def _cache_hint(parser: FieldParser, value: int, path: str) -> CacheHint | None:
    hint = CACHE_HINTS.get(value)
    if hint is None:
        parser.reject_enum(path, content_pb2.CacheHint, value)
    return hint


def _attachment(
    parser: FieldParser,
    attachment: content_pb2.Attachment,
    path: str,
    state: bytes = b"",
    hint: CacheHint | None = None,
) -> Attachment:
    source = attachment.WhichOneof("source")
    if source is None:
        parser.reject(path, "must set data or uri")
    return Attachment(
        mime_type=parser.text(attachment.mime_type, f"{path}.mime_type"),
        filename=parser.text(attachment.filename, f"{path}.filename"),
        data=attachment.data if source == "data" else None,
        uri=parser.text(attachment.uri, f"{path}.uri") if source == "uri" else None,
        provider_state=state,
        cache_hint=hint,
    )


def _tool_call(
    parser: FieldParser, call: content_pb2.ToolCall, path: str, state: bytes, hint: CacheHint | None
) -> ToolCall:
    return ToolCall(
        id=parser.text(call.id, f"{path}.id"),
        name=parser.text(call.name, f"{path}.name"),
        arguments_json=parser.text(call.arguments_json, f"{path}.arguments_json"),
        provider_state=state,
        cache_hint=hint,
    )


def _tool_result(
    parser: FieldParser, result: content_pb2.ToolResult, path: str, state: bytes, hint: CacheHint | None
) -> ToolResult:
    files = enumerate(result.attachments)
    return ToolResult(
        tool_call_id=parser.text(result.tool_call_id, f"{path}.tool_call_id"),
        name=parser.text(result.name, f"{path}.name"),
        output=parser.text(result.output, f"{path}.output"),
        attachments=tuple(_attachment(parser, file, f"{path}.attachments[{index}]") for index, file in files),
        is_error=result.is_error,
        provider_state=state,
        cache_hint=hint,
    )


def _sampling(parser: FieldParser, sampling: generation_pb2.SamplingOptions) -> Sampling:
    stops = enumerate(sampling.stop_sequences)
    return Sampling(
        max_output_tokens=optional_field(sampling, "max_output_tokens"),
        temperature=optional_field(sampling, "temperature"),
        top_p=optional_field(sampling, "top_p"),
        top_k=optional_field(sampling, "top_k"),
        seed=optional_field(sampling, "seed"),
        stop_sequences=tuple(parser.text(stop, f"sampling.stop_sequences[{index}]") for index, stop in stops),
    )


def _reasoning_options(parser: FieldParser, options: generation_pb2.ReasoningOptions) -> ReasoningOptions:
    effort = EFFORTS.get(options.effort)
    if effort is None and options.effort:
        parser.reject_enum("reasoning.effort", generation_pb2.ReasoningEffort, options.effort)
    budget = optional_field(options, "budget_tokens")
    return ReasoningOptions(
        effort=effort,
        budget_tokens=budget,
        include=options.include or options.include_if_available,
        is_include_optional=not options.include,
    )


def _tool(parser: FieldParser, tool: generation_pb2.Tool, path: str) -> Tool:
    return Tool(
        name=parser.text(tool.name, f"{path}.name"),
        description=parser.text(tool.description, f"{path}.description"),
        input_schema_json=parser.text(tool.input_schema_json, f"{path}.input_schema_json") or "{}",
        strict=tool.strict,
    )


def _tool_choice(parser: FieldParser, choice: generation_pb2.ToolChoice) -> ToolChoice:
    mode = TOOL_MODES.get(choice.mode)
    if mode is None and choice.mode:
        parser.reject_enum("tool_choice.mode", generation_pb2.ToolMode, choice.mode)
    is_named = choice.WhichOneof("choice") == "tool_name"
    name = parser.text(choice.tool_name, "tool_choice.tool_name") if is_named else None
    return ToolChoice(mode=mode, tool_name=name, parallel=optional_field(choice, "parallel"))


def _output_format(parser: FieldParser, output: generation_pb2.OutputFormat) -> OutputFormat | None:
    """Return None, which means free text, for a format unknown to this server."""
    kind = output.WhichOneof("format")
    if kind != "json_schema":
        return JsonObjectFormat() if kind == "json_object" else None
    schema, path = output.json_schema, "output_format.json_schema"
    name = parser.text(schema.name, f"{path}.name") or DEFAULT_SCHEMA_NAME
    return JsonSchemaFormat(name, parser.text(schema.schema_json, f"{path}.schema_json"), schema.strict)


def _cache_policy(parser: FieldParser, policy: generation_pb2.CachePolicy) -> CachePolicy:
    mode = CACHE_MODES.get(policy.mode)
    if mode is None and policy.mode:
        parser.reject_enum("cache_policy.mode", generation_pb2.CacheMode, policy.mode)
    max_age = parse_duration(parser, policy, "max_age", "cache_policy.max_age")
    return CachePolicy(CacheMode.USE if mode is None and max_age is not None else mode, max_age)


def _optimizations(
    parser: FieldParser, numbers: Sequence[generation_pb2.PromptOptimization.ValueType]
) -> frozenset[PromptOptimization]:
    found = set()
    for index, number in enumerate(numbers):
        optimization = OPTIMIZATIONS.get(number)
        if optimization is not None:
            found.add(optimization)
        elif number:
            parser.reject_enum(f"optimizations[{index}]", generation_pb2.PromptOptimization, number)
    return frozenset(found)


def _stream_timeout(parser: FieldParser, request: generation_pb2.GenerateRequest, field: str) -> float | None:
    # The upper limit is the resolver's to check: it depends on the settings.
    if not request.HasField("stream_timeouts"):
        return None
    return parse_duration(parser, request.stream_timeouts, field, f"stream_timeouts.{field}")


def _provider_options(parser: FieldParser, options: Mapping[str, str]) -> dict[str, Mapping[str, Any]]:
    path = "provider_options_json"
    return {parser.text(provider, path): _options(parser, provider, json) for provider, json in options.items()}


def _options(parser: FieldParser, provider: str, json: str) -> Mapping[str, Any]:
    path = entry_path("provider_options_json", provider)
    try:
        options = from_json(json, allow_inf_nan=False)
    except ValueError as error:
        parser.reject(path, f"must be valid JSON: {error}")
        return {}
    if not isinstance(options, dict):
        parser.reject(path, f"must be a JSON object, got {type(options).__name__}")
        return {}
    return options
