"""Calls in process that end before their handler runs, or without one."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import grpc
import pytest

from aimanager import user
from aimanager.v1.generation_pb2 import GenerateRequest
from aimanager_server.embedded import EmbeddedServer, Parts, embedded_settings
from aimanager_server.rpc.in_process import InProcessCall
from tests.support.gateway import settings_with

GENERATE = "/aimanager.v1.GenerationService/Generate"
STALLED = GenerateRequest(model="mock/latest", messages=[user("[[stall: 0]]")]).SerializeToString()


class Received:
    """Records how a call ended."""

    def __init__(self) -> None:
        self.codes: list[grpc.StatusCode] = []
        self.ended = threading.Event()

    def on_message(self, data: bytes) -> None:
        raise AssertionError("unexpected response")

    def on_end(self, code: grpc.StatusCode, details: str, trailers: object) -> None:
        self.codes.append(code)
        self.ended.set()


@pytest.fixture
def server() -> Iterator[EmbeddedServer]:
    server = EmbeddedServer(embedded_settings(settings_with(), Parts()))
    yield server
    server.close()


def start(server: EmbeddedServer, method: str = GENERATE, request: bytes = STALLED) -> tuple[InProcessCall, Received]:
    received = Received()
    call = InProcessCall(method, request, (), None, received)
    server.start_call(call)
    return call, received


def test_a_call_of_an_unknown_method_fails(server: EmbeddedServer) -> None:
    _, received = start(server, "/aimanager.v1.GenerationService/Degenerate")

    assert received.ended.wait(20)
    assert received.codes == [grpc.StatusCode.UNIMPLEMENTED]


def test_a_request_that_cannot_be_decoded_fails(server: EmbeddedServer) -> None:
    _, received = start(server, request=b"\xff\xff\xff")

    assert received.ended.wait(20)
    assert received.codes == [grpc.StatusCode.INVALID_ARGUMENT]


def test_a_call_that_is_cancelled_while_the_server_starts_ends_once(server: EmbeddedServer) -> None:
    call, received = start(server)
    call.cancel()
    call.cancel()

    assert received.ended.wait(20)
    server.close()
    call.cancel()  # after the event loop is closed
    assert received.codes == [grpc.StatusCode.CANCELLED]


def test_a_server_that_is_closed_while_it_starts_ends_the_calls_that_wait(server: EmbeddedServer) -> None:
    _, first = start(server)
    server.close()
    _, second = start(server)

    assert (first.codes, second.codes) == ([grpc.StatusCode.CANCELLED], [grpc.StatusCode.CANCELLED])
