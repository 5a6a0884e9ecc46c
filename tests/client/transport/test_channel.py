"""Channels: size limits, retry policy, state and TLS."""

from __future__ import annotations

import json
from pathlib import Path

import grpc
import pytest
import trustme

from aimanager import AIManager, AsyncAIManager
from aimanager._transport.channel import AsyncChannel, SyncChannel
from aimanager._transport.endpoint import Endpoint, channel_options, service_config
from aimanager.v1 import conversation_pb2
from tests.support.fake_gateway.messages import make_response
from tests.support.fake_gateway.server import SERVICES, FakeGateway, serve

KEY = "sk-s3cret-0123456789"
CLIENTS = Path(__file__).parents[3] / "clients"


def test_service_config_is_the_same_for_every_language() -> None:
    shared = json.loads((CLIENTS / "service_config.json").read_text())
    bundled = json.loads((CLIENTS / "python/aimanager/service_config.json").read_text())

    assert bundled == shared
    assert json.loads(service_config(3, "pick_first"))["retryThrottling"] == shared["retryThrottling"]


def test_every_service_has_a_retry_policy() -> None:
    shared = json.loads((CLIENTS / "service_config.json").read_text())

    named = [name["service"] for method in shared["methodConfig"] for name in method["name"] if "method" not in name]

    assert sorted(named) == sorted(SERVICES)


def test_only_methods_that_may_be_repeated_have_a_retry_policy_of_their_own() -> None:
    shared = json.loads((CLIENTS / "service_config.json").read_text())
    service = conversation_pb2.DESCRIPTOR.services_by_name["ConversationService"]

    named = {
        (each["service"], each["method"]) for row in shared["methodConfig"] for each in row["name"] if "method" in each
    }

    repeatable = {method.name for method in service.methods if method.GetOptions().idempotency_level}
    assert named == {(service.full_name, name) for name in repeatable}


def test_streams_have_no_retry_policy() -> None:
    """With a policy, a sync stream loses its deadline if its server goes away (grpcio 1.85.1)."""
    named = [name for method in json.loads(service_config(3, "pick_first"))["methodConfig"] for name in method["name"]]

    assert {"service": "aimanager.v1.GenerationService", "method": "Generate"} in named
    assert {"service": "aimanager.v1.GenerationService"} not in named


def test_zero_retries_disable_grpc_retries() -> None:
    options = dict(channel_options(Endpoint("localhost:1", retries=0)))

    assert options["grpc.enable_retries"] == 0
    assert options["grpc.service_config"] == '{"loadBalancingConfig": [{"pick_first": {}}]}'


@pytest.mark.parametrize(
    ("endpoint", "policy"),
    [
        (Endpoint("gateway.example:1"), "round_robin"),
        (Endpoint("dns:///gateway.example:1"), "round_robin"),
        (Endpoint("localhost:1"), "pick_first"),
        (Endpoint("10.0.0.1:1"), "pick_first"),
        (Endpoint("[2001:db8::1]:1"), "pick_first"),
        (Endpoint("unix:/run/a.sock"), "pick_first"),
        (Endpoint("gateway.example:1", load_balancing="pick_first"), "pick_first"),
    ],
)
def test_calls_are_balanced_over_the_addresses_of_a_host_name(endpoint: Endpoint, policy: str) -> None:
    config = json.loads(str(dict(channel_options(endpoint))["grpc.service_config"]))

    assert config["loadBalancingConfig"] == [{policy: {}}]


def test_channel_has_size_limits_and_keepalive() -> None:
    options = dict(channel_options(Endpoint("localhost:1")))

    assert options["grpc.max_receive_message_length"] == options["grpc.max_send_message_length"] == 36 * 2**20
    assert options["grpc.per_rpc_retry_buffer_size"] == 40 * 2**20
    assert options["grpc.keepalive_time_ms"] == 30_000


def test_unopened_or_closed_channel_is_not_unreachable() -> None:
    connection = SyncChannel(Endpoint("127.0.0.1:1"))
    unused = connection.is_unreachable()

    connection.close()

    assert (unused, connection.is_unreachable()) == (False, False)


async def test_unopened_async_channel_is_not_unreachable() -> None:
    assert not AsyncChannel(Endpoint("127.0.0.1:1")).is_unreachable()


def test_own_certificate_authority_is_trusted() -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    gateway = FakeGateway()
    gateway.respond("Generate", make_response())
    pair = certificate.private_key_pem.bytes(), certificate.cert_chain_pems[0].bytes()
    server = serve(gateway, grpc.ssl_server_credentials([pair]))
    target = gateway.target.replace("127.0.0.1", "localhost")

    with AIManager(KEY, target=target, root_certificates=authority.cert_pem.bytes()) as ai:
        content = ai.request("Hi").content
    server.stop(None).wait()

    assert content == "Hello."
    assert gateway.received[0].metadata["x-provider-key-claude"] == KEY


async def test_async_client_uses_tls() -> None:
    async with AsyncAIManager(KEY, target="localhost:1", tls=True, retries=0) as ai:
        with pytest.raises(Exception, match="connect"):
            await ai.request("Hi")
