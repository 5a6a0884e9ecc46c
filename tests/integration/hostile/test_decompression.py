"""A request that is small on the wire and huge once decompressed takes no more memory than a large request."""

from __future__ import annotations

import socket
import struct
import zlib
from pathlib import Path

import grpc
import pytest

from aimanager.v1.generation_pb2_grpc import GenerationServiceStub
from tests.integration.faults.gateway import generate_request
from tests.support.http2 import (
    DATA,
    END_HEADERS,
    END_STREAM,
    GRPC_HEADERS,
    HEADERS,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    frame,
    header_field,
)
from tests.support.server_process import server_process

MIB = 1024 * 1024
BOMB = 256 * MIB
MAX_ADDED_MIB = 150
"""A request may have 32 MiB, which gRPC may hold twice."""

WINDOW, FRAME_BYTES = 65_535, 16_384
WINDOW_UPDATE, GOAWAY = 8, 7
GZIP = 31


def gzip_of_zeros(size: int) -> bytes:
    compressor, zeros = zlib.compressobj(1, wbits=GZIP), bytes(MIB)
    return b"".join([*(compressor.compress(zeros) for _ in range(size // MIB)), compressor.flush()])


class Sender:
    """Sends one call over HTTP/2, and no more than its flow-control windows permit."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self._file = self._socket.makefile("rb")
        self._windows = {0: WINDOW, 1: WINDOW}
        self.ended = False

    def send(self, message: bytes) -> None:
        fields = (*GRPC_HEADERS, (b":path", b"/aimanager.v1.GenerationService/Generate"), (b"grpc-encoding", b"gzip"))
        headers = b"".join(header_field(name, value) for name, value in fields)
        self._socket.sendall(PREFACE + frame(SETTINGS, 0, 0, b"") + frame(HEADERS, END_HEADERS, 1, headers))
        data = b"\1" + struct.pack(">I", len(message)) + message
        while data and not self.ended:
            size = min(FRAME_BYTES, len(data), *self._windows.values())
            if size <= 0:
                self._receive()
                continue
            self._socket.sendall(frame(DATA, 0 if size < len(data) else END_STREAM, 1, data[:size]))
            self._windows = {stream: window - size for stream, window in self._windows.items()}
            data = data[size:]
        while not self.ended:
            self._receive()
        self._socket.close()

    def _receive(self) -> None:
        head = self._file.read(9)
        kind, flags, stream = head[3], head[4], int.from_bytes(head[5:9])
        payload = self._file.read(int.from_bytes(head[:3]))
        if kind == WINDOW_UPDATE:
            self._windows[stream] += int.from_bytes(payload)
        elif kind == SETTINGS and not flags:
            for position in range(0, len(payload), 6):
                setting, value = struct.unpack(">HI", payload[position : position + 6])
                if setting == 4:
                    self._windows[1] += value - WINDOW
        self.ended = kind in (RST_STREAM, GOAWAY) or (kind == HEADERS and bool(flags & END_STREAM))


def peak_mib(process_id: int) -> float:
    status = Path(f"/proc/{process_id}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
def test_a_decompression_bomb_takes_no_more_memory_than_a_large_request() -> None:
    bomb = gzip_of_zeros(BOMB)
    with server_process() as server, grpc.insecure_channel(server.target) as channel:
        generate = GenerationServiceStub(channel).Generate
        generate(generate_request("mock/mock-large"))
        before = peak_mib(server.process.pid)
        sender = Sender(server.port)

        sender.send(bomb)

        added = peak_mib(server.process.pid) - before
        after = generate(generate_request("mock/mock-large"))

    assert sender.ended
    assert len(bomb) < BOMB / 200
    assert added < MAX_ADDED_MIB
    assert after.message.parts[0].text
