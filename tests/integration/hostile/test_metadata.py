"""Metadata and unknown fields of a caller change nothing but what the API describes, and are passed on to nobody."""

from __future__ import annotations

import random
import string
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from aimanager.v1 import generation_pb2, health_pb2, metrics_pb2
from aimanager.v1.generation_pb2_grpc import GenerationServiceStub
from aimanager.v1.health_pb2_grpc import HealthServiceStub
from aimanager.v1.metrics_pb2_grpc import MetricsServiceStub
from tests.integration.faults.fault_catalog import responds
from tests.integration.faults.socket_faults import served_upstreams
from tests.integration.faults.upstream import Upstream
from tests.support.gateway import settings_with, started_gateway
from tests.support.server_process import server_process
from tests.support.tokens import bearer, caller_settings, token_of, token_settings

CANARY = "canary"
INJECTIONS = (
    f"{CANARY}%s%n%x", f"{CANARY}{{0}}{{self}}", f"{CANARY}${{jndi:ldap://x}}", f"{CANARY}'; DROP TABLE calls;--",
    f"{CANARY}`id`$(id)", f'{CANARY}"}}],"level":"error"', f"{CANARY}<script>", f"{CANARY}\\r\\nx: y", f"../{CANARY}",
)  # fmt: skip
KEYS = (
    "x-request-id", "traceparent", "tracestate", "baggage", "user-agent", "x-forwarded-for", "x-api-key", "host",
    "x-client-request-id", "anthropic-beta", "openai-organization", "accept", "content-length", "cookie",
    "grpc-previous-rpc-attempts", "x-provider-url", "x-base-url", "x-model", "x-debug",
)  # fmt: skip
UNKNOWN_FIELD = b"\xc0\x3e\x01"
"""Field 1000 with the value 1."""

SENT_HEADERS = {
    "accept", "accept-encoding", "authorization", "content-length", "content-type", "host", "user-agent",
    "x-client-request-id", "traceparent", "x-aimanager-hops",
}  # fmt: skip


def request(model: str) -> generation_pb2.GenerateRequest:
    message = {"role": "ROLE_USER", "parts": [{"text": "Hi."}]}
    return generation_pb2.GenerateRequest(model=model, messages=[message])  # type: ignore[list-item]


def random_metadata(seed: int) -> Iterator[tuple[tuple[str, str | bytes], ...]]:
    rng = random.Random(seed)
    for key in KEYS:
        yield from (((key, value),) for value in rng.sample(INJECTIONS, 2))
    for _ in range(60):
        key = "".join(rng.choices(string.ascii_lowercase + "-_.", k=rng.randrange(1, 30))).removeprefix("grpc-")
        text = CANARY + "".join(rng.choices(string.printable[:95], k=rng.randrange(60)))
        yield ((f"{key}-bin", text.encode() + rng.randbytes(9)),) if rng.random() < 0.3 else ((f"z{key}", text),)


def test_no_metadata_of_a_caller_reaches_a_provider_a_log_or_another_header(tmp_path: Path) -> None:
    upstream, config = Upstream(responds()), tmp_path / "aimanager.toml"
    fields = ", ".join(f'{name} = "{value}"' for name, value in token_settings(token_of("ann")).items())
    sent, returned = 0, ""
    with served_upstreams(upstream):
        config.write_text(
            '[server]\nlog_level = "debug"\nmax_event_loop_lag_seconds = 30.0\n'
            f"[callers.ann]\ntokens = [{{ {fields} }}]\n"
            f'[providers.first]\nbase_url = "{upstream.url}"\nwire = "chat_completions"\n'
            'models = ["m"]\napi_key = "k"\n'
        )
        with server_process("--config", str(config)) as server:
            with grpc.insecure_channel(server.target) as channel:
                generate = GenerationServiceStub(channel).Generate
                for metadata in random_metadata(20_261_127):
                    try:
                        response, call = generate.with_call(
                            request("first/m"), metadata=(*bearer("ann"), *metadata), timeout=10
                        )
                    except grpc.RpcError as error:
                        returned += str(error)
                        continue
                    returned += f"{response}{call.initial_metadata()}{call.trailing_metadata()}"
                    sent += 1
            metrics = server.metrics()
            server.stop()
            log = str(list(server.lines()))

    assert sent > 50
    assert len(upstream.requests) == sent
    assert {name for each in upstream.requests for name in each.headers} <= SENT_HEADERS
    assert CANARY not in str([(each.headers, each.path, each.body) for each in upstream.requests])
    assert CANARY not in log + metrics + returned


CLAIMS = (
    ("role", "admin"), ("x-role", "admin"), ("x-aimanager-role", "admin"), ("caller", "boss"), ("x-caller", "boss"),
    ("x-caller-name", "boss"), ("tier", "gold"), ("x-tier", "gold"), ("is-admin", "true"), ("x-admin", "1"),
    ("x-forwarded-for", "127.0.0.1"), ("x-real-ip", "127.0.0.1"), ("x-forwarded-client-cert", "Subject=CN=boss"),
    ("x-forwarded-user", "boss"), ("grpc-internal-encoding-request", "1"),
)  # fmt: skip


@pytest.fixture(scope="module")
def channel() -> Iterator[grpc.Channel]:
    """A channel to a gateway that answered one call of the admin boss."""
    callers = {
        "ann": caller_settings("ann", tier="bronze"),
        "boss": caller_settings("boss", tier="gold", role="admin"),
    }
    tiers = {"bronze": {"requests_per_minute": 2}, "gold": {}}
    with (
        started_gateway(settings_with(callers=callers, tiers=tiers)) as target,
        grpc.insecure_channel(target) as channel,
    ):
        GenerationServiceStub(channel).Generate(request("mock/mock-large"), metadata=bearer("boss"))
        yield channel


@pytest.mark.parametrize("unknown_field", [b"", UNKNOWN_FIELD])
def test_a_caller_cannot_claim_a_role_a_name_or_a_tier(channel: grpc.Channel, unknown_field: bytes) -> None:
    metadata = (*bearer("ann"), *CLAIMS)
    stub: Any = MetricsServiceStub(channel)
    health: Any = HealthServiceStub(channel)
    raw: Any = channel.unary_unary("/aimanager.v1.MetricsService/GetMetricsSummary")

    summary = metrics_pb2.GetMetricsSummaryResponse.FromString(raw(unknown_field, metadata=metadata))
    reports = health.ListProviderHealth(health_pb2.ListProviderHealthRequest(), metadata=metadata)
    of_an_admin = stub.GetMetricsSummary(metrics_pb2.GetMetricsSummaryRequest(), metadata=bearer("boss"))

    assert [row.model for row in summary.rows if row.model == "mock-large"] == []
    assert "API_KEY" not in str(reports)
    assert [row.model for row in of_an_admin.rows if row.model == "mock-large"] == ["mock-large"]


def test_unknown_fields_and_claims_do_not_lift_a_quota(channel: grpc.Channel) -> None:
    generate: Any = channel.unary_unary("/aimanager.v1.GenerationService/Generate")
    data = request("mock/mock-small").SerializeToString() + UNKNOWN_FIELD
    codes = []
    for _ in range(3):
        try:
            generate(data, metadata=(*bearer("ann"), *CLAIMS))
            codes.append("OK")
        except grpc.RpcError as error:
            codes.append(error.code().name)

    assert codes == ["OK", "OK", "RESOURCE_EXHAUSTED"]
