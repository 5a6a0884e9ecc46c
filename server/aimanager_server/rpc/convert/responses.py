"""Our words → protobuf: answers, stream events and what it took to get them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

from google.protobuf.duration_pb2 import Duration

from aimanager.v1 import content_pb2, generation_pb2, usage_pb2

from ...core.attempts import AttemptRecord
from ...core.content import Artifact, Attachment, Part, Reasoning, Role, Text, ToolCall, ToolResult
from ...core.errors import GatewayError
from ...core.response import (
    ArtifactExtracted,
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

ROLES = {role: content_pb2.Role.Value(f"ROLE_{role.name}") for role in Role}
FINISH_REASONS = {reason: generation_pb2.FinishReason.Value(f"FINISH_REASON_{reason.name}") for reason in FinishReason}
USAGE_SOURCES = {source: usage_pb2.UsageSource.Value(f"USAGE_SOURCE_{source.name}") for source in UsageSource}
MOST = 2**31 - 1


def response(completion: GenerateResult) -> generation_pb2.GenerateResponse:
    """A whole answer."""
    head, finished, said = completion.metadata, completion.finished, completion.message
    written = generation_pb2.GenerateResponse(
        id=head.id,
        message=content_pb2.Message(
            id=head.id,
            role=ROLES[said.role],
            parts=map(part, said.parts),
            provider=text(said.provider),
            model=text(said.model),
        ),
        finish_reason=FINISH_REASONS[finished.reason],
        provider_finish_reason=text(finished.provider_reason),
        usage=usage(finished.usage),
        route=route(head),
        artifacts=map(artifact, completion.artifacts),
        structured_output_json=text(finished.structured_json),
        warnings=[generation_pb2.Warning(field=text(one.field), message=text(one.message)) for one in head.warnings],
        from_cache=head.from_cache,
    )
    written.route.latency.CopyFrom(duration(finished.latency))
    if finished.cost is not None:
        written.cost.CopyFrom(cost(finished.cost))
    return written


def route(head: ResponseMetadata) -> generation_pb2.Route:
    """Who answers; the latency is left for the end."""
    return generation_pb2.Route(
        requested_model=text(head.requested_model),
        provider=text(head.provider),
        model=text(head.model),
        attempts=attempts(head.attempts),
        time_to_first_token=duration(head.time_to_first_token),
    )


def tried(fault: GatewayError, count: int) -> generation_pb2.Route:
    """The first `count` attempts of a call that failed."""
    return generation_pb2.Route(
        provider=text(fault.provider)[:128],
        model=text(fault.model)[:128],
        attempts=attempts(fault.attempts[:count]),
    )


def attempts(tries: Iterable[AttemptRecord]) -> list[generation_pb2.Attempt]:
    """Every try, in order."""
    return list(map(_attempt, tries))


def started(head: ResponseMetadata) -> generation_pb2.StreamGenerateResponse:
    """The opening of a stream."""
    opening = generation_pb2.StreamStarted(id=head.id, route=route(head))
    return generation_pb2.StreamGenerateResponse(started=opening)


def event(
    one: TextDelta | ReasoningDelta | ToolCallDelta | PartCompleted | ArtifactExtracted | Restarted,
) -> generation_pb2.StreamGenerateResponse:
    """A piece of an answer, a whole part of it, what was lifted out of it, or that all of that is void."""
    if isinstance(one, Restarted):
        again = generation_pb2.StreamRestarted(route=route(one.metadata))
        return generation_pb2.StreamGenerateResponse(restarted=again)
    if isinstance(one, ArtifactExtracted):
        return generation_pb2.StreamGenerateResponse(artifact=artifact(one.artifact))
    if isinstance(one, PartCompleted):
        whole = generation_pb2.PartCompleted(index=one.index, part=part(one.part))
        return generation_pb2.StreamGenerateResponse(part_completed=whole)
    return generation_pb2.StreamGenerateResponse(delta=_delta(one))


def completed(completion: GenerateResult) -> generation_pb2.StreamGenerateResponse:
    """The end of a stream: the whole answer."""
    return generation_pb2.StreamGenerateResponse(completed=response(completion))


def heartbeat(elapsed: float) -> generation_pb2.StreamGenerateResponse:
    """A sign of life, `elapsed` seconds into the call."""
    return generation_pb2.StreamGenerateResponse(heartbeat=generation_pb2.Heartbeat(elapsed=duration(elapsed)))


def _attempt(one: AttemptRecord) -> generation_pb2.Attempt:
    return generation_pb2.Attempt(
        provider=text(one.provider)[:128],
        model=text(one.model)[:128],
        error_reason=one.error_reason,
        duration=duration(one.duration),
        usage=None if one.usage is None else usage(one.usage),
        cost=None if one.cost is None else cost(one.cost),
    )


def _delta(one: TextDelta | ReasoningDelta | ToolCallDelta) -> generation_pb2.PartDelta:
    match one:
        case TextDelta():
            return generation_pb2.PartDelta(index=one.index, text=text(one.text))
        case ReasoningDelta():
            return generation_pb2.PartDelta(index=one.index, reasoning=text(one.text))
        case ToolCallDelta():
            piece = content_pb2.ToolCall(id=text(one.id), name=text(one.name), arguments_json=text(one.arguments_json))
            return generation_pb2.PartDelta(index=one.index, tool_call=piece)
        case _:
            assert_never(one)


def part(one: Part) -> content_pb2.Part:
    """One part of a turn."""
    state = one.provider_state
    match one:
        case Text():
            return content_pb2.Part(text=text(one.text), provider_state=state)
        case Reasoning():
            thinking = content_pb2.Reasoning(text=text(one.text), redacted=one.redacted)
            return content_pb2.Part(reasoning=thinking, provider_state=state)
        case Attachment():
            return content_pb2.Part(attachment=_attachment(one), provider_state=state)
        case ToolCall():
            call = content_pb2.ToolCall(id=text(one.id), name=text(one.name), arguments_json=text(one.arguments_json))
            return content_pb2.Part(tool_call=call, provider_state=state)
        case ToolResult():
            return content_pb2.Part(tool_result=_tool_result(one), provider_state=state)
        case _:
            assert_never(one)


def artifact(one: Artifact) -> content_pb2.Artifact:
    """A deliverable."""
    kind, language = text(one.mime_type), text(one.language)
    written = content_pb2.Artifact(id=one.id, name=text(one.name), mime_type=kind, language=language)
    if one.data is not None:
        written.data = one.data
    else:
        written.text = text(one.text or "")
    return written


def _attachment(one: Attachment) -> content_pb2.Attachment:
    written = content_pb2.Attachment(mime_type=text(one.mime_type), filename=text(one.filename))
    if one.data is not None:
        written.data = one.data
    elif one.uri is not None:
        written.uri = text(one.uri)
    return written


def _tool_result(one: ToolResult) -> content_pb2.ToolResult:
    return content_pb2.ToolResult(
        tool_call_id=text(one.tool_call_id),
        name=text(one.name),
        output=text(one.output),
        attachments=map(_attachment, one.attachments),
        is_error=one.is_error,
    )


def usage(used: Usage) -> usage_pb2.Usage:
    """Tokens; a count beyond what the field can hold becomes the nearest it can."""
    return usage_pb2.Usage(
        input_tokens=_count(used.input_tokens),
        output_tokens=_count(used.output_tokens),
        cache_read_tokens=_count(used.cache_read_tokens),
        cache_write_tokens=_count(used.cache_write_tokens),
        reasoning_tokens=_count(used.reasoning_tokens),
        source=USAGE_SOURCES[used.source],
    )


def cost(money: Cost) -> usage_pb2.Cost:
    """Money."""
    return usage_pb2.Cost(
        currency_code=money.currency,
        total_nanos=money.total_nanos,
        input_nanos=money.input_nanos,
        output_nanos=money.output_nanos,
        estimated=money.estimated,
    )


def duration(seconds: float) -> Duration:
    """Seconds as a Duration, to the nanosecond; never negative."""
    nanos = max(0, round(seconds * 1e9))
    return Duration(seconds=nanos // 1_000_000_000, nanos=nanos % 1_000_000_000)


def text(value: str) -> str:
    """The same text as valid Unicode: surrogates that JSON let through are paired, or replaced where they are alone.

    >>> text("plain"), text(chr(0xD83D) + chr(0xDE00)) == chr(0x1F600), text(chr(0xD83D))
    ('plain', True, '\N{REPLACEMENT CHARACTER}')
    """
    if value.isascii():
        return value
    return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _count(tokens: int) -> int:
    return min(max(0, tokens), MOST)
