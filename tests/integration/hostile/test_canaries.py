"""No secret of the config file is returned, logged or exported, even if a provider echoes it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest

from aimanager.v1 import embedding_pb2, generation_pb2, health_pb2, metrics_pb2, model_pb2, quality_pb2
from tests.integration.faults.socket_faults import served_upstreams
from tests.integration.faults.upstream import Request, Step, Upstream
from tests.support.http_servers.raw import http_response
from tests.support.server_process import server_process
from tests.support.tokens import bearer, token_of, token_settings

SERVICES = (generation_pb2, embedding_pb2, model_pb2, health_pb2, quality_pb2, metrics_pb2)
RETURNED_METADATA = {"x-request-id", "grpc-status-details-bin", "grpc-retry-pushback-ms", "grpc-accept-encoding"}
"""The only metadata that the server sends, with that of gRPC itself."""

CONFIG = """
[server]
reflection = true
log_level = "debug"
max_event_loop_lag_seconds = 30.0

[callers.ann]
tokens = [{ann}]

[callers.boss]
tokens = [{boss}]
role = "admin"

[providers.first]
wire = "chat_completions"
base_url = "{url}"
models = ["m"]
keys = [{{ api_key = "sk-canary-one" }}, {{ api_key_file = "{folder}/key" }}]
headers = {{ x-secret = "canary-header" }}

[providers.second]
wire = "anthropic"
base_url = "{url}"
models = ["m"]
api_key_env = "SECOND_KEY"
"""


def echoes(request: Request) -> Sequence[Step]:
    """Reject a request with everything that it contained."""
    body = json.dumps({"error": {"message": f"Invalid: {request.headers}", "type": "authentication_error"}}).encode()
    return (http_response(body, "401 Unauthorized"),)


def table(token: str) -> str:
    return ", ".join(f'{name} = "{value}"' for name, value in token_settings(token).items()).join(("{ ", " }"))


def requests() -> Iterator[tuple[str, bytes]]:
    """An empty request to every method, and valid ones to those that call a provider."""
    for proto in SERVICES:
        for service in proto.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                yield f"/{service.full_name}/{method.name}", b""
    for model in ("first/m", "second/m", "mock/mock-small"):
        message = {"role": "ROLE_USER", "parts": [{"text": "Hi."}]}
        request = generation_pb2.GenerateRequest(model=model, messages=[message])  # type: ignore[list-item]
        stream = generation_pb2.StreamGenerateRequest(request=request)
        count = model_pb2.CountTokensRequest(request=request)
        embed = embedding_pb2.EmbedRequest(model=model, inputs=["Hi."])
        yield "/aimanager.v1.GenerationService/Generate", request.SerializeToString()
        yield "/aimanager.v1.GenerationService/StreamGenerate", stream.SerializeToString()
        yield "/aimanager.v1.ModelService/CountTokens", count.SerializeToString()
        yield "/aimanager.v1.EmbeddingService/Embed", embed.SerializeToString()
    probe = health_pb2.ListProviderHealthRequest(probe=True)
    yield "/aimanager.v1.HealthService/ListProviderHealth", probe.SerializeToString()
    refresh = model_pb2.ListModelsRequest(refresh=True)
    yield "/aimanager.v1.ModelService/ListModels", refresh.SerializeToString()


def answers(channel: grpc.Channel, caller: str) -> tuple[str, set[str]]:
    """Everything that the server returns to a caller as text, and the names of the metadata."""
    text, names = "", set()
    for path, data in requests():
        method: Any = channel.unary_stream(path)
        call = method(data, metadata=bearer(caller), timeout=10)
        try:
            for message in call:
                text += repr(message)
                if "Watch" in path:
                    call.cancel()
        except grpc.RpcError:
            pass
        metadata = (*call.initial_metadata(), *call.trailing_metadata())
        text += repr(call.details()) + repr(metadata)
        names |= {name for name, _ in metadata}
    return text, names


def test_no_secret_of_the_config_appears_anywhere(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("sk-canary-two\n")
    upstream = Upstream(echoes)
    with served_upstreams(upstream):
        config = tmp_path / "aimanager.toml"
        tokens = {name: table(token_of(name)) for name in ("ann", "boss")}
        config.write_text(CONFIG.format(url=upstream.url, folder=tmp_path, **tokens))
        environment = {"SECOND_KEY": "sk-canary-three"}
        with server_process("--config", str(config), environment=environment) as server:
            with grpc.insecure_channel(server.target) as channel:
                seen = {caller: answers(channel, caller) for caller in ("ann", "boss")}
            metrics = server.metrics()
            server.stop()
            log = "\n".join(map(str, server.lines()))

    received = str([request.headers for request in upstream.requests])
    assert all(secret in received for secret in ("sk-canary-one", "sk-canary-two", "sk-canary-three", "canary-header"))
    assert [text for text, _ in seen.values() if "canary" in text] == []
    assert set.union(*(names for _, names in seen.values())) <= RETURNED_METADATA
    assert [line for line in (metrics + log).splitlines() if "canary" in line] == []
    secrets = [token_of(name).rpartition("_")[2] for name in ("ann", "boss")]
    assert not any(secret in metrics + log + str(seen) for secret in secrets)
    assert "provider.key_rejected" in log


@pytest.mark.parametrize("service", ["grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"])
def test_reflection_needs_a_token_and_describes_only_the_api(tmp_path: Path, service: str) -> None:
    config = tmp_path / "aimanager.toml"
    config.write_text(
        f"[server]\nreflection = true\n[callers.ann]\ntokens = [{table(token_of('ann'))}]\n"
        '[providers.claude]\napi_key = "sk-canary"\n'
    )
    list_services = b"\x3a\x00"  # ServerReflectionRequest.list_services = ""
    with server_process("--config", str(config)) as server, grpc.insecure_channel(server.target) as channel:
        method: Any = channel.stream_stream(f"/{service}/ServerReflectionInfo")
        with pytest.raises(grpc.RpcError) as raised:
            list(method(iter([list_services]), timeout=10))
        described = list(method(iter([list_services]), metadata=bearer("ann"), timeout=10))

    assert raised.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert b"aimanager.v1.GenerationService" in described[0]
    assert b"canary" not in described[0]
