"""Connections that send nothing do not keep others from being served."""

from __future__ import annotations

import resource
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack

import grpc
import pytest

from aimanager.v1 import generation_pb2
from aimanager.v1.generation_pb2_grpc import GenerationServiceStub
from tests.support.server_process import server_process

CONNECTIONS = 1000
WITH_256_DESCRIPTORS = ("/bin/sh", "-c", 'ulimit -n 256; exec "$0" "$@"', sys.executable)


@pytest.fixture
def enough_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, CONNECTIONS + 500)), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("enough_descriptors")
def test_silent_connections_to_the_metrics_listener_do_not_affect_the_api() -> None:
    message = {"role": "ROLE_USER", "parts": [{"text": "[[words: 1]]"}]}
    request = generation_pb2.GenerateRequest(model="mock/mock-large", messages=[message])  # type: ignore[list-item]
    with server_process(command=WITH_256_DESCRIPTORS) as server, ExitStack() as stack:
        for _ in range(CONNECTIONS):
            stack.enter_context(socket.create_connection(("127.0.0.1", server.metrics_port), timeout=20))

        with grpc.insecure_channel(server.target) as channel:
            response = GenerationServiceStub(channel).Generate(request, timeout=20)
        metrics = server.metrics()

    assert response.message.parts[0].text
    assert "aimanager_requests_total" in metrics
