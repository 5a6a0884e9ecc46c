"""docs/security.md names existing tests and the limits of the code; promises without another test are tested here."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import grpc
import pytest

from aimanager.v1 import embedding_pb2, generation_pb2, model_pb2
from aimanager.v1.embedding_pb2_grpc import EmbeddingServiceStub
from aimanager.v1.generation_pb2_grpc import GenerationServiceStub
from aimanager.v1.model_pb2_grpc import ModelServiceStub
from aimanager.v1.usage_pb2 import CACHE_STATUS_IDEMPOTENT_REPLAY, CACHE_STATUS_MISS
from aimanager_server.config.response_cache import ResponseCacheSettings
from aimanager_server.config.settings import IdempotencySettings, Limits
from tests.docs.documented_values import documented_settings, wrong_values
from tests.integration.faults.fault_catalog import fails, responds
from tests.integration.faults.gateway import FALLBACK
from tests.integration.faults.gateway import gateway as faulty_gateway
from tests.integration.faults.upstream import Upstream
from tests.support.doc_blocks import DOCS
from tests.support.gateway import settings_with, started_gateway
from tests.support.paths import ROOT
from tests.support.tokens import bearer, callers

PAGE = (DOCS / "security.md").read_text("utf-8")
CANARY = "canary"
TOKEN = f"aim_ann_{CANARY}-token"
CONFIG = f"""
[server]
listen = "127.0.0.1:0"
metrics_listen = "127.0.0.1:0"
log_level = "debug"
drain_delay_seconds = 0.0
max_event_loop_lag_seconds = 30.0

[providers.mock]

[callers.ann]
tokens = [{{ id = "ann", sha256 = "{sha256(TOKEN.encode()).hexdigest()}" }}]
"""


@dataclass(frozen=True, slots=True)
class ServerProcess:
    """A server in a separate process. `lines` is what it logs from now on, until it exits."""

    process: subprocess.Popen[str]
    lines: Iterator[str]
    target: str
    metrics_port: int

    def stop(self) -> str:
        """Stop the server and return the rest of its log."""
        self.process.terminate()
        return "".join(self.lines)

    def metrics(self) -> str:
        """Return what Prometheus scrapes."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=5) as response:
            text: str = response.read().decode()
            return text


