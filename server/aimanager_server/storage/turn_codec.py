"""Turns as JSON. The data of attachments is stored apart from it, under a digest, so that it is stored only once."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from ..core.content import (
    Artifact,
    Attachment,
    Message,
    Part,
    Reasoning,
    Role,
    Text,
    ToolCall,
    ToolResult,
)
from ..core.conversation import Turn
from ..core.usage import Cost, Usage, UsageSource
from ..core.value import dataclass
from .blobs import Blobs

Json = dict[str, Any]
ReadData = Callable[[set[str]], Awaitable[Mapping[str, bytes]]]
"""Returns data by digest."""

BATCH_BYTES, BATCH_TURNS = 64 * 1024, 200
"""Size and number of the turns that are decoded before other tasks may run: one or two milliseconds of work."""

DATA_KEY = b'"data":"'
"""In the JSON of a turn only if it refers to data: in a text, the quotation marks are escaped."""

ROLES = {role.value: role for role in Role}
SOURCES = {source.value: source for source in UsageSource}
"""Looked up here in a quarter of the time of an enumeration."""


@dataclass(frozen=True, slots=True)
class EncodedTurn:
    """A turn as it is stored, decrypted."""

    number: int
    payload: bytes
    created_at: float
    is_interrupted: bool = False
    is_pinned: bool = False


def encode_turn(turn: Turn, blobs: Blobs) -> bytes:
    """Return the JSON of a turn, which refers to the data in `blobs` by digest."""
    fields: Json = {"messages": [encode_message(message, blobs) for message in turn.messages]}
    if turn.artifacts:
        fields["artifacts"] = [encode_artifact(artifact, blobs) for artifact in turn.artifacts]
    if turn.usage is not None:
        fields["usage"] = encode_usage(turn.usage)
    if turn.cost is not None:
        fields["cost"] = encode_cost(turn.cost)
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


async def decode_turns(encoded: Iterable[EncodedTurn], read: ReadData) -> list[Turn]:
    """Return turns with the data that `read` returns by digest. Other tasks may run between batches of many turns."""
    turns: list[Turn] = []
    async for batch, parsed in _parsed(encoded):
        digests: set[str] = set()
        for turn, fields in zip(batch, parsed, strict=True):
            if DATA_KEY in turn.payload:
                digests.update(_digests(fields))
        data = await read(digests) if digests else {}
        turns += [_decode_turn(turn, fields, data) for turn, fields in zip(batch, parsed, strict=True)]
    return turns


async def parse_turns(encoded: Iterable[EncodedTurn]) -> list[Json]:
    """Return the JSON of each of the turns. Other tasks may run between batches of many turns."""
    return [fields async for _, parsed in _parsed(encoded) for fields in parsed]


def decode_totals(fields: Json) -> tuple[int, Usage | None, Cost | None]:
    """Return the number of messages, the usage and the cost of a turn."""
    usage = fields.get("usage")
    return len(fields["messages"]), None if usage is None else decode_usage(usage), decode_cost(fields.get("cost"))


async def _parsed(turns: Iterable[EncodedTurn]) -> AsyncIterator[tuple[Sequence[EncodedTurn], Sequence[Json]]]:
    """Yield batches of turns with their JSON; other tasks may run between them."""
    batch: list[EncodedTurn] = []
    size = 0
    for turn in turns:
        if size >= BATCH_BYTES or len(batch) >= BATCH_TURNS:
            yield batch, _parse(batch)
            await asyncio.sleep(0)
            batch, size = [], 0
        batch.append(turn)
        size += len(turn.payload)
    if batch:
        yield batch, _parse(batch)


def _parse(batch: Sequence[EncodedTurn]) -> Sequence[Json]:
    """Return the JSON of turns, which are read together: one call for each takes twice as long."""
    payloads = b",".join([turn.payload for turn in batch])
    fields: Sequence[Json] = json.loads((b"[%b]" % payloads).decode("utf-8", "surrogatepass"))
    return fields


def _decode_turn(turn: EncodedTurn, fields: Json, data: Mapping[str, bytes]) -> Turn:
    usage = fields.get("usage")
    return Turn(
        turn.number,
        tuple([decode_message(message, data) for message in fields["messages"]]),
        turn.created_at,
        turn.is_interrupted,
        turn.is_pinned,
        tuple([decode_artifact(artifact, data) for artifact in fields.get("artifacts", ())]),
        None if usage is None else decode_usage(usage),
        decode_cost(fields.get("cost")),
    )


def _digests(fields: Json) -> Iterator[str]:
    """Yield the digests of the data that a turn refers to."""
    for message in fields["messages"]:
        for part in message["parts"]:
            for attachment in (part.get("attachment"), *part.get("attachments", ())):
                if attachment is not None and "data" in attachment:
                    yield attachment["data"]
    for artifact in fields.get("artifacts", ()):
        if "data" in artifact:
            yield artifact["data"]


def encode_message(message: Message, blobs: Blobs) -> Json:
    """Return the JSON of a message."""
    fields: Json = {"role": message.role.value, "parts": [_encode_part(part, blobs) for part in message.parts]}
    if message.provider:
        fields["provider"] = message.provider
    if message.model:
        fields["model"] = message.model
    return fields


def decode_message(fields: Json, blobs: Mapping[str, bytes]) -> Message:
    """Return the message of its JSON."""
    parts = tuple([_decode_part(part, blobs) for part in fields["parts"]])
    return Message(ROLES[fields["role"]], parts, fields.get("provider", ""), fields.get("model", ""))


def _encode_part(part: Part, blobs: Blobs) -> Json:
    match part:
        case Text():
            fields: Json = {"text": part.text}
        case Reasoning():
            fields = {"reasoning": part.text}
            if part.redacted:
                fields["redacted"] = True
        case Attachment():
            fields = {"attachment": _encode_attachment(part, blobs)}
        case ToolCall():
            fields = {"tool_call": part.id, "name": part.name, "arguments": part.arguments_json}
        case ToolResult():
            fields = {"tool_result": part.tool_call_id, "name": part.name, "output": part.output}
            if part.is_error:
                fields["is_error"] = True
            if part.attachments:
                fields["attachments"] = [_encode_attachment(one, blobs) for one in part.attachments]
    if part.provider_state:
        fields["state"] = base64.b64encode(part.provider_state).decode()
    return fields


def _decode_part(fields: Json, blobs: Mapping[str, bytes]) -> Part:
    state = base64.b64decode(fields["state"]) if "state" in fields else b""
    if "text" in fields:
        return Text(fields["text"], state)
    if "reasoning" in fields:
        return Reasoning(fields["reasoning"], fields.get("redacted", False), state)
    if "attachment" in fields:
        return _decode_attachment(fields["attachment"], blobs, state)
    if "tool_call" in fields:
        return ToolCall(fields["tool_call"], fields["name"], fields["arguments"], state)
    attachments = tuple(_decode_attachment(one, blobs) for one in fields.get("attachments", ()))
    is_error = fields.get("is_error", False)
    return ToolResult(fields["tool_result"], fields["name"], fields["output"], attachments, is_error, state)


def _encode_attachment(attachment: Attachment, blobs: Blobs) -> Json:
    fields: Json = {"mime_type": attachment.mime_type}
    if attachment.filename:
        fields["filename"] = attachment.filename
    if attachment.data is not None:
        fields["data"] = blobs.digest(attachment.data)
    if attachment.uri is not None:
        fields["uri"] = attachment.uri
    return fields


def _decode_attachment(fields: Json, blobs: Mapping[str, bytes], state: bytes = b"") -> Attachment:
    data = blobs[fields["data"]] if "data" in fields else None
    return Attachment(fields["mime_type"], fields.get("filename", ""), data, fields.get("uri"), state)


def encode_artifact(artifact: Artifact, blobs: Blobs) -> Json:
    """Return the JSON of an artifact."""
    fields: Json = {"id": artifact.id, "name": artifact.name, "mime_type": artifact.mime_type}
    if artifact.language:
        fields["language"] = artifact.language
    if artifact.text is not None:
        fields["text"] = artifact.text
    if artifact.data is not None:
        fields["data"] = blobs.digest(artifact.data)
    return fields


def decode_artifact(fields: Json, blobs: Mapping[str, bytes]) -> Artifact:
    """Return the artifact of its JSON."""
    data = blobs[fields["data"]] if "data" in fields else None
    return Artifact(
        fields["id"], fields["name"], fields["mime_type"], fields.get("language", ""), fields.get("text"), data
    )


def encode_usage(usage: Usage) -> list[Any]:
    """Return token counts as a list."""
    return [
        usage.input_tokens, usage.output_tokens, usage.cache_read_tokens, usage.cache_write_tokens,
        usage.reasoning_tokens, usage.source.value, usage.long_cache_write_tokens,
    ]  # fmt: skip


def decode_usage(fields: list[Any]) -> Usage:
    """Return the token counts of a list."""
    input_tokens, output_tokens, cache_read, cache_write, reasoning, source, *added = fields
    return Usage(input_tokens, output_tokens, cache_read, cache_write, reasoning, SOURCES[source], *added)


def encode_cost(cost: Cost | None) -> list[Any] | None:
    """Return a cost as a list."""
    return None if cost is None else [cost.input_nanos, cost.output_nanos, cost.currency, cost.estimated]


def decode_cost(fields: list[Any] | None) -> Cost | None:
    """Return the cost of a list."""
    return None if fields is None else Cost(*fields)
