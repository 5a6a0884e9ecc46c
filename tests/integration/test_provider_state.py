"""Reasoning state belongs to the key that obtained it: through a gateway and an upstream that checks this."""

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

from aimanager.v1 import content_pb2, generation_pb2
from aimanager.v1.generation_pb2_grpc import GenerationServiceStub
from aimanager_server.core.provider_state import fingerprint_of
from tests.support.gateway import settings_with, started_gateway

KEYS = tuple(f"sk-canary-{number}-0123456789" for number in (1, 2, 3))
OTHER_KEYS = tuple(f"sk-other-{number}-0123456789" for number in (1, 2, 3))

Json = dict[str, Any]


@dataclass(frozen=True)
class WireScript:
    """How one wire carries state. `found` returns the states in a request body, `answer` a response with one."""

    name: str
    provider: str
    model: str
    found: Callable[[Json], list[str]]
    answer: Callable[[str], Json]
    refusal: Json


def claude_states(body: Json) -> list[str]:
    return [block["signature"] for turn in body["messages"] for block in turn["content"] if "signature" in block]


def openai_states(body: Json) -> list[str]:
    return [item["encrypted_content"] for item in body["input"] if "encrypted_content" in item]


def gemini_states(body: Json) -> list[str]:
    parts = [part for content in body["contents"] for part in content["parts"]]
    return [part["thoughtSignature"] for part in parts if "thoughtSignature" in part]


def claude_answer(state: str) -> Json:
    content = [{"type": "thinking", "thinking": "Hm.", "signature": state}, {"type": "text", "text": "Yes."}]
    return {"type": "message", "content": content, "stop_reason": "end_turn", "usage": {"output_tokens": 3}}


def openai_answer(state: str) -> Json:
    reasoning = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": state}
    message = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Yes."}]}
    return {"status": "completed", "output": [reasoning, message], "usage": {"output_tokens": 3}}


def gemini_answer(state: str) -> Json:
    parts = [{"text": "Yes.", "thoughtSignature": state}]
    return {"candidates": [{"content": {"role": "model", "parts": parts}, "finishReason": "STOP"}]}


WIRES = [
    WireScript(
        "anthropic",
        "claude",
        "claude-opus-5-5",
        claude_states,
        claude_answer,
        {
            "type": "error",
            "error": {
                "type": "invalid_request_error",
                "message": "messages.1.content.0: Invalid `signature` in `thinking` block",
            },
        },
    ),
    WireScript(
        "responses",
        "openai",
        "gpt-6.2-sol",
        openai_states,
        openai_answer,
        {
            "error": {
                "message": "The encrypted content for item rs_1 could not be verified. Reason: Encrypted content "
                "organization_id did not match the target organization.",
                "type": "invalid_request_error",
                "param": None,
                "code": "invalid_encrypted_content",
            }
        },
    ),
    WireScript(
        "gemini",
        "gemini",
        "gemini-4-argon",
        gemini_states,
        gemini_answer,
        {"error": {"code": 400, "message": "Corrupted thought signature.", "status": "INVALID_ARGUMENT"}},
    ),
]


@dataclass
class StatefulUpstream:
    """A provider whose state is valid for the key that obtained it. `requests` holds the key and the states of each."""

    script: WireScript
    url: str = ""
    requests: list[tuple[str, list[str]]] = field(default_factory=list)

    def respond(self, key: str, body: Json) -> tuple[int, Json]:
        states = self.script.found(body)
        self.requests.append((key, states))
        if any(state != f"state-of-{key}" for state in states):
            return 400, self.script.refusal
        return 200, self.script.answer(f"state-of-{key}")


@contextmanager
def stateful_upstream(script: WireScript) -> Iterator[StatefulUpstream]:
    upstream = StatefulUpstream(script)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            headers = self.headers
            bearer = headers.get("authorization", "").removeprefix("Bearer ")
            key = headers.get("x-api-key") or headers.get("x-goog-api-key") or bearer
            body = json.loads(self.rfile.read(int(headers["content-length"])))
            status, answer = upstream.respond(key, body)
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - named by http.server
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        upstream.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, name="upstream")
        thread.start()
        try:
            yield upstream
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def gateway(upstream: StatefulUpstream, keys: tuple[str, ...]) -> Iterator[GenerationServiceStub]:
    settings = {"base_url": upstream.url, "wire": upstream.script.name, "keys": [{"api_key": key} for key in keys]}
    with (
        started_gateway(settings_with(providers={upstream.script.provider: settings})) as target,
        grpc.insecure_channel(target) as channel,
    ):
        yield GenerationServiceStub(channel)


@pytest.fixture(params=WIRES, ids=lambda script: script.name)
def upstream(request: pytest.FixtureRequest) -> Iterator[StatefulUpstream]:
    with stateful_upstream(request.param) as started:
        yield started


def ask(
    stub: GenerationServiceStub, script: WireScript, *history: content_pb2.Message
) -> generation_pb2.GenerateResponse:
    question = content_pb2.Message(role=content_pb2.ROLE_USER, parts=[content_pb2.Part(text="Is it?")])
    turns = [message for answer in history for message in (question, answer)]
    model = f"{script.provider}/{script.model}"
    return stub.Generate(generation_pb2.GenerateRequest(model=model, messages=[*turns, question]))


def test_the_key_that_obtained_the_state_is_preferred(upstream: StatefulUpstream) -> None:
    with gateway(upstream, KEYS) as stub:
        first = ask(stub, upstream.script)
        history = [first.message]
        for _ in range(4):
            history.append(ask(stub, upstream.script, *history).message)

    used = {key for key, _ in upstream.requests}
    (owner,) = used
    assert [states for _, states in upstream.requests] == [[f"state-of-{owner}"] * count for count in range(5)]
    assert first.message.SerializeToString().count(fingerprint_of(owner).encode()) == 1
    assert owner.encode() not in first.message.SerializeToString().replace(f"state-of-{owner}".encode(), b"")


def test_rejected_state_is_omitted_once_with_a_warning(upstream: StatefulUpstream) -> None:
    script = upstream.script
    with gateway(upstream, OTHER_KEYS[:1]) as stub:
        first = ask(stub, script)
    upstream.requests.clear()

    with gateway(upstream, KEYS) as stub:
        second = ask(stub, script, first.message)

    (refused_key, refused), (used_key, states) = upstream.requests
    assert (refused, states) == ([f"state-of-{OTHER_KEYS[0]}"], [])
    assert refused_key == used_key
    assert second.message.parts[-1].text == "Yes."
    assert [(warning.field, warning.message) for warning in second.warnings] == [
        (
            "messages",
            f"{script.provider} rejected the state of earlier turns; the request was sent again without it.",
        )
    ]
    reasons = [attempt.error_reason for attempt in second.execution.attempts]
    assert reasons == ["PROVIDER_REJECTED_REQUEST", ""]


def test_state_is_sent_to_no_other_provider(upstream: StatefulUpstream) -> None:
    with gateway(upstream, KEYS[:1]) as stub:
        first = ask(stub, upstream.script)
        first.message.provider = "mock"
        ask(stub, upstream.script, first.message)

    assert upstream.requests[-1][1] == []