@contextmanager
def server_process(folder: Path) -> Iterator[ServerProcess]:
    config = folder / "aimanager.toml"
    config.write_text(CONFIG)
    command = [sys.executable, "-m", "aimanager_server", "--config", str(config)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            lines = iter(process.stderr.readline, "")
            ports = {event["event"]: event["port"] for event in (json.loads(next(lines)) for _ in range(2))}
            target = f"127.0.0.1:{ports['server.started']}"
            yield ServerProcess(process, lines, target, ports["metrics_server.started"])
        finally:
            process.kill()


def test_every_promise_names_tests_that_exist() -> None:
    sources = (path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    existing = set(re.findall(r"^(?:async )?def (test_\w+)\(", "\n".join(sources), re.MULTILINE))
    tables = re.findall(r"^\| promise \| tests \|\n\|[-|]+\|\n((?:\|.*\n)+)", PAGE, re.MULTILINE)

    named = {row: re.findall(r"`(test_\w+)`", row) for table in tables for row in table.splitlines()}

    assert len(tables) == 13
    assert [row for row, tests in named.items() if not tests] == []
    assert {test for tests in named.values() for test in tests} - existing == set()


def test_limits_are_those_of_the_code() -> None:
    assert wrong_values(PAGE) == []


def test_every_limit_among_the_settings_is_listed() -> None:
    sections: dict[str, Any] = {
        "limits": Limits,
        "idempotency": IdempotencySettings,
        "response_cache": ResponseCacheSettings,
    }
    settings = {
        f"{name}.{field}"
        for name, section in sections.items()
        for field, info in section.model_fields.items()
        if not isinstance(info.default, str)
    }

    assert settings - documented_settings(PAGE) == set()


def test_prompts_answers_tokens_and_keys_are_in_no_log_line_and_no_metric(tmp_path: Path) -> None:
    with server_process(tmp_path) as server, grpc.insecure_channel(server.target) as channel:
        codes = [*generations(channel), *operations(channel)]
        metrics = server.metrics()
        log = server.stop()

    assert [code.name for code in codes] == [
        "OK",
        "OK",
        "INTERNAL",
        "ABORTED",
        "INVALID_ARGUMENT",
        "UNAUTHENTICATED",
        "OK",
        "OK",
    ]
    assert [line for line in (log + metrics).splitlines() if CANARY in line] == []
    assert log.count("request.completed") >= 2
    assert log.count("request.failed") >= 2
    assert "aimanager_requests_total" in metrics


def test_a_callers_key_reaches_only_its_provider_and_only_in_its_call() -> None:
    first, second = Upstream(fails(503), responds(), api_key="sk-of-the-server"), Upstream(responds(), api_key="sk-two")
    own_key = (("x-provider-key-first", "sk-of-the-caller"),)

    with faulty_gateway(first, second, retry={"max_attempts": 1}) as server:
        server.generate(fallback_models=FALLBACK, metadata=own_key)
        server.generate()

    assert [sent.api_key for sent in first.requests] == ["sk-of-the-caller", "sk-of-the-server"]
    assert [sent.api_key for sent in second.requests] == ["sk-two"]
    assert "sk-of-the-caller" not in str([sent.headers for sent in (*first.requests[1:], *second.requests)])


def test_a_caller_never_receives_the_stored_answer_of_another_caller() -> None:
    message = request("Hello.")
    message.idempotency_key = "once"
    vectors = embedding_pb2.EmbedRequest(model="mock/mock-embedding", inputs=["Hello."], idempotency_key="once")

    with (
        started_gateway(settings_with(callers=callers("ann", "bob"))) as target,
        grpc.insecure_channel(target) as channel,
    ):
        methods = [
            (GenerationServiceStub(channel).Generate, message),
            (EmbeddingServiceStub(channel).Embed, vectors),
        ]
        statuses = [cache_status(method, sent, caller) for method, sent in methods for caller in ("ann", "bob", "ann")]

    assert statuses == [CACHE_STATUS_MISS, CACHE_STATUS_MISS, CACHE_STATUS_IDEMPOTENT_REPLAY] * 2


def test_a_small_request_that_decompresses_to_a_large_one_is_rejected(gateway: str) -> None:
    with grpc.insecure_channel(gateway, [("grpc.max_send_message_length", -1)]) as channel:
        generate: Any = channel.unary_unary("/aimanager.v1.GenerationService/Generate")
        with pytest.raises(grpc.RpcError) as raised:
            generate(bytes(64 * 1024 * 1024), compression=grpc.Compression.Gzip)
        after = GenerationServiceStub(channel).Generate(request("Hello."))

    assert code_of(raised.value) is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert after.message.parts[0].text


def generations(channel: grpc.Channel) -> list[grpc.StatusCode]:
    """Send prompts and keys in calls that complete, fail, are interrupted or are rejected; return their codes."""
    stub = GenerationServiceStub(channel)
    invalid = request(f"{CANARY}-prompt")
    invalid.sampling.temperature = 9.0
    cut = generation_pb2.StreamGenerateRequest(request=request(f"{CANARY}-prompt [[words: 9]] [[cut: 3]]"))
    return [
        code(stub.Generate, request(f"{CANARY}-prompt [[reply: {CANARY}-answer]]")),
        code(read(stub.StreamGenerate), generation_pb2.StreamGenerateRequest(request=request(f"{CANARY}-prompt"))),
        code(stub.Generate, request(f"{CANARY}-prompt [[error: INTERNAL_ERROR]]")),
        code(read(stub.StreamGenerate), cut),
        code(stub.Generate, invalid),
        code(stub.Generate, request(f"{CANARY}-prompt"), token=f"aim_ann_{CANARY}-unknown"),
    ]


def operations(channel: grpc.Channel) -> list[grpc.StatusCode]:
    count = model_pb2.CountTokensRequest(request=request(f"{CANARY}-prompt"))
    embed = embedding_pb2.EmbedRequest(model="mock/mock-embedding", inputs=[f"{CANARY}-input"])
    return [code(ModelServiceStub(channel).CountTokens, count), code(EmbeddingServiceStub(channel).Embed, embed)]


def request(prompt: str) -> generation_pb2.GenerateRequest:
    message = {"role": "ROLE_USER", "parts": [{"text": prompt}]}
    return generation_pb2.GenerateRequest(
        model="mock/mock-large",
        messages=[message],  # type: ignore[list-item]
        system_instruction=f"{CANARY}-instruction",
    )


def cache_status(method: Any, message: Any, caller: str) -> int:
    status: int = method(message, metadata=bearer(caller)).cache_status
    return status


def read(method: Any) -> Any:
    return lambda *arguments, **options: list(method(*arguments, **options))


def code(method: Any, message: Any, token: str = TOKEN) -> grpc.StatusCode:
    metadata = (("authorization", f"Bearer {token}"), ("x-provider-key-claude", f"sk-{CANARY}-key-1234"))
    try:
        method(message, metadata=metadata, timeout=20)
    except grpc.RpcError as error:
        return code_of(error)
    return grpc.StatusCode.OK


def code_of(error: Any) -> grpc.StatusCode:
    found: grpc.StatusCode = error.code()
    return found
