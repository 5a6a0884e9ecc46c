"""Connections that fail: the error says what to change."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
import trustme

from aimanager import AIManager, ConfigurationError, ConnectionFailedError, InvalidRequestError
from aimanager._transport.endpoint import service_config
from tests.support.fake_gateway.messages import make_response
from tests.support.fake_gateway.server import FakeGateway, serve

MAX_JITTER = 1.2
AUTHORITY = trustme.CA()
OTHER_AUTHORITY = trustme.CA().cert_pem.bytes()


@pytest.fixture(scope="module")
def tls_target() -> Iterator[str]:
    certificate = AUTHORITY.issue_cert("localhost")
    pair = certificate.private_key_pem.bytes(), certificate.cert_chain_pems[0].bytes()
    gateway = FakeGateway()
    gateway.respond("Generate", make_response())
    server = serve(gateway, grpc.ssl_server_credentials([pair]))
    yield gateway.target
    server.stop(None).wait()


@pytest.fixture(scope="module")
def http_target() -> Iterator[str]:
    """A server that speaks HTTP/1.1."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def respond() -> None:
            try:
                while True:
                    connection = listener.accept()[0]
                    with connection:
                        connection.recv(1000)
                        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            except OSError:
                return

        thread = threading.Thread(target=respond, daemon=True)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def failure(target: str, **options: Any) -> ConnectionFailedError:
    with AIManager.gateway(target, retries=0, **options) as ai, pytest.raises(ConnectionFailedError) as raised:
        ai.request("Hi")
    return raised.value


def test_tls_against_plaintext_says_so(fake: FakeGateway) -> None:
    error = failure(fake.target, tls=True)

    assert str(error) == f"Cannot connect to {fake.target}: the server does not use TLS."
    assert "Remove tls=True" in error.solution


@pytest.mark.parametrize(
    ("options", "problem", "solution"),
    [
        ({}, "the server closed the connection", "pass tls=True"),
        ({"root_certificates": OTHER_AUTHORITY}, "is not trusted", "root_certificates="),
        ({"root_certificates": AUTHORITY.cert_pem.bytes()}, "another host name", "Use a host name"),
    ],
)
def test_tls_server_says_what_to_change(tls_target: str, options: dict[str, Any], problem: str, solution: str) -> None:
    error = failure(tls_target, **options)

    assert problem in str(error)
    assert solution in error.solution


@pytest.mark.parametrize("parameter", ["root_certificates", "private_key", "certificate_chain"])
@pytest.mark.parametrize("value", [b"no PEM", "-----BEGIN CERTIFICATE-----"])
def test_certificates_must_be_pem(parameter: str, value: object) -> None:
    with pytest.raises(ConfigurationError, match=f"^{parameter} must be the bytes of a PEM file"):
        AIManager.gateway("localhost:1", **{parameter: value})  # type: ignore[arg-type]


def test_other_servers_and_hosts_are_named(http_target: str) -> None:
    assert "does not speak gRPC" in str(failure(http_target))
    assert "connection refused" in str(failure("127.0.0.1:1"))
    assert "cannot be resolved" in str(failure("no-such-host.invalid:50051"))


def test_refused_connection_fails_within_a_second() -> None:
    policy = next(
        method["retryPolicy"]
        for method in json.loads(service_config(3, "pick_first"))["methodConfig"]
        if {"service": "aimanager.v1.EmbeddingService"} in method["name"]
    )
    first, maximum = (float(policy[name].removesuffix("s")) for name in ("initialBackoff", "maxBackoff"))

    backoffs = [
        min(first * policy["backoffMultiplier"] ** retry, maximum) for retry in range(policy["maxAttempts"] - 1)
    ]

    assert sum(backoffs) * MAX_JITTER < 1


@pytest.mark.parametrize(
    ("target", "solution"),
    [
        ("localhost", "Write target='localhost:50051'."),
        ("dns:///gateway.example", "Write target='dns:///gateway.example:50051'."),
        ("[::1]", "Write target='[::1]:50051'."),
        ("127.0.0.1:", "Write target='127.0.0.1:50051'."),
        ("http://localhost:50051", "Write target='localhost:50051'."),
        ("http://localhost/v1", "Write target='localhost:50051'."),
        ("https://gateway.example/", "Write target='gateway.example:443', tls=True."),
    ],
)
def test_target_that_is_not_an_address_says_what_to_write(target: str, solution: str) -> None:
    with pytest.raises(ConfigurationError, match="target must") as raised:
        AIManager.gateway(target)

    assert raised.value.solution == solution


@pytest.mark.parametrize(
    "target", ["unix:/run/a.sock", "dns:///a.example:1", "ipv6:[::1]:1", "localhost:1", "xds:///a"]
)
def test_addresses_of_grpc_are_targets(target: str) -> None:
    assert target in repr(AIManager.gateway(target))


def test_request_above_the_limit_says_how_large_it_is(ai: AIManager) -> None:
    with pytest.raises(InvalidRequestError, match=r"57\.2 MiB; at most 36 MiB") as raised:
        ai.request("x" * 60_000_000)

    assert raised.value.reason == "PAYLOAD_TOO_LARGE"
    assert "smaller attachments" in raised.value.solution
