"""Build messages, attachments and tools, as the protobuf messages of aimanager.v1."""

from __future__ import annotations

import json
import mimetypes
import re
from collections.abc import Callable, Mapping
from os import PathLike, fspath
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Protocol

from ._convert.checks import require_choice, require_utf8
from ._convert.function_schema import function_schema, split_docstring
from ._convert.scalars import enum_words
from ._convert.tool_output import tool_output
from .config import MAX_MESSAGE_BYTES, MIB
from .errors import InvalidRequestError
from .v1.content_pb2 import Attachment, CacheHint, Message, Part, Role, ToolResult
from .v1.generation_pb2 import ReasoningOptions, Tool, ToolChoice

__all__ = [
    "Attachment",
    "AttachmentSource",
    "Message",
    "Part",
    "ReasoningOptions",
    "Tool",
    "ToolChoice",
    "assistant",
    "attachment",
    "cached",
    "image",
    "pdf",
    "tool",
    "tool_result",
    "user",
]

AttachmentSource = str | PathLike[str] | bytes | Attachment
"""A path, an https URL, the bytes of a file, or an Attachment."""

FILE_SIGNATURES: Mapping[bytes, str] = MappingProxyType(
    {
        b"\x89PNG\r\n\x1a\n": "image/png",
        b"\xff\xd8\xff": "image/jpeg",
        b"GIF8": "image/gif",
        b"%PDF-": "application/pdf",
    }
)
URL_SCHEME = re.compile(r"(data(?=:)|[A-Za-z][A-Za-z0-9+.-]*(?=://))")


class ToolCallReference(Protocol):
    """The id and tool name of a tool call."""

    @property
    def id(self) -> str:
        """Id of the call."""

    @property
    def name(self) -> str:
        """Name of the tool."""


def user(*content: str | Attachment | Part) -> Message:
    """Return a user message.

    >>> user("What is this?", image(b"\\x89PNG\\r\\n\\x1a\\n")).parts[1].attachment.mime_type
    'image/png'
    """
    return Message(role=Role.ROLE_USER, parts=[part(each) for each in content])


def assistant(*content: str | Attachment | Part) -> Message:
    """Return an assistant message, for examples and stored history. For a response use `response.message` instead.

    >>> assistant("Hello").parts[0].text
    'Hello'
    """
    return Message(role=Role.ROLE_ASSISTANT, parts=[part(each) for each in content])


def part(content: str | Attachment | Part) -> Part:
    """Return one part of a message."""
    if isinstance(content, str):
        return Part(text=require_utf8("text", content))
    return Part(attachment=content) if isinstance(content, Attachment) else content


def cached(content: str | Attachment | Part, lifetime: Literal["short", "long"] = "short") -> Part:
    """Return a part that ends what the provider should cache, because later prompts will begin with the same parts.

    `lifetime`: the provider's default, or its longest, for which writing costs more. docs/cost.md tells when it pays. A
    model that cannot do it gives a warning.

    >>> book = cached("Call me Ishmael. …", "long")
    >>> [bool(each.cache_hint) for each in user(book, "Who is it?").parts]
    [True, False]
    """
    marked = Part()
    marked.CopyFrom(part(content))
    marked.cache_hint = cache_hint("lifetime", lifetime)
    return marked


def cache_hint(parameter: str, lifetime: str | None) -> CacheHint.ValueType:
    """Return the hint of a lifetime, unspecified for None. Raises InvalidRequestError for another word."""
    if lifetime is None:
        return CacheHint.CACHE_HINT_UNSPECIFIED
    return CacheHint.ValueType(require_choice(parameter, lifetime, enum_words(CacheHint)))


def tool_result(call: ToolCallReference, output: object, *, is_error: bool = False) -> Part:
    """Return the result of a tool call, for a user message. An output that is not a str is sent as JSON.

    Pydantic models and dataclasses become objects; values that JSON cannot represent, such as a date, become their
    `str()`.

    >>> from aimanager.v1.content_pb2 import ToolCall
    >>> tool_result(ToolCall(id="1", name="weather"), {"sky": "blue"}).tool_result.output
    '{"sky": "blue"}'
    """
    text = require_utf8("output", tool_output(output))
    return Part(tool_result=ToolResult(tool_call_id=call.id, name=call.name, output=text, is_error=is_error))


def tool(
    function: Callable[..., Any] | str,
    *,
    description: str = "",
    schema: Mapping[str, object] | None = None,
    strict: bool = False,
) -> Tool:
    """Return a tool from a function, or from a name and the JSON Schema of its arguments.

    The docstring of a function becomes the description, its `Args:` section the descriptions of the parameters, its
    type hints the schema. The gateway never runs a tool; `AIManager.run` does, and takes the functions themselves.

    >>> def weather(city: str) -> str:
    ...     "Return the weather."
    >>> tool(weather, strict=True).description
    'Return the weather.'
    """
    if isinstance(function, str):
        return Tool(
            name=require_utf8("name", function),
            description=require_utf8("description", description),
            input_schema_json=json.dumps(dict(schema)) if schema else "",
            strict=strict,
        )
    return Tool(
        name=function.__name__,
        description=require_utf8("description", description or split_docstring(function)[0]),
        input_schema_json=json.dumps(dict(schema) if schema is not None else function_schema(function)),
        strict=strict,
    )


