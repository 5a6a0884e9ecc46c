"""Protobuf → our words: what a client sent, refused with the field's path where it is not well formed.

Paths are those of GenerateRequest, in a stream too. Counts are checked before anything is decoded, so that a small
request cannot become a large one; what depends on the model is left to `resolve`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol

from google.protobuf.duration_pb2 import Duration
from pydantic_core import from_json

from aimanager.v1 import content_pb2, generation_pb2

from ...core.content import (
    Attachment,
    Effort,
    JsonObjectFormat,
    JsonSchemaFormat,
    Message,
    OutputFormat,
    Part,
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
from ...core.request import GenerateParams
from .fields import accepted, quoted, refused, said, shown, text
from .timeouts import patience

MOST_LABELS: Final = 64
MOST_STOP_SEQUENCES: Final = 64
MOST_PROVIDER_OPTIONS: Final = 32
MOST_FALLBACKS: Final = 8
UNNAMED: Final = "answer"
"""The name of a schema that has none: some providers need one."""

ROLES = {content_pb2.Role.Value(f"ROLE_{role.name}"): role for role in Role}
EFFORTS = {generation_pb2.ReasoningEffort.Value(f"REASONING_EFFORT_{effort.name}"): effort for effort in Effort}
TOOL_MODES = {generation_pb2.ToolMode.Value(f"TOOL_MODE_{mode.name}"): mode for mode in ToolMode}


class Limits(Protocol):
    """How many of each a request may hold."""

    @property
    def messages(self) -> int:
        """Turns."""
        ...

    @property
    def parts_per_message(self) -> int:
        """Parts of one turn."""
        ...

    @property
    def tools(self) -> int:
        """Tools."""
        ...


def ask(request: generation_pb2.GenerateRequest, limits: Limits, *, restarts: bool = False) -> GenerateParams:
    """The question as the client put it; `restarts` is what it said of a stream. Raises InvalidRequest."""
    _bounded(request, limits)
    first_token, idle = patience(request)
    fallbacks = enumerate(request.fallback_models)
    return GenerateParams(
        messages=tuple(_message(one, f"messages[{index}]") for index, one in enumerate(request.messages)),
        model=text(request.model, "model"),
        system_instruction=text(request.system_instruction, "system_instruction"),
        sampling=_sampling(request.sampling) if request.HasField("sampling") else Sampling(),
        reasoning=_reasoning_options(request.reasoning) if request.HasField("reasoning") else ReasoningOptions(),
        tools=tuple(_tool(one, f"tools[{index}]") for index, one in enumerate(request.tools)),
        tool_choice=_tool_choice(request.tool_choice) if request.HasField("tool_choice") else ToolChoice(),
        output_format=_output_format(request.output_format),
        fallback_models=tuple(text(one, f"fallback_models[{index}]") for index, one in fallbacks),
        first_token_timeout=first_token,
        idle_timeout=idle,
        restart_on_interruption=restarts,
        idempotency_key=text(request.idempotency_key, "idempotency_key"),
        labels={text(key, "labels"): text(value, f"labels[{quoted(key)}]") for key, value in request.labels.items()},
        provider_options=provider_options(request.provider_options_json),
    )


def interval(sent: Duration, shortest: float, path: str) -> float:
    """A duration of at least `shortest` seconds."""
    seconds: float = sent.seconds + sent.nanos / 1e9
    if seconds < shortest:
        raise refused(path, f"{seconds:g} s is too short; at least {shortest:g} s is accepted")
    return seconds


def _bounded(request: generation_pb2.GenerateRequest, limits: Limits) -> None:
    _at_most(limits.messages, len(request.messages), "messages")
    for index, message in enumerate(request.messages):
        if len(message.parts) > limits.parts_per_message:
            _at_most(limits.parts_per_message, len(message.parts), f"messages[{index}].parts")
    _at_most(limits.tools, len(request.tools), "tools")
    _at_most(MOST_FALLBACKS, len(request.fallback_models), "fallback_models")
    _at_most(MOST_LABELS, len(request.labels), "labels")
    _at_most(MOST_STOP_SEQUENCES, len(request.sampling.stop_sequences), "sampling.stop_sequences")
    _at_most(MOST_PROVIDER_OPTIONS, len(request.provider_options_json), "provider_options_json")


def _at_most(limit: int, actual: int, path: str) -> None:
    if actual > limit:
        raise refused(path, f"{actual} are too many; at most {limit} are accepted")


def _message(message: content_pb2.Message, path: str) -> Message:
    role = ROLES.get(message.role)
    if role is None:
        raise refused(f"{path}.role", f"{shown(message.role, 'ROLE_UNSPECIFIED')} {accepted(content_pb2.Role)}")
    return Message(
        role=role,
        parts=tuple(_part(one, f"{path}.parts[{index}]") for index, one in enumerate(message.parts)),
        provider=text(message.provider, f"{path}.provider"),
        model=text(message.model, f"{path}.model"),
    )


def _part(part: content_pb2.Part, path: str) -> Part:
    state = part.provider_state
    match part.WhichOneof("content"):
        case "text":
            return Text(text(part.text, f"{path}.text"), state)
        case "reasoning":
            thinking = part.reasoning
            return Reasoning(text(thinking.text, f"{path}.reasoning.text"), thinking.redacted, state)
        case "attachment":
            return _attachment(part.attachment, f"{path}.attachment", state)
        case "tool_call":
            return _tool_call(part.tool_call, f"{path}.tool_call", state)
        case "tool_result":
            return _tool_result(part.tool_result, f"{path}.tool_result", state)
        case _:
            kinds = "text, reasoning, attachment, tool_call and tool_result"
            raise refused(path, f"the part has no content this server knows; set one of {kinds}")


def _attachment(attachment: content_pb2.Attachment, path: str, state: bytes = b"") -> Attachment:
    source = attachment.WhichOneof("source")
    if source is None:
        raise refused(path, "the attachment has no source; set data or uri")
    return Attachment(
        mime_type=text(attachment.mime_type, f"{path}.mime_type"),
        filename=text(attachment.filename, f"{path}.filename"),
        data=attachment.data if source == "data" else None,
        uri=text(attachment.uri, f"{path}.uri") if source == "uri" else None,
        provider_state=state,
    )


def _tool_call(call: content_pb2.ToolCall, path: str, state: bytes) -> ToolCall:
    return ToolCall(
        id=text(call.id, f"{path}.id"),
        name=text(call.name, f"{path}.name"),
        arguments_json=text(call.arguments_json, f"{path}.arguments_json"),
        provider_state=state,
    )


def _tool_result(result: content_pb2.ToolResult, path: str, state: bytes) -> ToolResult:
    files = enumerate(result.attachments)
    return ToolResult(
        tool_call_id=text(result.tool_call_id, f"{path}.tool_call_id"),
        name=text(result.name, f"{path}.name"),
        output=text(result.output, f"{path}.output"),
        attachments=tuple(_attachment(file, f"{path}.attachments[{index}]") for index, file in files),
        is_error=result.is_error,
        provider_state=state,
    )


def _sampling(sampling: generation_pb2.SamplingOptions) -> Sampling:
    stops = enumerate(sampling.stop_sequences)
    return Sampling(
        max_output_tokens=said(sampling, "max_output_tokens"),
        temperature=said(sampling, "temperature"),
        top_p=said(sampling, "top_p"),
        top_k=said(sampling, "top_k"),
        seed=said(sampling, "seed"),
        stop_sequences=tuple(text(stop, f"sampling.stop_sequences[{index}]") for index, stop in stops),
    )


def _reasoning_options(options: generation_pb2.ReasoningOptions) -> ReasoningOptions:
    effort = EFFORTS.get(options.effort)
    if effort is None and options.effort:
        kinds = generation_pb2.ReasoningEffort
        raise refused("reasoning.effort", f"{options.effort} {accepted(kinds)}")
    return ReasoningOptions(effort=effort, budget_tokens=said(options, "budget_tokens"), include=options.include)


def _tool(tool: generation_pb2.Tool, path: str) -> Tool:
    return Tool(
        name=text(tool.name, f"{path}.name"),
        description=text(tool.description, f"{path}.description"),
        input_schema_json=text(tool.input_schema_json, f"{path}.input_schema_json") or "{}",
        strict=tool.strict,
    )


def _tool_choice(choice: generation_pb2.ToolChoice) -> ToolChoice:
    mode = TOOL_MODES.get(choice.mode)
    if mode is None and choice.mode:
        raise refused("tool_choice.mode", f"{choice.mode} {accepted(generation_pb2.ToolMode)}")
    name = text(choice.tool_name, "tool_choice.tool_name") if choice.WhichOneof("choice") == "tool_name" else None
    return ToolChoice(mode=mode, tool_name=name, parallel=said(choice, "parallel"))


def _output_format(sent: generation_pb2.OutputFormat) -> OutputFormat | None:
    """`json: false` asks for nothing, as does a format this server does not know."""
    if sent.WhichOneof("format") != "json_schema":
        return JsonObjectFormat() if sent.json else None
    schema = sent.json_schema
    name = text(schema.name, "output_format.json_schema.name") or UNNAMED
    return JsonSchemaFormat(name, text(schema.schema_json, "output_format.json_schema.schema_json"), schema.strict)


def provider_options(sent: Mapping[str, str]) -> dict[str, Mapping[str, Any]]:
    """The native options, by provider. Raises InvalidRequest where one is no JSON object."""
    return {text(provider, "provider_options_json"): _options(provider, json) for provider, json in sent.items()}


def _options(provider: str, json: str) -> Mapping[str, Any]:
    path = f"provider_options_json[{quoted(provider)}]"
    try:
        options = from_json(json, allow_inf_nan=False)
    except ValueError as error:
        raise refused(path, f"not JSON: {error}") from error
    if not isinstance(options, dict):
        raise refused(path, f"a JSON {type(options).__name__} is not accepted; send a JSON object")
    return options
