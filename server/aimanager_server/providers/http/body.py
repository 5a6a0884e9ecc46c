"""Reads whole bodies within bounds: bytes on the wire, bytes once decompressed, and the ratio of the two."""

from __future__ import annotations

import zlib

from ...config.settings import Limits
from ...core.errors import ProviderProtocolError
from .transport import Response

ALWAYS_ALLOWED = 1024 * 1024
"""Bytes that any body may decompress to: a ratio says little about a small one."""

EITHER_HEADER = zlib.MAX_WBITS | 32
GZIP_OR_ZLIB = ("gzip", "x-gzip", "deflate")


async def read_start(response: Response, most: int) -> bytes:
    """The first `most` bytes: enough of a refusal to understand it."""
    return b"".join(await _pieces(response, most))[:most]


async def read_whole(response: Response, limits: Limits) -> bytes:
    """The whole body, decompressed. Raises ProviderProtocol where it is larger than the limits allow."""
    pieces = await _pieces(response, limits.response_bytes)
    body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
    if len(body) > limits.response_bytes:
        raise _too_large(limits.response_bytes)
    return decompressed(body, response.headers.get("content-encoding", ""), limits)


def decompressed(body: bytes, encoding: str, limits: Limits) -> bytes:
    """The body as it was before it was compressed. Raises ProviderProtocol for a bomb, garbage, or another encoding."""
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return body
    if encoding not in GZIP_OR_ZLIB:
        raise ProviderProtocolError(f"The answer is encoded as {encoding[:40]!r}; only gzip and deflate were offered.")
    most = min(limits.response_bytes, max(ALWAYS_ALLOWED, len(body) * limits.decompression_ratio))
    inflater = zlib.decompressobj(EITHER_HEADER)
    try:
        plain = inflater.decompress(body, most + 1)
    except zlib.error as error:
        raise ProviderProtocolError(f"The answer is not the {encoding} it claims to be.") from error
    if len(plain) > most:
        raise _too_large(most)
    if not inflater.eof:
        raise ProviderProtocolError(f"The answer was cut: its {encoding} data has no end.")
    return plain


async def _pieces(response: Response, most: int) -> list[bytes]:
    pieces: list[bytes] = []
    size = 0
    async for piece in response.body:
        pieces.append(piece)
        size += len(piece)
        if size > most:
            break
    return pieces


def _too_large(most: int) -> ProviderProtocolError:
    return ProviderProtocolError(f"The answer is larger than the {most} bytes allowed.")
