"""A provider on loopback that records the requests it receives."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Respond = Callable[[str, dict[str, Any]], bytes]
"""Returns the response body for the path and JSON body of a request."""


@dataclass(slots=True)
class RecordingUpstream:
    """Its base URL, and the path, JSON body and headers of each request, oldest first."""

    url: str
    requests: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    headers: list[Message] = field(default_factory=list)


@contextmanager
def recording_upstream(respond: Respond) -> Iterator[RecordingUpstream]:
    """Serve until the block ends. A streaming request gets a response of type text/event-stream."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["content-length"])))
            upstream.requests.append((self.path, request))
            upstream.headers.append(self.headers)
            body = respond(self.path, request)
            self.send_response(200)
            self.send_header("content-type", "text/event-stream" if request.get("stream") else "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - named by http.server
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        upstream = RecordingUpstream(f"http://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, name="upstream")
        thread.start()
        try:
            yield upstream
        finally:
            server.shutdown()
            thread.join()