def image(source: AttachmentSource, *, mime_type: str = "") -> Attachment:
    """Return an image attachment. Raises InvalidRequestError for another type of file.

    >>> image("https://example.org/cat.png").mime_type
    'image/png'
    """
    return _require_type(attachment(source, mime_type=mime_type), "image/", "an image")


def pdf(source: AttachmentSource, *, filename: str = "") -> Attachment:
    """Return a PDF attachment. Raises InvalidRequestError for another type of file.

    >>> pdf(b"%PDF-1.7", filename="paper.pdf").filename
    'paper.pdf'
    """
    mime_type = "application/pdf" if _is_url(source) else ""
    return _require_type(attachment(source, mime_type=mime_type, filename=filename), "application/pdf", "a PDF")


def attachment(source: AttachmentSource, *, mime_type: str = "", filename: str = "") -> Attachment:
    """Return an attachment. The client reads a path at once; the provider or the gateway fetches an https URL.

    The MIME type is detected from the first bytes. A file that is UTF-8 is text, whatever its suffix; the suffix
    decides about others. `~` in a path is the home folder. Raises InvalidRequestError for an unreadable file, a file
    above 36 MiB or an unknown type.

    >>> attachment(b"a,b", filename="table.csv").mime_type
    'text/csv'
    """
    if isinstance(source, Attachment):
        return source
    if not isinstance(source, str | PathLike | bytes | bytearray):
        raise InvalidRequestError(
            f"An attachment must be a path, an https URL, bytes or an Attachment, got {type(source).__name__}.",
            "Pass the path as a str, or the bytes of the file.",
        )
    filename = require_utf8("filename", filename)
    if isinstance(source, str) and _is_url(source):
        guessed = mime_type or mimetypes.guess_type(source.partition("?")[0])[0]
        url = require_utf8("URL", source)
        return Attachment(mime_type=guessed or _unknown_type(source), filename=filename, uri=url)
    if isinstance(source, bytes | bytearray):
        data = bytes(source)
        return Attachment(mime_type=mime_type or _detect_type(data, filename), filename=filename, data=data)
    data, name = _read(source), filename or require_utf8("filename", Path(source).name)
    return Attachment(mime_type=mime_type or _detect_type(data, name), filename=name, data=data)


def _is_url(source: AttachmentSource) -> bool:
    """Return whether the source is an https URL. Raises InvalidRequestError for another scheme, which is no path."""
    scheme = URL_SCHEME.match(source) if isinstance(source, str) else None
    if scheme is not None and scheme[1].lower() != "https":
        raise InvalidRequestError(
            f"An attachment URL must use https, got {scheme[1]!r}.",
            solution="Pass an https URL, or the path or the bytes of the file.",
        )
    return scheme is not None


def _read(path: str | PathLike[str]) -> bytes:
    shown = f"{fspath(path)!r:.200}"
    limit = f"{MAX_MESSAGE_BYTES // MIB} MiB"
    try:
        file = Path(path).expanduser()
        size = file.stat().st_size
        if size <= MAX_MESSAGE_BYTES:
            with file.open("rb") as opened:  # a device and a pipe have no size
                data = opened.read(MAX_MESSAGE_BYTES + 1)
            if len(data) <= MAX_MESSAGE_BYTES:
                return data
    except (OSError, RuntimeError, ValueError) as error:  # RuntimeError: no home folder; ValueError: a zero byte
        problem = getattr(error, "strerror", None) or error
        raise InvalidRequestError(f"Cannot read attachment {shown}: {problem}.", "Check the path.") from error
    has = f"{size / MIB:.1f} MiB" if size > MAX_MESSAGE_BYTES else f"more than {limit}"
    raise InvalidRequestError(
        f"Attachment {shown} has {has}; a request can have at most {limit}.",
        "Pass a smaller file, or an https URL that the provider fetches.",
        reason="PAYLOAD_TOO_LARGE",
    )


def _detect_type(data: bytes, filename: str) -> str:
    for signature, mime_type in FILE_SIGNATURES.items():
        if data.startswith(signature):
            return mime_type
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    guessed = mimetypes.guess_type(filename)[0]
    try:
        data.decode()
    except UnicodeDecodeError:
        return guessed or _unknown_type(filename or f"{len(data)} bytes")
    return guessed if guessed and guessed.startswith("text/") else "text/plain"


def _unknown_type(name: str) -> str:
    raise InvalidRequestError(
        f"Cannot detect the MIME type of attachment {name!r}.",
        solution='Pass it: attachment(…, mime_type="application/pdf").',
    )


def _require_type(file: Attachment, prefix: str, expected: str) -> Attachment:
    if file.mime_type.startswith(prefix):
        return file
    raise InvalidRequestError(
        f"The attachment must be {expected}, got {file.mime_type!r}.",
        solution="Use attachment(…), which accepts any type.",
    )
