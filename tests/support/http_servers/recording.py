"""A provider on this machine that answers from files and remembers what it was sent."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Respond = Callable[[str, dict[str, Any]], bytes]
"""The body that answers a request to a path with this JSON."""


@dataclass(slots=True)
class RecordingUpstream:
    """Where it listens, and the path and JSON of every request, oldest first."""

    url: str
    requests: list[tuple[str, dict[str, Any]]] = field(default_factory=list)


@contextmanager
def recording(respond: Respond) -> Iterator[RecordingUpstream]:
    """Serve until the block ends. A request that asks for a stream is answered as one."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            upstream.requests.append((self.path, asked))
            body = respond(self.path, asked)
            self.send_response(200)
            self.send_header("content-type", "text/event-stream" if asked.get("stream") else "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name http.server gives it
            """Nothing: the test tells."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        upstream = RecordingUpstream(f"http://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, name="upstream")
        thread.start()
        try:
            yield upstream
        finally:
            server.shutdown()
            thread.join()
