"""A provider's own compaction beside the summary: through a gateway and an upstream that knows its keys."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
import pytest
from openai.types.conversations import Message
from openai.types.responses import CompactedResponse, ResponseCompactParams

from aimanager.v1 import generation_pb2
from aimanager.v1.conversation_pb2 import (
    CompactConversationRequest,
    CompactConversationResponse,
    ForkConversationRequest,
)
from tests.integration.test_conversations import Client, user
from tests.support.gateway import settings_with, started_gateway
from tests.support.openapi import problems_of
from tests.support.responses import validated_by_sdk
from tests.support.tokens import callers
from tests.support.vendor_sdks import validated_by

KEY, OTHER_KEY, OWN_KEY = (f"sk-canary-{name}-0123456789" for name in ("1", "2", "own"))
MODEL = "openai/gpt-6.2-sol"
SUMMARY = "Ada plans a trip."

Json = dict[str, Any]

USAGE = {
    "input_tokens": 700,
    "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
    "output_tokens": 30,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 730,
}


def compacted(body: Json, key: str) -> Json:
    """Return the response of the API: the user's messages, and what stands for everything else."""
    users = [item for item in body["input"] if item.get("role") == "user"]
    messages = [{"type": "message", "id": f"msg_{n}", "status": "completed", **item} for n, item in enumerate(users)]
    item = {"type": "compaction", "id": "cmp_1", "encrypted_content": f"state-of-{key}"}
    fields = {"id": "resp_1", "created_at": 1, "object": "response.compaction", "usage": USAGE}
    for message in messages:
        Message.model_validate(message)
    CompactedResponse.model_validate({**fields, "output": [item]})  # its type has no user messages, its text says so
    return {**fields, "output": [*messages, item]}


REFUSED = {"error": {"message": "Could not be verified.", "param": None, "code": "invalid_encrypted_content"}}


@dataclass
class Upstream:
    """OpenAI's endpoints. `compact` replaces the response to a compaction; `refuses` rejects what it encrypted."""

    url: str = ""
    requests: list[tuple[str, str, Json]] = field(default_factory=list)
    compact: Callable[[Json, str], tuple[int, Json]] = lambda body, key: (200, compacted(body, key))
    refuses: bool = False

    def respond(self, path: str, key: str, body: Json) -> tuple[int, Json]:
        self.requests.append((path, key, body))
        if path.endswith("/compact"):
            return self.compact(body, key)
        if path.endswith("/chat/completions"):
            choice = {"index": 0, "message": {"role": "assistant", "content": "Yes."}, "finish_reason": "stop"}
            return 200, {"choices": [choice]}
        states = [item["encrypted_content"] for item in body["input"] if "encrypted_content" in item]
        if states and (self.refuses or states != [f"state-of-{key}"]):
            return 400, REFUSED
        text = SUMMARY if "Summarize the conversation" in json.dumps(body) else "Yes."
        content = [{"type": "output_text", "text": text, "annotations": []}]
        message = {"type": "message", "role": "assistant", "content": content}
        return 200, {"status": "completed", "output": [message], "usage": USAGE}


@contextmanager
def started_upstream() -> Iterator[Upstream]:
    upstream = Upstream()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            key = self.headers["authorization"].removeprefix("Bearer ")
            status, answer = upstream.respond(self.path, key, body)
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


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with started_upstream() as started:
        yield started


@contextmanager
def client(upstream: Upstream, storage: str = "", key: str = KEY) -> Iterator[Client]:
    providers = {
        "openai": {"base_url": upstream.url, "api_key": key, "wire": "responses"},
        "groq": {"base_url": upstream.url, "api_key": OTHER_KEY},
        "mock": {},
    }
    tables = {"storage": {"url": storage}} if storage else {}
    settings = settings_with(providers=providers, callers=callers("alice"), **tables)
    with started_gateway(settings) as target, grpc.insecure_channel(target) as channel:
        yield Client(channel)


def compact(alice: Client, conversation_id: str, **fields: Any) -> CompactConversationResponse:
    fields = {"keep_turns": 1, "native": True, **fields}
    request = CompactConversationRequest(conversation_id=conversation_id, **fields)
    response: CompactConversationResponse = alice.call("CompactConversation", request)
    return response


def started(alice: Client, model: str = MODEL) -> str:
    conversation = alice.create(model=model, system_instruction="Be brief.")
    for text in ("first", "second", "third"):
        alice.ask(conversation.id, text, model=model)
    return conversation.id


def sent(upstream: Upstream) -> Json:
    """Return the body of the last request."""
    return upstream.requests[-1][2]


def said(text: str) -> Json:
    return {"role": "user", "content": [{"type": "input_text", "text": text}]}


