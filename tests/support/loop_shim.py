"""A chat-completions server in front of a gateway: what an operator's proxy for OpenAI clients does."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc

from aimanager.v1 import content_pb2, generation_pb2
from aimanager.v1.generation_pb2_grpc import GenerationServiceStub
from tests.support.rpc_errors import RpcFailure


@dataclass
class LoopShim:
    """The shim's URL, the model that it requests from the gateway at `target`, and the failures that it received."""

    url: str
    model: str
    target: str = ""
    requests: int = 0
    failures: list[RpcFailure] = field(default_factory=list)

    def generate(self, text: str, metadata: tuple[tuple[str, str], ...]) -> str:
        """Send a prompt to the gateway and return the text of the answer. Raises grpc.RpcError."""
        self.requests += 1
        message = content_pb2.Message(role=content_pb2.ROLE_USER, parts=[content_pb2.Part(text=text)])
        request = generation_pb2.GenerateRequest(model=self.model, messages=[message])
        with grpc.insecure_channel(self.target, options=[("grpc.enable_http_proxy", 0)]) as channel:
            answer = GenerationServiceStub(channel).Generate(request, metadata=metadata, timeout=10)
        return "".join(part.text for part in answer.message.parts)


@contextmanager
def loop_shim(model: str) -> Iterator[LoopShim]:
    """Serve until the block ends; set `target` before the first request. Headers of requests become metadata."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            metadata = tuple((name.lower(), value) for name, value in self.headers.items() if name.startswith("X-"))
            try:
                text = shim.generate(body["messages"][0]["content"], metadata)
            except grpc.RpcError as error:
                raised: Any = error
                failure = RpcFailure(raised)
                shim.failures.append(failure)
                self._send(400, {"error": {"message": failure.message}})
            else:
                self._send(200, {"choices": [{"message": {"content": text}, "finish_reason": "stop"}]})

        def _send(self, status: int, value: object) -> None:
            data = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        shim = LoopShim(f"http://127.0.0.1:{server.server_address[1]}/v1", model)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield shim
        finally:
            server.shutdown()
            thread.join()
