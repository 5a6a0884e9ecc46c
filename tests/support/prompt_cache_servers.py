"""Servers that cache prompts as Claude and OpenAI do, and report what a request read and wrote.

Tokens are counted as four characters. The rules are those of the vendors' guides to prompt caching:
platform.claude.com/docs/en/build-with-claude/prompt-caching and developers.openai.com/api/docs/guides/prompt-caching,
read 2026-11-27. A request that the vendor would reject raises ValueError.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, Protocol

Json = dict[str, Any]

MAX_BREAKPOINTS = 4
LOOKBACK_BLOCKS = 20
MAX_OPENAI_LOOKUPS = 80
ANSWER = "An answer of some length, as models give it. " * 12
OUTPUT_TOKENS = len(ANSWER) // 4


class Block(NamedTuple):
    """A block of a prompt: its content, and the lifetime of the entry that its marker asks for."""

    content: str
    lifetime: str | None


@dataclass(frozen=True)
class Counts:
    """Tokens of a request: read from the cache, written to it for the short and the long time, and neither."""

    read: int
    short_written: int
    long_written: int
    uncached: int

    @property
    def written(self) -> int:
        return self.short_written + self.long_written


class PrefixCache:
    """Entries for prefixes of prompts."""

    def __init__(self, min_tokens: int) -> None:
        self.min_tokens = min_tokens
        self._entries: set[str] = set()

    def count(self, blocks: Sequence[Block], lookups: Sequence[int], scope: str = "") -> Counts:
        """Read the longest entry among the prefixes that end at `lookups`, and write those that have a marker."""
        ends, digests = _prefixes(blocks, scope)
        hits = [index for index in lookups if digests[index] in self._entries and ends[index] >= self.min_tokens]
        read = ends[max(hits)] if hits else 0
        done, written = read, {"short": 0, "long": 0}
        for index, block in enumerate(blocks):
            if block.lifetime is not None and ends[index] >= self.min_tokens:
                self._entries.add(digests[index])
                written[block.lifetime] += max(ends[index] - done, 0)
                done = max(done, ends[index])
        return Counts(read, written["short"], written["long"], ends[-1] - done)


def _prefixes(blocks: Sequence[Block], scope: str) -> tuple[list[int], list[str]]:
    """Return where each prefix ends, in tokens, and its digest."""
    digest, characters = hashlib.sha256(scope.encode()), 0
    ends, digests = [], []
    for block in blocks:
        digest.update(block.content.encode() + b"\0")
        characters += len(block.content)
        ends.append(characters // 4)
        digests.append(digest.hexdigest())
    return ends, digests


class CacheModel(Protocol):
    """What answers the requests of a server."""

    def respond(self, body: Json) -> Json:
        """Return the response."""
        ...


@dataclass
class ClaudeModel:
    """The Messages API, without streaming."""

    min_tokens: int = 512
    counts: list[Counts] = field(default_factory=list)
    _caches: dict[str, PrefixCache] = field(default_factory=dict)

    def respond(self, body: Json) -> Json:
        blocks = list(_claude_blocks(body))
        markers = [index for index, block in enumerate(blocks) if block.lifetime]
        if len(markers) > MAX_BREAKPOINTS:
            raise ValueError(f"A maximum of 4 blocks with cache_control may be provided. Found {len(markers)}.")
        lifetimes = [blocks[index].lifetime for index in markers]
        if lifetimes != sorted(lifetimes, key=lambda one: one != "long"):
            raise ValueError("A ttl='1h' cache_control block must not come after a ttl='5m' cache_control block.")
        lookups = sorted({max(end - back, 0) for end in markers for back in range(LOOKBACK_BLOCKS + 1)})
        cache = self._caches.setdefault(body["model"], PrefixCache(self.min_tokens))
        counts = cache.count(blocks, lookups)
        self.counts.append(counts)
        creation = {
            "ephemeral_5m_input_tokens": counts.short_written,
            "ephemeral_1h_input_tokens": counts.long_written,
        }
        return {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": body["model"],
            "content": [{"type": "text", "text": ANSWER}],
            "stop_reason": "end_turn",
            "usage": {
                "input_tokens": counts.uncached,
                "cache_creation_input_tokens": counts.written,
                "cache_read_input_tokens": counts.read,
                "cache_creation": creation,
                "output_tokens": OUTPUT_TOKENS,
            },
        }


def _claude_blocks(body: Json) -> Iterator[Block]:
    system = body.get("system", [])
    yield from (_claude_block(tool, "tool") for tool in body.get("tools", []))
    yield from (_claude_block(block, "system") for block in ([{"text": system}] if isinstance(system, str) else system))
    for message in body["messages"]:
        yield from (_claude_block(block, message["role"]) for block in message["content"])


def _claude_block(block: Json, role: str) -> Block:
    control = block.get("cache_control")
    content = {name: value for name, value in block.items() if name != "cache_control"}
    lifetime = None if control is None else {"5m": "short", "1h": "long"}[control.get("ttl", "5m")]
    return Block(role + json.dumps(content, sort_keys=True), lifetime)


@dataclass
class OpenAIModel:
    """The Responses API and chat completions, for models that bill writes to the cache. Entries belong to a key."""

    min_tokens: int = 1024
    counts: list[Counts] = field(default_factory=list)
    _caches: dict[str, PrefixCache] = field(default_factory=dict)

    def respond(self, body: Json) -> Json:
        blocks = list(_openai_blocks(body))
        if body.get("prompt_cache_options", {}).get("mode") != "explicit":
            blocks[-1] = Block(blocks[-1].content, "short")
        markers = [index for index, block in enumerate(blocks) if block.lifetime]
        for index in markers[:-MAX_BREAKPOINTS]:
            blocks[index] = Block(blocks[index].content, None)
        cache = self._caches.setdefault(body["model"], PrefixCache(self.min_tokens))
        counts = cache.count(blocks, markers[-MAX_OPENAI_LOOKUPS:], body.get("prompt_cache_key", ""))
        self.counts.append(counts)
        return _responses_answer(counts) if "input" in body else _chat_answer(counts)


def _openai_blocks(body: Json) -> Iterator[Block]:
    yield from (Block(json.dumps(tool, sort_keys=True), None) for tool in body.get("tools", []))
    if body.get("instructions"):
        yield Block("developer" + body["instructions"], None)
    for item in body.get("input") or body["messages"]:
        content = item.get("content", item.get("output"))
        rest = {name: value for name, value in item.items() if name not in ("content", "output")}
        yield Block(json.dumps(rest, sort_keys=True), None)
        for part in content if isinstance(content, list) else [{"text": content}]:
            marker = part.get("prompt_cache_breakpoint")
            own = {name: value for name, value in part.items() if name != "prompt_cache_breakpoint"}
            lifetime = None if marker is None else {"30m": "short", "12h": "long"}[marker.get("ttl", "30m")]
            yield Block(json.dumps(own, sort_keys=True), lifetime)


def _responses_answer(counts: Counts) -> Json:
    details = {
        "cached_tokens": counts.read,
        "cache_write_tokens": counts.written,
        "cache_write_tokens_details": {"ttl_30m_tokens": counts.short_written, "ttl_12h_tokens": counts.long_written},
    }
    content = [{"type": "output_text", "text": ANSWER, "annotations": []}]
    return {
        "status": "completed",
        "output": [{"type": "message", "role": "assistant", "content": content}],
        "usage": {
            "input_tokens": counts.read + counts.written + counts.uncached,
            "input_tokens_details": details,
            "output_tokens": OUTPUT_TOKENS,
        },
    }


def _chat_answer(counts: Counts) -> Json:
    details = {"cached_tokens": counts.read, "cache_write_tokens": counts.written}
    message = {"role": "assistant", "content": ANSWER}
    return {
        "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
        "usage": {
            "prompt_tokens": counts.read + counts.written + counts.uncached,
            "prompt_tokens_details": details,
            "completion_tokens": OUTPUT_TOKENS,
        },
    }


@dataclass
class CacheServer:
    """A server on this machine. `requests` are the headers and bodies that it received."""

    url: str
    requests: list[tuple[Mapping[str, str], Json]] = field(default_factory=list)


@contextmanager
def started_cache_server(respond: Callable[[Json], Json]) -> Iterator[CacheServer]:
    """Run a server until the block ends. An invalid request has status 400."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            server.requests.append(({name.lower(): value for name, value in self.headers.items()}, body))
            try:
                status, answer = 200, respond(body)
            except ValueError as error:
                status, answer = (
                    400,
                    {"type": "error", "error": {"type": "invalid_request_error", "message": str(error)}},
                )
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - named by http.server
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listener:
        server = CacheServer(f"http://127.0.0.1:{listener.server_address[1]}")
        thread = threading.Thread(target=listener.serve_forever, name="cache server")
        thread.start()
        try:
            yield server
        finally:
            listener.shutdown()
            thread.join()
