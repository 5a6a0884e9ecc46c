"""A gateway between a client and fake providers, for what is asked of them beside answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
import pytest

from aimanager.v1 import content_pb2, embedding_pb2, generation_pb2, model_pb2
from aimanager.v1.embedding_pb2_grpc import EmbeddingServiceStub
from aimanager.v1.health_pb2_grpc import HealthServiceStub
from aimanager.v1.model_pb2_grpc import ModelServiceStub
from tests.support.gateway import served, settings_with
from tests.support.rpc_errors import Refusal


@dataclass
class Upstream:
    """A provider of every wire: it makes vectors of a text's length, counts 42 tokens and lists one new model."""

    url: str = ""
    paths: list[str] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)

    def answer(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        self.paths.append(path)
        if path.partition("?")[0] in self.broken:
            return 401, {"error": {"message": "no", "type": "authentication_error"}}
        match path.partition("?")[0].rpartition("/")[2].rpartition(":")[2]:
            case "embeddings":
                data = [{"index": place, "embedding": [float(len(text))]} for place, text in enumerate(body["input"])]
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
def upstream() -> Iterator[Upstream]:
    told = Upstream()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:  # as the base class names it
            self._answer({})

        def do_POST(self) -> None:
            self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def _answer(self, body: dict[str, Any]) -> None:
            status, value = told.answer(self.path, body)
            data = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    told.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield told
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass
class World:
    provider: Upstream
    channel: grpc.Channel

    def embed(self, *inputs: str, model: str = "openai/text-embedding-3-small", **more: Any) -> Any:
        request = embedding_pb2.EmbedRequest(model=model, inputs=inputs, **more)
        return EmbeddingServiceStub(self.channel).Embed(request, timeout=10)

    @property
    def models(self) -> Any:
        return ModelServiceStub(self.channel)

    @property
    def health(self) -> Any:
        return HealthServiceStub(self.channel)


@contextmanager
def world(**sections: Any) -> Iterator[World]:
    with upstream() as provider:
        providers = {
            "openai": {"wire": "responses", "base_url": f"{provider.url}/v1", "api_key": "k"},
            "claude": {"base_url": f"{provider.url}", "api_key": "k"},
            "gemini": {"base_url": f"{provider.url}/v1beta", "api_key": "k"},
            "deepseek": {"base_url": f"{provider.url}/deep", "api_key": "k"},
        }
        with (
            served(settings_with(providers=providers, **sections)) as target,
            grpc.insecure_channel(target, options=[("grpc.enable_http_proxy", 0)]) as channel,
        ):
            yield World(provider, channel)


def refused(call: Callable[[], Any]) -> Refusal:
    """How a call failed."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    error: Any = caught.value
    return Refusal(error)


def question(model: str) -> model_pb2.CountTokensRequest:
    message = content_pb2.Message(role=content_pb2.ROLE_USER, parts=[content_pb2.Part(text="x" * 40)])
    return model_pb2.CountTokensRequest(request=generation_pb2.GenerateRequest(model=model, messages=[message]))
