"""Fetches the files that the target's provider cannot fetch by itself, so that a link is as good as data everywhere."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Protocol

from ..catalog.catalog import Model
from ..core.content import Attachment, Message, Part, ToolResult
from ..core.errors import DeadlineExceeded, FieldViolation, InvalidRequest
from ..core.handler import Handler
from ..core.request import Call
from ..core.response import ResponseStream
from ..routing.capabilities import attachments_of, takes_address

MOST_FETCHED = 20
"""Addresses of one call: more would make the gateway a means to flood others."""

_File = tuple[str, str]
"""An address and the type declared for it."""


class Fetcher(Protocol):
    """Gets one file."""

    async def __call__(self, uri: str, mime_type: str, most_bytes: int, field: str) -> bytes:
        """All its bytes, at most so many. Raises InvalidRequest or PayloadTooLarge that names the field."""
        ...


class Fetch:
    """Puts data in the place of addresses. Without a fetcher, every address is left as it is.

    `find` knows the models. What is fetched for one call counts against `most_bytes` together with what came as data.
    One file is fetched after the other, each once: a call never holds more than that.
    """

    def __init__(
        self,
        fetcher: Fetcher | None,
        find: Callable[[str, str], Model | None],
        attachment_bytes: int,
        most_bytes: int,
    ) -> None:
        self._fetcher = fetcher
        self._find = find
        self._attachment_bytes = attachment_bytes
        self._most_bytes = most_bytes

    async def __call__(self, call: Call, proceed: Handler) -> ResponseStream:
        """Proceed with the files. Raises InvalidRequest or PayloadTooLarge for one that is not to be had."""
        links = {} if self._fetcher is None else self._links(call)
        if self._fetcher is None or not links:
            return await proceed(call)
        try:
            with call.upstream_timer.measure():
                async with asyncio.timeout_at(call.deadline):
                    files = await self._fetched(call, links, self._fetcher)
        except TimeoutError as error:
            target = call.target
            message = "The deadline passed while the gateway fetched the attachments."
            raise DeadlineExceeded(message, provider=target.provider, model=target.model) from error
        return await proceed(replace(call, messages=tuple(_filled(message, files) for message in call.messages)))

    def _links(self, call: Call) -> Mapping[_File, str]:
        """What the target does not take as an address, each with the first field that names it."""
        links: dict[_File, str] = {}
        model = self._find(call.target.provider, call.target.model)
        for field, attachment in attachments_of(call.messages):
            if model is not None and attachment.uri is not None and not takes_address(model, attachment):
                links.setdefault((attachment.uri, attachment.mime_type), f"{field}.uri")
        return links

    async def _fetched(self, call: Call, links: Mapping[_File, str], fetcher: Fetcher) -> Mapping[_File, bytes]:
        if len(links) > MOST_FETCHED:
            raise _too_many(list(links.values())[MOST_FETCHED], len(links))
        sizes = (len(attachment.data or b"") for _, attachment in attachments_of(call.messages))
        room = max(0, self._most_bytes - sum(sizes))
        files: dict[_File, bytes] = {}
        for (uri, mime_type), field in links.items():
            data = await fetcher(uri, mime_type, min(self._attachment_bytes, room), field)
            room -= len(data)
            files[uri, mime_type] = data
        return files


def _too_many(field: str, count: int) -> InvalidRequest:
    description = f"is one of {count} addresses that the gateway would have to fetch, at most {MOST_FETCHED} are"
    return InvalidRequest(
        f"{field}: {description}.",
        solution="Send some of the files as data, or choose a model that takes them by their address.",
        violations=(FieldViolation(field, description),),
    )


def _filled(message: Message, files: Mapping[_File, bytes]) -> Message:
    return replace(message, parts=tuple(_part(part, files) for part in message.parts))


def _part(part: Part, files: Mapping[_File, bytes]) -> Part:
    match part:
        case Attachment():
            return _file(part, files)
        case ToolResult(attachments=(_, *_)):
            return replace(part, attachments=tuple(_file(attachment, files) for attachment in part.attachments))
        case _:
            return part


def _file(attachment: Attachment, files: Mapping[_File, bytes]) -> Attachment:
    data = files.get((attachment.uri or "", attachment.mime_type))
    return attachment if data is None else replace(attachment, data=data, uri=None)
