"""Download attachment URLs that the target's model does not accept as URLs, and send the files as data."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

from ..catalog.model import Model
from ..core.content import Attachment, Message, Part, ToolResult, attachments_of
from ..core.errors import DeadlineExceeded, FieldViolation, InvalidRequest
from ..core.handler import AttemptHandler
from ..core.request import Attempt
from ..core.stream import ResponseStream

MAX_FETCHES = 20
"""Downloads per call. The limit keeps callers from using the gateway to flood other servers."""

Fetcher = Callable[[str, str, int, str, str], Awaitable[bytes]]
"""Download a URL of the given MIME type and size limit in bytes, from this field of the request, for this caller.

Raises InvalidRequest or PayloadTooLarge, naming the field.
"""

_File = tuple[str, str]
"""A URL and its declared MIME type."""


class FetchAttachments:
    """Replace attachment URLs by data if the model does not accept URLs. Without a fetcher, pass all URLs unchanged.

    Downloads count against `max_total_bytes` together with the attachments that the caller sent as data. Files are
    downloaded one after the other, each only once.
    """

    def __init__(
        self,
        fetcher: Fetcher | None,
        find_model: Callable[[str, str], Model | None],
        max_attachment_bytes: int,
        max_total_bytes: int,
    ) -> None:
        self._fetcher = fetcher
        self._find_model = find_model
        self._max_attachment_bytes = max_attachment_bytes
        self._max_total_bytes = max_total_bytes

    def __call__(self, attempt: Attempt[Any], proceed: AttemptHandler) -> Awaitable[ResponseStream]:
        """Download the files and proceed. Raises InvalidRequest, PayloadTooLarge or DeadlineExceeded."""
        fields = {} if self._fetcher is None else self._fields_to_fetch(attempt)
        if self._fetcher is None or not fields:
            return proceed(attempt)
        return self._with_files(attempt, fields, self._fetcher, proceed)

    async def _with_files(
        self, attempt: Attempt[Any], fields: Mapping[_File, str], fetcher: Fetcher, proceed: AttemptHandler
    ) -> ResponseStream:
        try:
            with attempt.upstream_timer.measure():
                async with asyncio.timeout_at(attempt.deadline):
                    files = await self._fetch(attempt, fields, fetcher)
        except TimeoutError as error:
            provider, model = attempt.target.key
            message = "Deadline exceeded while downloading attachments."
            raise DeadlineExceeded(message, provider=provider, model=model) from error
        # In place, so that a repair of the answer reuses the files.
        attempt.messages = tuple(_with_data(message, files) for message in attempt.messages)
        return await proceed(attempt)

    def _fields_to_fetch(self, attempt: Attempt[Any]) -> Mapping[_File, str]:
        """Return the files that the model does not accept as URLs, each with the first field that names it."""
        fields: dict[_File, str] = {}
        model = self._find_model(*attempt.target.key)
        for field, attachment in attachments_of(attempt.messages):
            if model is not None and attachment.uri is not None and not model.accepts_url(attachment):
                fields.setdefault((attachment.uri, attachment.mime_type), f"{field}.uri")
        return fields

    async def _fetch(
        self, attempt: Attempt[Any], fields: Mapping[_File, str], fetcher: Fetcher
    ) -> Mapping[_File, bytes]:
        if len(fields) > MAX_FETCHES:
            raise _too_many(list(fields.values())[MAX_FETCHES], len(fields))
        inline_bytes = sum(len(attachment.data or b"") for _, attachment in attachments_of(attempt.messages))
        bytes_left = max(0, self._max_total_bytes - inline_bytes)
        files: dict[_File, bytes] = {}
        for (uri, mime_type), field in fields.items():
            max_bytes = min(self._max_attachment_bytes, bytes_left)
            data = await fetcher(uri, mime_type, max_bytes, field, attempt.caller.name)
            bytes_left -= len(data)
            files[uri, mime_type] = data
        return files


def _too_many(field: str, count: int) -> InvalidRequest:
    description = f"exceeds the limit of {MAX_FETCHES} attachments that the gateway downloads for one call, got {count}"
    return InvalidRequest(
        f"{field} {description}.",
        solution="Send some of the files as data, or choose a model that accepts attachment URLs.",
        violations=(FieldViolation(field, description),),
    )


def _with_data(message: Message, files: Mapping[_File, bytes]) -> Message:
    return replace(message, parts=tuple(_part_with_data(part, files) for part in message.parts))


def _part_with_data(part: Part, files: Mapping[_File, bytes]) -> Part:
    match part:
        case Attachment():
            return _attachment_with_data(part, files)
        case ToolResult(attachments=(_, *_)):
            return replace(part, attachments=tuple(_attachment_with_data(each, files) for each in part.attachments))
        case _:
            return part


def _attachment_with_data(attachment: Attachment, files: Mapping[_File, bytes]) -> Attachment:
    data = files.get((attachment.uri or "", attachment.mime_type))
    return attachment if data is None else replace(attachment, data=data, uri=None)