@pytest.mark.parametrize("storage", ["memory", "sqlite", "postgresql"])
def test_the_providers_compaction_replaces_the_text_in_prompts(
    upstream: Upstream, storage: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path}/store.db" if storage == "sqlite" else ""
    url = str(request.getfixturevalue("postgresql_url")) if storage == "postgresql" else url
    with client(upstream, url) as alice:
        one = started(alice)
        response = compact(alice, one)
        path, key, body = upstream.requests[-1]
        fork = alice.call("ForkConversation", ForkConversationRequest(conversation_id=one)).conversation
        answer = alice.ask(fork.id, "fourth", model=MODEL)
        prompt = sent(upstream)
        again = compact(alice, fork.id)
        chained = sent(upstream)

    item = {"type": "compaction", "encrypted_content": f"state-of-{KEY}", "id": "cmp_1"}
    yes = {"role": "assistant", "content": "Yes."}
    assert (path, key) == ("/responses/compact", KEY)
    assert body == {
        "model": "gpt-6.2-sol",
        "instructions": "Be brief.",
        "input": [said("first"), yes, said("second"), yes],
        "prompt_cache_key": body["prompt_cache_key"],
    }
    assert validated_by(ResponseCompactParams, body) == body
    summary = response.conversation.summary
    assert (summary.turns, summary.text, summary.native_model) == (2, SUMMARY, MODEL)
    assert (response.usage.input_tokens, response.usage.output_tokens) == (1_400, 60)
    assert response.cost.total_nanos > 0
    assert prompt["input"] == [said("first"), said("second"), item, said("third"), yes, said("fourth")]
    assert problems_of("CreateResponse", prompt) == []
    assert validated_by_sdk(prompt)["input"] == prompt["input"]
    assert not answer.warnings
    assert chained["input"] == [said("first"), said("second"), item, said("third"), yes]
    assert again.conversation.summary.turns == 3


def test_other_targets_and_keys_receive_the_text(upstream: Upstream, tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path}/store.db"
    own = (("x-provider-key-openai", OWN_KEY),)
    prompts = []
    with client(upstream, url) as alice:
        one = started(alice)
        compact(alice, one)
        compactions = len(upstream.requests)
        for model in ("openai/gpt-5.5", "openai/gpt-4.1", "groq/openai/gpt-oss-120b", "mock/mock-large"):
            alice.ask(one, "next", model=model)
        request = generation_pb2.GenerateRequest(model=MODEL, conversation_id=one, messages=[user("next")])
        alice.generation.Generate(request, metadata=(*alice.metadata, *own))
    with client(upstream, url, OTHER_KEY) as alice:
        answer = alice.ask(one, "next", model=MODEL)
    prompts = [json.dumps(body) for _, _, body in upstream.requests[compactions:]]

    assert [key for _, key, _ in upstream.requests[compactions:]] == [KEY, KEY, OTHER_KEY, OWN_KEY, OTHER_KEY]
    assert all(SUMMARY in prompt for prompt in prompts)
    assert not any("state-of" in prompt or "first" in prompt for prompt in prompts)
    assert not answer.warnings


def test_a_rejected_compaction_is_replaced_by_the_text_with_a_warning(upstream: Upstream) -> None:
    with client(upstream) as alice:
        one = started(alice)
        compact(alice, one)
        upstream.refuses = True
        answer = alice.ask(one, "fourth", model=MODEL)

    (_, _, refused), (_, _, accepted) = upstream.requests[-2:]
    assert "state-of" in json.dumps(refused)
    assert "state-of" not in json.dumps(accepted)
    assert SUMMARY in accepted["input"][0]["content"][0]["text"]
    assert answer.message.parts[-1].text == "Yes."
    assert [warning.message for warning in answer.warnings] == [
        "openai rejected the state of earlier turns; the request was sent again without it."
    ]


FAILURES: dict[str, tuple[Callable[[Json, str], tuple[int, Json]], str]] = {
    "missing": (lambda body, key: (404, {"error": {"message": "Unknown path."}}), "Unknown path"),
    "rejected": (lambda body, key: (400, {"error": {"message": f"Bad {key}."}}), "Bad [redacted]"),
    "no list": (lambda body, key: (200, {"output": None}), "must have user messages and one compaction item"),
    "unknown item": (
        lambda body, key: (200, {"output": [*compacted(body, key)["output"], {"type": "web_search_call"}]}),
        "must have user messages and one compaction item",
    ),
    "too large": (
        lambda body, key: (200, {"output": [{"type": "compaction", "encrypted_content": "x" * 300_000}]}),
        "at most 262144 are kept",
    ),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_the_text_remains_if_the_provider_cannot_compact(upstream: Upstream, failure: str) -> None:
    upstream.compact, reason = FAILURES[failure]
    with client(upstream) as alice:
        one = started(alice)
        response = compact(alice, one)
        found = alice.get(one)
        alice.ask(one, "fourth", model=MODEL)

    (warning,) = response.warnings
    assert warning.field == "native"
    assert reason in warning.message
    assert KEY not in warning.message
    assert (found.summary.text, found.summary.native_model) == (SUMMARY, "")
    assert response.usage.input_tokens == 700
    assert SUMMARY in json.dumps(sent(upstream))


@pytest.mark.parametrize("model", ["mock/mock-large", "openai/gpt-4.1", "groq/openai/gpt-oss-120b"])
def test_models_without_native_compaction_have_a_warning(upstream: Upstream, model: str) -> None:
    with client(upstream) as alice:
        response = compact(alice, started(alice, model))

    provider, _, name = model.partition("/")
    assert [warning.message for warning in response.warnings] == [f"{provider} has no native compaction for {name}."]
    assert response.conversation.summary.text
    assert not any(path.endswith("/compact") for path, _, _ in upstream.requests)


def test_nothing_is_sent_to_compact_unless_it_is_requested_or_with_a_short_key(upstream: Upstream) -> None:
    with client(upstream) as alice:
        plain = compact(alice, started(alice), native=False)
    with client(upstream, key="local") as alice:
        short = compact(alice, started(alice))

    assert not any(path.endswith("/compact") for path, _, _ in upstream.requests)
    assert not plain.warnings
    assert [warning.message for warning in short.warnings] == [
        "Native compaction requires an API key of at least 16 characters, because only the key that obtained a "
        "compaction may use it."
    ]
