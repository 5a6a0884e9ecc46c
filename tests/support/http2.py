"""A minimal HTTP/2 client for requests that no gRPC client sends."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Iterable

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY = 0, 1, 3, 4, 6, 7
END_STREAM, END_HEADERS = 1, 4
ACK = 1
EMPTY_MESSAGE = b"\0\0\0\0\0"
GRPC_HEADERS = (
    (b":method", b"POST"),
    (b":scheme", b"http"),
    (b":authority", b"here"),
    (b"te", b"trailers"),
    (b"content-type", b"application/grpc"),
)


async def send_call(port: int, path: bytes, *headers: tuple[bytes, bytes]) -> bytes:
    """Call a method with an empty message and return every byte received until the call ended."""
    return await send_headers(port, (*GRPC_HEADERS, (b":path", path), *headers))


async def send_headers(port: int, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Start a call with exactly these headers, send an empty message, and return every byte until the call ended."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    block = b"".join(header_field(name, value) for name, value in headers)
    writer.write(PREFACE + frame(SETTINGS, 0, 0, b"") + frame(HEADERS, END_HEADERS, 1, block))
    writer.write(frame(DATA, END_STREAM, 1, EMPTY_MESSAGE))
    received = b""
    while b"grpc-status" not in received and not _is_reset(received):
        data = await asyncio.wait_for(reader.read(65536), 10)
        if not data:
            break
        received += data
    writer.close()
    return received


def _is_reset(received: bytes) -> bool:
    """Return whether the call was reset, or the connection is about to close."""
    while len(received) >= 9:
        length, kind = int.from_bytes(received[:3]), received[3]
        if kind in (RST_STREAM, GOAWAY):
            return True
        received = received[9 + length :]
    return False


def header_field(name: bytes, value: bytes) -> bytes:
    """Encode a header of fewer than 127 bytes each, not indexed."""
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """Encode a frame."""
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload
