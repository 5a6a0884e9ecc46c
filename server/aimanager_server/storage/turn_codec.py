"""Turns as JSON. The data of attachments is stored apart from it, under a digest, so that it is stored only once."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

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
    attachments_of,
)
from ..core.conversation import Turn
from ..core.usage import Cost, Usage, UsageSource

Json = dict[str, Any]
Item = TypeVar("Item")


SLICE_BYTES = 1024 * 1024
"""Bytes hashed before other tasks may run: one to three milliseconds of work."""


class Blobs:
    """Data of attachments and binary artifacts by its SHA-256 digest, in hexadecimal."""

    def __init__(self) -> None:
        self.by_digest: dict[str, bytes] = {}
        self._digests: dict[int, str] = {}

    @classmethod
    async def of(cls, turn: Turn) -> Blobs:
        """Return the data of a turn. Other tasks may run between slices of a large one."""
        return await cls.of_content(turn.messages, turn.artifacts)

    @classmethod
    async def of_content(cls, messages: Sequence[Message], artifacts: Sequence[Artifact]) -> Blobs:
        """Return the data of messages and artifacts."""
        blobs = cls()
        attachments = (one.data for _, one in attachments_of(messages))
        for data in (*attachments, *(artifact.data for artifact in artifacts)):
            if data is not None and id(data) not in blobs._digests:
                digest = await _digest(data)
                blobs._digests[id(data)] = digest
                blobs.by_digest[digest] = data
        return blobs

    def digest(self, data: bytes) -> str:
        """Return the digest of data of the turn."""
        return self._digests[id(data)]


async def _digest(data: bytes) -> str:
    digest = hashlib.sha256()
    view = memoryview(data)
    for start in range(0, len(data), SLICE_BYTES):
        if start:
            await asyncio.sleep(0)
        digest.update(view[start : start + SLICE_BYTES])
    return digest.hexdigest()


async def in_slices(items: Iterable[Item], size: Callable[[Item], int]) -> AsyncIterator[Item]:
    """Yield the items; other tasks may run whenever they have had SLICE_BYTES together."""
    done = 0
    for item in items:
        yield item
        done += size(item)
        if done >= SLICE_BYTES:
            done = 0
            await asyncio.sleep(0)


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


def decode_turn(number: int, data: bytes, created_at: float, flags: tuple[bool, bool]) -> DecodedTurn:
    """Return a turn whose data has yet to be added. `flags` are `is_interrupted` and `is_pinned`."""
    return DecodedTurn(number, json.loads(data.decode("utf-8", "surrogatepass")), created_at, flags)


class DecodedTurn:
    """A turn without the data of its attachments."""

    __slots__ = ("_created_at", "_fields", "_flags", "_number")

    def __init__(self, number: int, fields: Json, created_at: float, flags: tuple[bool, bool]) -> None:
        self._number = number
        self._fields = fields
        self._created_at = created_at
        self._flags = flags

    def totals(self) -> tuple[int, Usage | None, Cost | None]:
        """Return the number of messages, the usage and the cost."""
        usage, cost = self._fields.get("usage"), self._fields.get("cost")
        return (
            len(self._fields["messages"]),
            decode_usage(usage) if usage is not None else None,
            decode_cost(cost),
        )

    def digests(self) -> set[str]:
        """Return the digests of the data that the turn refers to."""
        found = set(_digests_of_parts(part for message in self._fields["messages"] for part in message["parts"]))
        found.update(one["data"] for one in self._fields.get("artifacts", ()) if "data" in one)
        return found

    def turn(self, blobs: Mapping[str, bytes]) -> Turn:
        """Return the turn with its data."""
        fields = self._fields
        is_interrupted, is_pinned = self._flags
        _, usage, cost = self.totals()
        return Turn(
            self._number,
            tuple(decode_message(message, blobs) for message in fields["messages"]),
            self._created_at,
            is_interrupted,
            is_pinned,
            tuple(decode_artifact(artifact, blobs) for artifact in fields.get("artifacts", ())),
            usage,
            cost,
        )


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
    parts = tuple(_decode_part(part, blobs) for part in fields["parts"])
    return Message(Role(fields["role"]), parts, fields.get("provider", ""), fields.get("model", ""))


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
        usage.reasoning_tokens, usage.source.value,
    ]  # fmt: skip


def decode_usage(fields: list[Any]) -> Usage:
    """Return the token counts of a list."""
    input_tokens, output_tokens, cache_read, cache_write, reasoning, source = fields
    return Usage(input_tokens, output_tokens, cache_read, cache_write, reasoning, UsageSource(source))


def encode_cost(cost: Cost | None) -> list[Any] | None:
    """Return a cost as a list."""
    return None if cost is None else [cost.input_nanos, cost.output_nanos, cost.currency, cost.estimated]


def decode_cost(fields: list[Any] | None) -> Cost | None:
    """Return the cost of a list."""
    return None if fields is None else Cost(*fields)


def _digests_of_parts(parts: Iterable[Json]) -> Iterable[str]:
    for part in parts:
        for attachment in (part.get("attachment"), *part.get("attachments", ())):
            if attachment is not None and "data" in attachment:
                yield attachment["data"]
