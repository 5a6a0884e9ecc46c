"""Convert domain types to protobuf responses: results, stream events, attempts and usage.

Messages are filled in place, field by field: keyword arguments of a constructor take twice the time, and a submessage
passed to one is copied. Assigning any field of a submessage, even its default, makes the submessage present.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

from aimanager.v1 import content_pb2, embedding_pb2, generation_pb2, usage_pb2

from ...core.attempts import AttemptRecord, total_cost, total_usage
from ...core.content import Artifact, Attachment, Message, Part, Reasoning, Role, Text, ToolCall, ToolResult
from ...core.embedding import EmbedResult
from ...core.errors import GatewayError
from ...core.response import (
    ArtifactExtracted,
    CacheStatus,
    FinishReason,
    GenerateResult,
    PartCompleted,
    ReasoningDelta,
    ResponseMetadata,
    Restarted,
    TextDelta,
    ToolCallDelta,
)
from ...core.usage import Cost, Usage, UsageSource
from .times import fill_duration, fill_timestamp

ROLES = {role: content_pb2.Role.Value(f"ROLE_{role.name}") for role in Role}
FINISH_REASONS = {reason: generation_pb2.FinishReason.Value(f"FINISH_REASON_{reason.name}") for reason in FinishReason}
CACHE_STATUSES = {status: usage_pb2.CacheStatus.Value(f"CACHE_STATUS_{status.name}") for status in CacheStatus}
USAGE_SOURCES = {source: usage_pb2.UsageSource.Value(f"USAGE_SOURCE_{source.name}") for source in UsageSource}
MAX_INT32 = 2**31 - 1
MAX_NAME_LENGTH = 128
"""Characters of a provider or model name in an attempt: many attempts must fit into the trailers."""


def generate_response_to_proto(result: GenerateResult) -> generation_pb2.GenerateResponse:
    """Convert a complete result."""
    response = generation_pb2.GenerateResponse()
    _fill_response(response, result)
    return response


def embed_response_to_proto(result: EmbedResult) -> embedding_pb2.EmbedResponse:
    """Convert a complete embedding result."""
    response = embedding_pb2.EmbedResponse(provider=result.provider, model=valid_text(result.model))
    response.cache_status = CACHE_STATUSES[result.cache_status]
    for vector in result.vectors:
        response.embeddings.add().values.extend(vector)
    _fill_usage(response.usage, result.usage)
    if result.cost is not None:
        _fill_cost(response.cost, result.cost)
    return response


def error_execution_to_proto(error: GatewayError, max_attempts: int) -> generation_pb2.Execution:
    """Convert the execution of a failed call, with its first `max_attempts` attempts."""
    execution = generation_pb2.Execution()
    execution.provider = valid_text(error.provider)[:MAX_NAME_LENGTH]
    execution.model = valid_text(error.model)[:MAX_NAME_LENGTH]
    _add_attempts(execution, error.attempts[:max_attempts])
    return execution


def stream_started(metadata: ResponseMetadata) -> generation_pb2.StreamGenerateResponse:
    """Return the first message of a stream."""
    message = generation_pb2.StreamGenerateResponse()
    started = message.started
    started.id = metadata.id
    _fill_execution(started.execution, metadata)
    return message


def stream_completed(result: GenerateResult) -> generation_pb2.StreamGenerateResponse:
    """Return the last message of a stream, which holds the complete response."""
    message = generation_pb2.StreamGenerateResponse()
    _fill_response(message.completed, result)
    return message


def stream_heartbeat(elapsed: float) -> generation_pb2.StreamGenerateResponse:
    """Return a heartbeat sent `elapsed` seconds into the call."""
    message = generation_pb2.StreamGenerateResponse()
    fill_duration(message.heartbeat.elapsed, elapsed)
    return message


def event_to_proto(
    event: TextDelta | ReasoningDelta | ToolCallDelta | PartCompleted | ArtifactExtracted | Restarted,
) -> generation_pb2.StreamGenerateResponse:
    """Convert an event between the start and the completion of a stream."""
    message = generation_pb2.StreamGenerateResponse()
    match event:
        case TextDelta() | ReasoningDelta() | ToolCallDelta():
            _fill_delta(message.delta, event)
        case PartCompleted():
            completed = message.part_completed
            completed.index = event.index
            _fill_part(completed.part, event.part)
        case ArtifactExtracted():
            _fill_artifact(message.artifact, event.artifact)
        case Restarted():
            _fill_execution(message.restarted.execution, event.metadata)
        case _:
            assert_never(event)
    return message


def artifact_to_proto(artifact: Artifact) -> content_pb2.Artifact:
    """Convert an artifact."""
    converted = content_pb2.Artifact()
    _fill_artifact(converted, artifact)
    return converted


def message_to_proto(message: Message) -> content_pb2.Message:
    """Convert a message."""
    converted = content_pb2.Message()
    _fill_message(converted, "", message)
    return converted


def usage_to_proto(usage: Usage) -> usage_pb2.Usage:
    """Convert token counts, clamped to the range of int32."""
    converted = usage_pb2.Usage()
    _fill_usage(converted, usage)
    return converted


def cost_to_proto(cost: Cost) -> usage_pb2.Cost:
    """Convert a cost."""
    converted = usage_pb2.Cost()
    _fill_cost(converted, cost)
    return converted


def _fill_response(response: generation_pb2.GenerateResponse, result: GenerateResult) -> None:
    metadata, finished = result.metadata, result.finished
    response.id = metadata.id
    _fill_message(response.message, metadata.id, result.message)
    response.finish_reason = FINISH_REASONS[finished.reason]
    response.provider_finish_reason = valid_text(finished.provider_reason)
    _fill_usage(response.usage, finished.usage)
    _fill_execution(response.execution, metadata)
    fill_duration(response.execution.latency, finished.latency)
    if metadata.attempts:
        _fill_totals(response.execution, total_usage(metadata.attempts), total_cost(metadata.attempts))
    else:  # from the cache: nothing was spent
        _fill_totals(response.execution, finished.usage, finished.cost)
    if finished.cost is not None:
        _fill_cost(response.cost, finished.cost)
    if finished.structured_json:
        response.structured_output_json = valid_text(finished.structured_json)
    for artifact in result.artifacts:
        _fill_artifact(response.artifacts.add(), artifact)
    for warning in metadata.warnings:
        response.warnings.add(field=valid_text(warning.field), message=valid_text(warning.message))
    response.cache_status = CACHE_STATUSES[metadata.cache_status]
    if metadata.conversation_id:
        response.conversation_id = metadata.conversation_id


def _fill_message(target: content_pb2.Message, message_id: str, message: Message) -> None:
    target.id = message_id
    target.role = ROLES[message.role]
    target.provider = valid_text(message.provider)
    target.model = valid_text(message.model)
    for part in message.parts:
        _fill_part(target.parts.add(), part)


def _fill_execution(execution: generation_pb2.Execution, metadata: ResponseMetadata) -> None:
    """Set all but the latency, which is unknown until the end of the response."""
    execution.requested_model = valid_text(metadata.requested_model)
    execution.provider = valid_text(metadata.provider)
    execution.model = valid_text(metadata.model)
    _add_attempts(execution, metadata.attempts)
    fill_duration(execution.time_to_first_token, metadata.time_to_first_token)
    if metadata.saved_cost is not None:
        _fill_cost(execution.saved_cost, metadata.saved_cost)
    if metadata.generated_at is not None:
        fill_timestamp(execution.generate_time, metadata.generated_at)


def _fill_totals(execution: generation_pb2.Execution, usage: Usage | None, cost: Cost | None) -> None:
    if usage is not None:
        _fill_usage(execution.total_usage, usage)
    if cost is not None:
        _fill_cost(execution.total_cost, cost)


def _add_attempts(execution: generation_pb2.Execution, attempts: Iterable[AttemptRecord]) -> None:
    for attempt in attempts:
        added = execution.attempts.add()
        added.provider = valid_text(attempt.provider)[:MAX_NAME_LENGTH]
        added.model = valid_text(attempt.model)[:MAX_NAME_LENGTH]
        added.error_reason = attempt.error_reason
        fill_duration(added.duration, attempt.duration)
        if not attempt.error_reason:
            continue  # the usage of the response itself
        if attempt.usage is not None:
            _fill_usage(added.usage, attempt.usage)
        if attempt.cost is not None:
            _fill_cost(added.cost, attempt.cost)


def _fill_delta(target: generation_pb2.PartDelta, delta: TextDelta | ReasoningDelta | ToolCallDelta) -> None:
    target.index = delta.index
    match delta:
        case TextDelta():
            target.text = valid_text(delta.text)
        case ReasoningDelta():
            target.reasoning = valid_text(delta.text)
        case ToolCallDelta():
            _fill_tool_call(target.tool_call, delta)
        case _:
            assert_never(delta)


def _fill_part(target: content_pb2.Part, part: Part) -> None:
    if part.provider_state:
        target.provider_state = part.provider_state
    match part:
        case Text():
            target.text = valid_text(part.text)
        case Reasoning():
            reasoning = target.reasoning
            reasoning.text = valid_text(part.text)
            reasoning.redacted = part.redacted
        case Attachment():
            _fill_attachment(target.attachment, part)
        case ToolCall():
            _fill_tool_call(target.tool_call, part)
        case ToolResult():
            _fill_tool_result(target.tool_result, part)
        case _:
            assert_never(part)


def _fill_artifact(target: content_pb2.Artifact, artifact: Artifact) -> None:
    target.id = artifact.id
    target.name = valid_text(artifact.name)
    target.mime_type = valid_text(artifact.mime_type)
    target.language = valid_text(artifact.language)
    if artifact.data is not None:
        target.data = artifact.data
    else:
        target.text = valid_text(artifact.text or "")


def _fill_attachment(target: content_pb2.Attachment, attachment: Attachment) -> None:
    target.mime_type = valid_text(attachment.mime_type)
    target.filename = valid_text(attachment.filename)
    if attachment.data is not None:
        target.data = attachment.data
    elif attachment.uri is not None:
        target.uri = valid_text(attachment.uri)


def _fill_tool_call(target: content_pb2.ToolCall, call: ToolCall | ToolCallDelta) -> None:
    target.id = valid_text(call.id)
    target.name = valid_text(call.name)
    target.arguments_json = valid_text(call.arguments_json)


def _fill_tool_result(target: content_pb2.ToolResult, result: ToolResult) -> None:
    target.tool_call_id = valid_text(result.tool_call_id)
    target.name = valid_text(result.name)
    target.output = valid_text(result.output)
    target.is_error = result.is_error
    for attachment in result.attachments:
        _fill_attachment(target.attachments.add(), attachment)


def _fill_usage(target: usage_pb2.Usage, usage: Usage) -> None:
    target.source = USAGE_SOURCES[usage.source]
    target.input_tokens = clamp_int32(usage.input_tokens)
    target.output_tokens = clamp_int32(usage.output_tokens)
    if usage.cache_read_tokens:
        target.cache_read_tokens = clamp_int32(usage.cache_read_tokens)
    if usage.cache_write_tokens:
        target.cache_write_tokens = clamp_int32(usage.cache_write_tokens)
    if usage.long_cache_write_tokens:
        target.long_cache_write_tokens = clamp_int32(usage.long_cache_write_tokens)
    if usage.reasoning_tokens:
        target.reasoning_tokens = clamp_int32(usage.reasoning_tokens)


def _fill_cost(target: usage_pb2.Cost, cost: Cost) -> None:
    target.currency_code = cost.currency
    target.total_nanos = cost.total_nanos
    target.input_nanos = cost.input_nanos
    target.output_nanos = cost.output_nanos
    target.estimated = cost.estimated


def valid_text(text: str) -> str:
    """Return the text as valid Unicode: surrogate pairs from JSON escapes are joined, lone surrogates replaced.

    >>> valid_text("plain"), valid_text(chr(0xD83D) + chr(0xDE00)) == chr(0x1F600), valid_text(chr(0xD83D))
    ('plain', True, '\N{REPLACEMENT CHARACTER}')
    """
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def clamp_int32(count: int) -> int:
    """Return the count limited to 0 … 2³¹ - 1."""
    return min(max(0, count), MAX_INT32)
