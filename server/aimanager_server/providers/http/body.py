"""Read response bodies within limits on received bytes, decompressed bytes and the ratio of the two."""

from __future__ import annotations

import asyncio
import zlib
from math import inf

from ...config.settings import Limits
from ...core.errors import GatewayError, ProviderProtocolError
from .transport import Response

RATIO_EXEMPT_BYTES = 1024 * 1024
"""Bodies that decompress to at most this size are exempt from the ratio limit: small bodies can have any ratio."""

ERROR_BODY_SECONDS = 5.0
"""How long to wait for the body of an error response, whose status is known already."""

BODY_IDLE_SECONDS = 5.0
"""How long a body that has begun may pause. A server that announces one byte too many would last until the deadline."""

DETECT_GZIP_OR_ZLIB = zlib.MAX_WBITS | 32
SUPPORTED_ENCODINGS = ("gzip", "x-gzip", "deflate")


async def read_error_body(response: Response, max_bytes: int, deadline: float = inf) -> bytes:
    """Return at most the first `max_bytes` of the body of an error response, decompressed if possible.

    A body that is late, incomplete or corrupt is returned as far as it can be read: the status matters more. Raises
    TimeoutError at `deadline`.
    """
    body, latest = bytearray(), asyncio.get_running_loop().time() + ERROR_BODY_SECONDS
    try:
        while len(body) < max_bytes and (chunk := await response.body.read(min(latest, deadline))):
            body += chunk[: max_bytes - len(body)]
    except TimeoutError:
        if deadline <= latest:
            raise
    except GatewayError:
        pass
    if response.headers.get("content-encoding", "").strip().lower() not in SUPPORTED_ENCODINGS:
        return bytes(body)
    try:
        return zlib.decompressobj(DETECT_GZIP_OR_ZLIB).decompress(body, max_bytes)
    except zlib.error:
        return b""


async def read_body(response: Response, limits: Limits, deadline: float = inf) -> bytes:
    """Return the whole body, decompressed. Raises ProviderProtocolError if it exceeds the limits.

    Raises TimeoutError at `deadline`.
    """
    chunks = await _read_chunks(response, limits.max_response_bytes, deadline)
    if sum(map(len, chunks)) > limits.max_response_bytes:
        chunks.clear()  # the error, whose traceback refers to this frame, may be kept for a while
        raise _too_large(limits.max_response_bytes)
    body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
    return decompress(body, response.headers.get("content-encoding", ""), limits)


def decompress(body: bytes, encoding: str, limits: Limits) -> bytes:
    """Return the decompressed body.

    Raises ProviderProtocolError if the encoding is not supported, the data is corrupt or truncated, or the result
    exceeds the size or ratio limit.
    """
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return body
    if encoding not in SUPPORTED_ENCODINGS:
        raise ProviderProtocolError(
            f"Unsupported Content-Encoding {encoding[:40]!r} in the provider's response; only gzip and deflate were "
            "offered."
        )
    max_bytes = min(limits.max_response_bytes, max(RATIO_EXEMPT_BYTES, len(body) * limits.max_decompression_ratio))
    inflater = zlib.decompressobj(DETECT_GZIP_OR_ZLIB)
    try:
        plain = inflater.decompress(body, max_bytes + 1)
    except zlib.error as error:
        raise ProviderProtocolError(f"The provider's response is not valid {encoding} data.") from error
    if len(plain) > max_bytes:
        raise _too_large(max_bytes)
    if not inflater.eof:
        raise ProviderProtocolError(f"The provider's response was truncated: its {encoding} data is incomplete.")
    return plain


async def _read_chunks(response: Response, max_bytes: int, deadline: float) -> list[bytes]:
    chunks: list[bytes] = []
    size, latest = 0, inf
    loop = asyncio.get_running_loop()
    try:
        while chunk := await response.body.read(min(latest, deadline)):
            chunks.append(chunk)
            size += len(chunk)
            if size > max_bytes:
                break
            if latest < inf or not chunk.isspace():  # some servers send blank lines while a request is queued
                latest = loop.time() + BODY_IDLE_SECONDS
    except TimeoutError as error:
        chunks.clear()
        if deadline <= latest:
            raise
        raise _stalled(response, size) from error
    except BaseException:
        chunks.clear()
        raise
    return chunks


def _stalled(response: Response, size: int) -> ProviderProtocolError:
    length = response.headers.get("content-length", "")[:20]
    arrived = f"{size} of {length} bytes" if length.isdecimal() else f"{size} bytes"
    return ProviderProtocolError(
        f"The provider's response was truncated: nothing followed {arrived} for {BODY_IDLE_SECONDS:g} s."
    )


def _too_large(max_bytes: int) -> ProviderProtocolError:
    return ProviderProtocolError(f"The provider's response exceeds the limit of {max_bytes} bytes.")
