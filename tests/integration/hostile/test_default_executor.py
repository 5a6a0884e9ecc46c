"""No part of a server uses the default executor, whose few threads everything would share."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AsyncExitStack, suppress
from typing import Any

import grpc

from aimanager.v1 import content_pb2, embedding_pb2, generation_pb2, health_pb2, model_pb2
from aimanager.v1.embedding_pb2_grpc import EmbeddingServiceStub
from aimanager.v1.generation_pb2_grpc import GenerationServiceStub
from aimanager.v1.health_pb2_grpc import HealthServiceStub
from aimanager.v1.model_pb2_grpc import ModelServiceStub
from aimanager_server.lifecycle import running_server
from aimanager_server.providers.plugins.registry import ProviderRegistry
from aimanager_server.rpc.server import GatewayServer
from tests.support.gateway import run_in_thread, settings_with
from tests.support.plugins import ScriptedPlugin
from tests.support.rpc_operations import fake_provider_server

PDF = content_pb2.Part(
    attachment=content_pb2.Attachment(mime_type="application/pdf", uri="https://localhost/file.pdf", filename="a.pdf")
)


class UnusedExecutor(ThreadPoolExecutor):
    """An executor that records what it is asked to run, and refuses."""

    def __init__(self) -> None:
        super().__init__(max_workers=1)
        self.submitted: list[Any] = []

    def submit(self, work: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.submitted.append(work)
        raise RuntimeError("The default executor must not be used.")


def test_a_server_does_not_use_the_default_executor() -> None:
    executor, registry = UnusedExecutor(), ProviderRegistry()
    registry.register_provider(ScriptedPlugin())
    with fake_provider_server() as upstream:
        url = upstream.url.replace("127.0.0.1", "localhost")
        settings = settings_with(
            server={"fetch_attachments": True, "metrics_listen": "127.0.0.1:0"},
            plugins={"providers": ["scripted"]},
            providers={
                "openai": {"wire": "chat_completions", "base_url": f"{url}/v1", "api_key": "k"},
                "claude": {"base_url": url, "api_key": "k"},
            },
        )

        async def start(stack: AsyncExitStack) -> GatewayServer:
            asyncio.get_running_loop().set_default_executor(executor)
            return await stack.enter_async_context(running_server(settings, registry))

        with run_in_thread(start) as (server, _):
            codes = mixed_load(f"127.0.0.1:{server.port}")

    assert executor.submitted == []
    assert codes.count(grpc.StatusCode.OK) >= 7
    assert {"/v1/embeddings", "/v1/messages/count_tokens", "/v1/models"} <= {
        path.partition("?")[0] for path in upstream.paths
    }


def mixed_load(target: str) -> list[grpc.StatusCode]:
    """Make calls of every kind, and return their status codes."""
    schema = generation_pb2.OutputFormat(
        json_schema=generation_pb2.JsonSchema(schema_json=json.dumps({"type": "object"}))
    )
    codes: list[grpc.StatusCode] = []
    with grpc.insecure_channel(target, options=[("grpc.enable_http_proxy", 0)]) as channel:
        generation, models = GenerationServiceStub(channel), ModelServiceStub(channel)
        calls: list[Callable[[], Any]] = [
            lambda: generation.Generate(prompt("mock/latest"), timeout=10),
            lambda: generation.Generate(
                prompt("mock/latest", output_format=schema, idempotency_key="0" * 32), timeout=10
            ),
            lambda: list(generation.StreamGenerate(stream("mock/latest", output_format=schema), timeout=10)),
            lambda: generation.Generate(prompt("scripted/one"), timeout=10),
            lambda: generation.Generate(prompt("openai/gpt-4.1", PDF), timeout=10),
            lambda: generation.Generate(prompt("openai/gpt-4.1"), timeout=10),
            lambda: EmbeddingServiceStub(channel).Embed(
                embedding_pb2.EmbedRequest(model="openai/text-embedding-3-small", inputs=["a"]), timeout=10
            ),
            lambda: models.CountTokens(model_pb2.CountTokensRequest(request=prompt("claude/latest")), timeout=10),
            lambda: models.ListModels(model_pb2.ListModelsRequest(refresh=True), timeout=10),
            lambda: HealthServiceStub(channel).ListProviderHealth(
                health_pb2.ListProviderHealthRequest(probe=True), timeout=10
            ),
        ]
        for call in calls:
            codes.append(grpc.StatusCode.OK)
            with suppress(grpc.RpcError):
                call()
                continue
            codes[-1] = grpc.StatusCode.UNKNOWN
    return codes


def prompt(model: str, *parts: content_pb2.Part, **fields: Any) -> generation_pb2.GenerateRequest:
    message = content_pb2.Message(role=content_pb2.ROLE_USER, parts=[content_pb2.Part(text="Hi"), *parts])
    return generation_pb2.GenerateRequest(model=model, messages=[message], **fields)


def stream(model: str, **fields: Any) -> generation_pb2.StreamGenerateRequest:
    return generation_pb2.StreamGenerateRequest(request=prompt(model, **fields))
