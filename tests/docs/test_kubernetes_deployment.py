"""The server of deploy/kubernetes.yaml answers its probes and drains; clients balance calls over pods."""

from __future__ import annotations

import asyncio
import re
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from aimanager.v1 import generation_pb2
from aimanager.v1.generation_pb2_grpc import GenerationServiceStub
from aimanager_server.lifecycle import running_server
from aimanager_server.rpc.server import GatewayServer
from tests.docs.kubernetes_manifest import TOKEN, documents, one, parsed, running_pod
from tests.support.doc_blocks import code_blocks
from tests.support.gateway import run_in_thread, settings_with

RUNS = {("kubernetes.md", "python"): "test_a_client_balances_calls_over_pods_and_avoids_one_that_drains"}

SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING
EXIT_TIMEOUT_SECONDS = 60.0
"""Far below the grace period, and far above what a drain takes."""


def test_the_deployed_server_answers_probes_and_drains_an_open_stream(tmp_path: Path) -> None:
    manifests = parsed(documents())
    deployment = one(manifests, "Deployment")
    pod_spec = deployment["spec"]["template"]["spec"]
    (container,) = pod_spec["containers"]
    probes = [container[name]["grpc"]["service"] for name in ("startupProbe", "readinessProbe", "livenessProbe")]
    with (
        running_pod(one(manifests, "ConfigMap"), deployment, tmp_path) as pod,
        grpc.insecure_channel(f"127.0.0.1:{pod.port}") as channel,
        grpc.insecure_channel(f"127.0.0.1:{pod.health_port}") as kubelet,
    ):
        stub, health = GenerationServiceStub(channel), HealthStub(kubelet)
        assert [status(health, service) for service in probes] == [SERVING] * 3
        assert "aimanager_requests_in_flight 0.0" in scrape(pod.metrics_port)
        with pytest.raises(grpc.RpcError, match="Missing gateway token"):
            stub.Generate(request("Hello."))
        changes = health.Watch(HealthCheckRequest(service="readiness"))
        stream = stub.StreamGenerate(
            generation_pb2.StreamGenerateRequest(request=request("[[words: 200]] [[rate: 100]]")), metadata=token()
        )
        before = [next(stream) for _ in range(10)]
        statuses = [next(changes).status]

        pod.process.terminate()
        statuses.append(next(changes).status)
        alive = status(health, "liveness")
        late = stub.Generate(request("[[reply: Still accepted.]]"), metadata=token())
        after = list(stream)
        exit_code = pod.process.wait(EXIT_TIMEOUT_SECONDS)

    assert statuses == [SERVING, NOT_SERVING]
    assert alive == SERVING
    assert late.message.parts[0].text == "Still accepted."
    assert all(response.HasField("delta") for response in before[1:])
    assert after[-1].completed.usage.output_tokens == 200
    assert exit_code == 0
    assert pod_spec["terminationGracePeriodSeconds"] > EXIT_TIMEOUT_SECONDS
    assert pod.written_files == ["aimanager.toml", "claude"]


def test_a_client_balances_calls_over_pods_and_avoids_one_that_drains() -> None:
    (block,) = code_blocks("kubernetes.md", "python")
    with pod("one") as (first, loop), pod("two") as (second, _):
        pods = f"ipv4:127.0.0.1:{first.port},127.0.0.1:{second.port}"
        example = re.sub(r"dns:///[\w.:-]+", pods, block.text)
        names: dict[str, Any] = {}
        exec(compile(example, block.page, "exec"), names)
        with names["channel"]:
            balanced = names["answers"]
            drain = asyncio.run_coroutine_threadsafe(first.drain(), loop)
            answers = map(lambda _: answer_of(names["stub"]), range(1000))
            only_second = any(set(twelve) == {"two"} for twelve in zip(*[answers] * 12, strict=False))
            drain.cancel()

    assert sorted(set(balanced)) == ["one", "two"]
    assert only_second


@contextmanager
def pod(name: str) -> Iterator[tuple[GatewayServer, asyncio.AbstractEventLoop]]:
    """Run a server that answers every prompt with its name and accepts calls while it drains."""
    scripts = {"scripts": [{"match": "", "answer": name}]}
    settings = settings_with(server={"drain_delay_seconds": 600.0}, providers={"mock": {"options": scripts}})
    with run_in_thread(lambda stack: stack.enter_async_context(running_server(settings))) as running:
        yield running


def answer_of(stub: Any) -> str:
    text: str = stub.Generate(request("Hello.", model=""), wait_for_ready=True).message.parts[0].text
    return text


def request(prompt: str, model: str = "mock/mock-large") -> generation_pb2.GenerateRequest:
    message = {"role": "ROLE_USER", "parts": [{"text": prompt}]}
    return generation_pb2.GenerateRequest(model=model, messages=[message])  # type: ignore[list-item]


def token() -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {TOKEN}"),)


def status(health: HealthStub, service: str) -> int:
    """Return the status as kubelet's gRPC probe reads it."""
    return int(health.Check(HealthCheckRequest(service=service), timeout=5).status)


def scrape(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as response:
        text: str = response.read().decode()
        return text
