"""Builds what is said: turns, files and tools, as the messages of aimanager.v1 that travel."""

from __future__ import annotations

import inspect
import json
import mimetypes
import re
from collections.abc import Callable, Mapping
from os import PathLike, fspath
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

from ._convert.checks import readable
from ._convert.function_schema import schema_of
from .errors import InvalidRequestError
from .v1.content_pb2 import Attachment, Message, Part, Role, ToolResult
from .v1.generation_pb2 import ReasoningOptions, Tool, ToolChoice

__all__ = [
    "Attachment",
    "Message",
    "Part",
    "ReasoningOptions",
    "Source",
    "Tool",
    "ToolChoice",
    "assistant",
    "attachment",
    "image",
    "pdf",
    "tool",
    "tool_result",
    "user",
]

Source = str | PathLike[str] | bytes | Attachment
"""A file: a path, an https address, its bytes, or an Attachment that is ready."""

SIGNATURES: Mapping[bytes, str] = MappingProxyType(
    {
        b"\x89PNG\r\n\x1a\n": "image/png",
        b"\xff\xd8\xff": "image/jpeg",
        b"GIF8": "image/gif",
        b"%PDF-": "application/pdf",
    }
)
SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


class Called(Protocol):
    """A tool call: what a model asked to run."""

    @property
    def id(self) -> str:
        """The id of the call."""

    @property
    def name(self) -> str:
        """The name of the tool."""


def user(*said: str | Attachment | Part) -> Message:
    """A turn of the caller.

    >>> user("What is this?", image(b"\\x89PNG\\r\\n\\x1a\\n")).parts[1].attachment.mime_type
    'image/png'
    """
    return Message(role=Role.ROLE_USER, parts=[part(piece) for piece in said])


def assistant(*said: str | Attachment | Part) -> Message:
    """A turn of the model, for examples and for history kept elsewhere. An answer's own turn is `response.message`."""
    return Message(role=Role.ROLE_ASSISTANT, parts=[part(piece) for piece in said])


def part(piece: str | Attachment | Part) -> Part:
    """One piece of a turn."""
    if isinstance(piece, str):
        return Part(text=readable("the text", piece))
    return Part(attachment=piece) if isinstance(piece, Attachment) else piece


def tool_result(call: Called, output: object, *, is_error: bool = False) -> Part:
    """The answer to a tool call, for a user turn. What is not a str is sent as JSON."""
    text = output if isinstance(output, str) else json.dumps(output, ensure_ascii=False)
    return Part(
        tool_result=ToolResult(tool_call_id=call.id, name=call.name, output=readable("output", text), is_error=is_error)
    )


def tool(
    function: Callable[..., Any] | str,
    *,
    description: str = "",
    schema: Mapping[str, object] | None = None,
    strict: bool = False,
) -> Tool:
    """A tool from a function, or from its name and a JSON Schema of its arguments.

    The function's docstring describes the tool, its type hints the arguments; the gateway never runs it.

    >>> def weather(city: str) -> str:
    ...     "Tells the weather."
    >>> tool(weather).description
    'Tells the weather.'
    """
    if isinstance(function, str):
        shape = json.dumps(dict(schema)) if schema else ""
        return Tool(
            name=readable("name", function),
            description=readable("description", description),
            input_schema_json=shape,
            strict=strict,
        )
    return Tool(
        name=function.__name__,
        description=readable("description", description or inspect.getdoc(function) or ""),
        input_schema_json=json.dumps(dict(schema) if schema is not None else schema_of(function)),
        strict=strict,
    )


def image(source: Source, *, mime_type: str = "") -> Attachment:
    """An image. Raises InvalidRequestError if it is something else."""
    return _of_kind(attachment(source, mime_type=mime_type), "image/")


def pdf(source: Source, *, filename: str = "") -> Attachment:
    """A PDF document. Raises InvalidRequestError if it is something else."""
    known = "application/pdf" if _is_address(source) else ""
    return _of_kind(attachment(source, mime_type=known, filename=filename), "application/pdf")


def attachment(source: Source, *, mime_type: str = "", filename: str = "") -> Attachment:
    """A file. A path is read here and now, an https address by the provider.

    The type is told by the first bytes, else by the name; bytes that are text are text/plain. Raises
    InvalidRequestError if the file cannot be read or its type cannot be told.
    """
    if isinstance(source, Attachment):
        return source
    filename = readable("filename", filename)
    if isinstance(source, str) and _is_address(source):
        kind = mime_type or mimetypes.guess_type(source.partition("?")[0])[0]
        return Attachment(mime_type=kind or _unknown(source), filename=filename, uri=readable("the address", source))
    if isinstance(source, bytes):
        return Attachment(mime_type=mime_type or _told(source, filename), filename=filename, data=source)
    data, name = _read(source), filename or readable("filename", Path(source).name)
    return Attachment(mime_type=mime_type or _told(data, name), filename=name, data=data)


def _is_address(source: Source) -> bool:
    """Raises InvalidRequestError for an address that is not https: as a path it would only not be found."""
    scheme = SCHEME.match(source) if isinstance(source, str) else None
    if scheme is not None and scheme[1].lower() != "https":
        raise InvalidRequestError(
            f"the attachment is at an address of {scheme[1]!r}, and only https is fetched",
            solution="Give an https address, or the file itself: its path or its bytes.",
        )
    return scheme is not None


def _read(path: str | PathLike[str]) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InvalidRequestError(
            f"cannot read the attachment {fspath(path)!r}: {error.strerror}", solution="Check the path."
        ) from error


def _told(data: bytes, filename: str) -> str:
    for signature, kind in SIGNATURES.items():
        if data.startswith(signature):
            return kind
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return mimetypes.guess_type(filename)[0] or _plain(data) or _unknown(filename or f"{len(data)} bytes")


def _plain(data: bytes) -> str:
    try:
        data.decode()
    except UnicodeDecodeError:
        return ""
    return "text/plain"


def _unknown(what: str) -> str:
    raise InvalidRequestError(
        f"cannot tell the type of the attachment {what!r}",
        solution='Say it: attachment(…, mime_type="application/pdf").',
    )


def _of_kind(file: Attachment, kind: str) -> Attachment:
    if file.mime_type.startswith(kind):
        return file
    raise InvalidRequestError(
        f"the attachment is {file.mime_type!r}, not {kind!r}", solution="Use attachment(…), which takes any file."
    )
