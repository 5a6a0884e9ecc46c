"""What a channel carries: sizes, retries, TLS, and how long a call may take."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
import trustme

from aimanager import AIManager, AsyncAIManager
from aimanager._transport.channel import AsyncConnection, Connection, Endpoint, channel_options, service_config
from aimanager._transport.retry import Patience
from aimanager.errors import RateLimitError
from tests.support.fake_gateway.server import FakeGateway, answer, serve

KEY = "sk-s3cret-0123456789"
CLIENTS = Path(__file__).parents[3] / "clients"
Make = Callable[..., AIManager | AsyncAIManager]
both = pytest.mark.parametrize("make", [AIManager, AsyncAIManager])


def test_the_retry_policy_is_the_same_in_every_language() -> None:
    for_all = json.loads((CLIENTS / "service_config.json").read_text())
    for_python = json.loads((CLIENTS / "python/aimanager/service_config.json").read_text())

    assert for_python == for_all
    assert json.loads(service_config(3))["retryThrottling"] == for_all["retryThrottling"]


def test_streams_are_not_left_to_grpcs_retries() -> None:
    """With a policy, a sync stream whose server goes away loses its deadline (grpcio 1.85.1)."""
    named = [name for method in json.loads(service_config(3))["methodConfig"] for name in method["name"]]

    assert {"service": "aimanager.v1.GenerationService", "method": "Generate"} in named
    assert {"service": "aimanager.v1.GenerationService"} not in named


def test_no_retries_switch_gRPC_off() -> None:  # noqa: N802  # its name
    options = dict(channel_options(Endpoint("localhost:1", retries=0)))

    assert options["grpc.enable_retries"] == 0
    assert options["grpc.service_config"] == "{}"


def test_a_channel_carries_large_messages_and_keeps_alive() -> None:
    options = dict(channel_options(Endpoint("localhost:1")))

    assert options["grpc.max_receive_message_length"] == options["grpc.max_send_message_length"] == 36 * 2**20
    assert options["grpc.per_rpc_retry_buffer_size"] == 40 * 2**20
    assert options["grpc.keepalive_time_ms"] == 30_000


def test_a_channel_that_was_never_asked_or_is_closed_is_not_dead() -> None:
    connection = Connection(Endpoint("127.0.0.1:1"))
    unused = connection.is_dead()

    connection.close()

    assert (unused, connection.is_dead()) == (False, False)


async def test_an_async_channel_that_was_never_asked_is_not_dead() -> None:
    assert not AsyncConnection(Endpoint("127.0.0.1:1")).is_dead()


def test_tls_with_own_authorities_reaches_the_server() -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    gateway = FakeGateway()
    gateway.will("Generate", answer())
    pair = certificate.private_key_pem.bytes(), certificate.cert_chain_pems[0].bytes()
    server = serve(gateway, grpc.ssl_server_credentials([pair]))
    target = gateway.target.replace("127.0.0.1", "localhost")

    with AIManager(KEY, target=target, root_certificates=authority.cert_pem.bytes()) as ai:
        content = ai.request("Hi").content
    server.stop(None).wait()

    assert content == "Hello."
    assert gateway.received[0].metadata["x-provider-key-claude"] == KEY


async def test_the_async_client_speaks_tls_too() -> None:
    async with AsyncAIManager(KEY, target="localhost:1", tls=True, retries=0) as ai:
        with pytest.raises(Exception, match="connect"):
            await ai.request("Hi")


def test_patience_runs_from_the_first_look_and_ends_at_zero() -> None:
    now = [100.0]
    patience = Patience(10, resends=True, clock=lambda: now[0])

    now[0] = 200.0
    first = patience.remaining
    now[0] = 300.0

    assert (first, patience.remaining) == (10.0, 0.0)


def test_patience_is_spent_once() -> None:
    patience = Patience(10, resends=True, clock=lambda: 0.0)
    refused = RateLimitError("Wait.", retry_after=3)

    assert patience.pause(refused) == 3
    with pytest.raises(RateLimitError):
        patience.pause(refused)
