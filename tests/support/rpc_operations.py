"""A complete gateway in front of a fake provider server, for embeddings, token counts and model lists."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
import pytest

from aimanager.v1 import content_pb2, embedding_pb2, generation_pb2, model_pb2
from aimanager.v1.embedding_pb2_grpc import EmbeddingServiceStub
from aimanager.v1.generation_pb2_grpc import GenerationServiceStub
from aimanager.v1.health_pb2_grpc import HealthServiceStub
from aimanager.v1.model_pb2_grpc import ModelServiceStub
from tests.support.gateway import settings_with, started_gateway
from tests.support.rpc_errors import RpcFailure


@dataclass
class FakeProviderServer:
    """A provider of every wire: vectors hold the length of the text, counts are 42, and its list has one new model.

    `paths` records the requests; paths in `broken` respond with 401.
    """

    url: str = ""
    paths: list[str] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)

    def respond(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        self.paths.append(path)
        if path.partition("?")[0] in self.broken:
            return 401, {"error": {"message": "no", "type": "authentication_error"}}
        match path.partition("?")[0].rpartition("/")[2].rpartition(":")[2]:
            case "embeddings":
                data = [{"index": index, "embedding": [float(len(text))]} for index, text in enumerate(body["input"])]
                return 200, {"data": data, "usage": {"prompt_tokens": len(data)}}
            case "batchEmbedContents":
                texts = [request["content"]["parts"][0]["text"] for request in body["requests"]]
                return 200, {"embeddings": [{"values": [float(len(text))]} for text in texts]}
            case "count_tokens" | "input_tokens":
                return 200, {"input_tokens": 42}
            case "countTokens":
                return 200, {"totalTokens": 42}
            case "models" if "v1beta" in path:
                return 200, {"models": [{"name": "models/gemini-new"}]}
            case "models":
                return 200, {"data": [{"id": "brand-new"}], "has_more": False}
        return 404, {"error": {"message": "not here"}}


@contextmanager
def fake_provider_server() -> Iterator[FakeProviderServer]:
    fake = FakeProviderServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._respond({})

        def do_POST(self) -> None:
            self._respond(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def _respond(self, body: dict[str, Any]) -> None:
            status, value = fake.respond(self.path, body)
            data = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    fake.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass
class RunningGateway:
    """A running gateway, its fake provider server, and a channel to the gateway."""

    upstream: FakeProviderServer
    channel: grpc.Channel

    def embed(self, *inputs: str, model: str = "openai/text-embedding-3-small", **fields: Any) -> Any:
        request = embedding_pb2.EmbedRequest(model=model, inputs=inputs, **fields)
        return EmbeddingServiceStub(self.channel).Embed(request, timeout=10)

    def generate(self, text: str, model: str = "mock/latest", **fields: Any) -> Any:
        message = content_pb2.Message(role=content_pb2.ROLE_USER, parts=[content_pb2.Part(text=text)])
        request = generation_pb2.GenerateRequest(model=model, messages=[message], **fields)
        return GenerationServiceStub(self.channel).Generate(request, timeout=10)

    def count_tokens(self, model: str) -> model_pb2.CountTokensResponse:
        """Count the tokens of a prompt of 40 characters."""
        message = content_pb2.Message(role=content_pb2.ROLE_USER, parts=[content_pb2.Part(text="x" * 40)])
        request = generation_pb2.GenerateRequest(model=model, messages=[message])
        response: model_pb2.CountTokensResponse = self.models.CountTokens(
            model_pb2.CountTokensRequest(request=request), timeout=10
        )
        return response

    @property
    def models(self) -> Any:
        """A stub of ModelService."""
        return ModelServiceStub(self.channel)

    @property
    def health(self) -> Any:
        """A stub of HealthService."""
        return HealthServiceStub(self.channel)


@contextmanager
def running_gateway(more_providers: Mapping[str, Any] = {}, **sections: Any) -> Iterator[RunningGateway]:
    """Run a gateway with four providers that all lead to one fake provider server, and with any others."""
    with fake_provider_server() as upstream:
        providers = {
            "openai": {"wire": "responses", "base_url": f"{upstream.url}/v1", "api_key": "k"},
            "claude": {"base_url": f"{upstream.url}", "api_key": "k"},
            "gemini": {"base_url": f"{upstream.url}/v1beta", "api_key": "k"},
            "deepseek": {"base_url": f"{upstream.url}/deep", "api_key": "k"},
            **more_providers,
        }
        with (
            started_gateway(settings_with(providers=providers, **sections)) as target,
            grpc.insecure_channel(target, options=[("grpc.enable_http_proxy", 0)]) as channel,
        ):
            yield RunningGateway(upstream, channel)


def sync_failure_of(call: Callable[[], Any]) -> RpcFailure:
    """Make a call that must fail, and return its failure."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    error: Any = caught.value
    return RpcFailure(error)
