"""A minimal HTTP/2 client for requests that no gRPC client sends."""

from __future__ import annotations

import asyncio
import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS = 0, 1, 4
END_STREAM, END_HEADERS = 1, 4
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
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    block = b"".join(_literal(name, value) for name, value in (*GRPC_HEADERS, (b":path", path), *headers))
    writer.write(PREFACE + _frame(SETTINGS, 0, 0, b"") + _frame(HEADERS, END_HEADERS, 1, block))
    writer.write(_frame(DATA, END_STREAM, 1, EMPTY_MESSAGE))
    received = b""
    while b"grpc-status" not in received:
        data = await asyncio.wait_for(reader.read(65536), 10)
        if not data:
            break
        received += data
    writer.close()
    return received


def _literal(name: bytes, value: bytes) -> bytes:
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload
