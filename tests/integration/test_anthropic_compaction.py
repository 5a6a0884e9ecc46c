"""Claude's own compaction beside the summary: through a gateway and an upstream that checks what the API checks."""

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
from anthropic.types.beta import BetaMessage
from anthropic.types.beta.message_create_params import MessageCreateParams

from aimanager.v1 import content_pb2, generation_pb2
from aimanager.v1.conversation_pb2 import (
    CompactConversationRequest,
    CompactConversationResponse,
    ForkConversationRequest,
    PinTurnRequest,
)
from tests.integration.test_conversations import Client, user
from tests.support.gateway import settings_with, started_gateway
from tests.support.tokens import callers
from tests.support.vendor_sdks import validated_by

KEY, OTHER_KEY, OWN_KEY = (f"sk-ant-canary-{name}-0123456789" for name in ("1", "2", "own"))
MODEL = "claude/claude-opus-5-5"
BETA = "compact-2026-09-04"
SUMMARY = "Ada plans a trip."
COUNTS = {"input_tokens": 144, "cache_read_input_tokens": 6, "cache_creation_input_tokens": 0, "output_tokens": 276}

Json = dict[str, Any]


def block_of(key: str) -> Json:
    return {"type": "compaction", "content": "The user greets.", "signature": f"signed-for-{key}", "tool_changes": []}


def compacted(key: str) -> Json:
    usage = {"input_tokens": 0, "output_tokens": 0, "iterations": [{"type": "compaction", **COUNTS}]}
    return response([block_of(key)], "compaction", usage)


def response(content: list[Json], stop_reason: str, usage: Json) -> Json:
    fields = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-opus-5-5", "stop_sequence": None}
    whole = {**fields, "content": content, "stop_reason": stop_reason, "usage": usage}
    BetaMessage.model_validate(whole)
    return whole


def error(message: str, code: str = "") -> tuple[int, Json]:
    details = {"details": {"error_code": code}} if code else {}
    return 400, {"type": "error", "error": {"type": "invalid_request_error", "message": message, **details}}


@dataclass
class Upstream:
    """The Messages API. `compact` replaces the response to a compaction; `refuses` rejects what it signed."""

    url: str = ""
    requests: list[tuple[str, str, Json]] = field(default_factory=list)
    compact: Callable[[str], tuple[int, Json]] = lambda key: (200, compacted(key))
    refuses: bool = False

    def respond(self, key: str, betas: str, body: Json) -> tuple[int, Json]:
        self.requests.append((key, betas, body))
        assert validated_by(MessageCreateParams, body) == body
        blocks = [block for message in body["messages"] for block in message["content"]]
        compactions = [block for block in blocks if block["type"] == "compaction"]
        if compactions and BETA not in betas:
            return error("messages.0.content.0: Input tag 'compaction' does not match any of the expected tags")
        if len(compactions) > 1 or compactions != blocks[: len(compactions)]:
            return error("The compaction block must come first.", "compaction_block_misplaced")
        if compactions and (self.refuses or compactions[0] != block_of(key)):
            return error("The signature of the block does not verify.", "compaction_signature_invalid")
        if "compaction" in body:
            if BETA not in betas:
                return error(f"compaction: requires anthropic-beta: {BETA}")
            if {"stop_sequences", "tool_choice", "context_management"} & body.keys():
                return error("compaction: cannot be combined with this field")
            return self.compact(key)
        text = SUMMARY if "Summarize the conversation" in json.dumps(body) else "Yes."
        usage = {"input_tokens": 40, "output_tokens": 5}
        return 200, response([{"type": "text", "text": text, "citations": None}], "end_turn", usage)


@contextmanager
def started_upstream() -> Iterator[Upstream]:
    upstream = Upstream()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            status, answer = upstream.respond(self.headers["x-api-key"], self.headers.get("anthropic-beta", ""), body)
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
def client(upstream: Upstream, key: str = KEY, **claude: Any) -> Iterator[Client]:
    providers = {"claude": {"base_url": upstream.url, "api_key": key, **claude}, "mock": {}}
    with (
        started_gateway(settings_with(providers=providers, callers=callers("alice"))) as target,
        grpc.insecure_channel(target) as channel,
    ):
        yield Client(channel)


def compact(alice: Client, conversation_id: str) -> CompactConversationResponse:
    request = CompactConversationRequest(conversation_id=conversation_id, keep_turns=1, native=True)
    compacted: CompactConversationResponse = alice.call("CompactConversation", request)
    return compacted


def started(alice: Client, model: str = MODEL) -> str:
    conversation = alice.create(model=model, system_instruction="Be brief.")
    for text in ("first", "second", "third"):
        alice.ask(conversation.id, text, model=model)
    return conversation.id


def said(role: str, *texts: str) -> Json:
    return {"role": role, "content": [{"type": "text", "text": text} for text in texts]}


def test_the_signed_block_comes_first_in_prompts(upstream: Upstream) -> None:
    with client(upstream, headers={"anthropic-beta": "other-beta"}) as alice:
        one = started(alice)
        alice.call("PinTurn", PinTurnRequest(conversation_id=one, turn=0, pinned=True))
        compaction = compact(alice, one)
        _, betas, body = upstream.requests[-1]
        fork = alice.call("ForkConversation", ForkConversationRequest(conversation_id=one)).conversation
        answer = alice.ask(fork.id, "fourth", model=MODEL)
        _, next_betas, prompt = upstream.requests[-1]
        again = compact(alice, fork.id)
        _, _, chained = upstream.requests[-1]

    block, yes = {"role": "assistant", "content": [block_of(KEY)]}, said("assistant", "Yes.")
    assert body == {
        "model": "claude-opus-5-5",
        "max_tokens": 16_384,
        "system": "Be brief.",
        "messages": [said("user", "first"), yes, said("user", "second"), yes],
        "compaction": {"type": "summarize"},
    }
    assert (betas, next_betas) == ("other-beta,compact-2026-09-04",) * 2
    summary = compaction.conversation.summary
    assert (summary.turns, summary.text, summary.native_model) == (2, SUMMARY, MODEL)
    assert (compaction.usage.input_tokens, compaction.usage.output_tokens) == (40 + 150, 5 + 276)
    assert compaction.usage.cache_read_tokens == 6
    # $4 a million input tokens, $0.20 cached, $20 output
    assert compaction.cost.total_nanos == 184 * 4_000 + 6 * 200 + 281 * 20_000
    assert prompt["messages"] == [
        block, said("user", "first"), yes, said("user", "third"), yes, said("user", "fourth"),
    ]  # fmt: skip
    assert not answer.warnings
    assert chained["messages"][0] == block
    assert not again.warnings
    assert again.conversation.summary.turns == 3


def test_other_targets_and_keys_receive_the_text(upstream: Upstream) -> None:
    own = (("x-provider-key-claude", OWN_KEY),)
    with client(upstream) as alice:
        one = started(alice)
        compact(alice, one)
        before = len(upstream.requests)
        for model in ("claude/claude-opus-5", "claude/claude-haiku-4-5", "mock/mock-large"):
            alice.ask(one, "next", model=model)
        request = generation_pb2.GenerateRequest(model=MODEL, conversation_id=one, messages=[user("next")])
        alice.generation.Generate(request, metadata=(*alice.metadata, *own))
        threshold = '{"edits": [{"type": "compact_20260112"}]}'
        options = {"claude": f'{{"context_management": {threshold}}}'}
        alice.ask(one, "next", model=MODEL, provider_options_json=options)
    prompts = [json.dumps(body) for _, _, body in upstream.requests[before:]]

    assert [key for key, _, _ in upstream.requests[before:]] == [KEY, KEY, OWN_KEY, KEY]
    assert not any(betas for _, betas, _ in upstream.requests[before:])
    assert all(SUMMARY in prompt for prompt in prompts)
    assert not any("signed-for" in prompt or "first" in prompt for prompt in prompts)


def test_a_rejected_block_is_replaced_by_the_text_with_a_warning(upstream: Upstream) -> None:
    with client(upstream) as alice:
        one = started(alice)
        compact(alice, one)
        upstream.refuses = True
        answer = alice.ask(one, "fourth", model=MODEL)

    (_, _, refused), (_, betas, accepted) = upstream.requests[-2:]
    assert "signed-for" in json.dumps(refused)
    assert "signed-for" not in json.dumps(accepted)
    assert betas == ""
    assert SUMMARY in accepted["messages"][0]["content"][0]["text"]
    assert answer.message.parts[-1].text == "Yes."
    assert [warning.message for warning in answer.warnings] == [
        "claude rejected the state of earlier turns; the request was sent again without it."
    ]


BILLED = {"input_tokens": 0, "output_tokens": 0, "iterations": [{"type": "compaction", **COUNTS}]}
LARGE = {**block_of(KEY), "content": "x" * 300_000}
FAILURES: dict[str, tuple[Callable[[str], tuple[int, Json]], str]] = {
    "cut off": (lambda key: (200, response([], "max_tokens", BILLED)), "its stop_reason is 'max_tokens'"),
    "no content": (
        lambda key: (200, response([{**block_of(key), "content": None}], "compaction", BILLED)),
        "The response has no summary",
    ),
    "too large": (lambda key: (200, response([LARGE], "compaction", BILLED)), "at most 262144 are kept"),
    "rejected": (lambda key: error(f"compaction: not for {key}."), "not for [redacted]"),
    "no list": (lambda key: (200, {"type": "message", "content": None, "usage": {"iterations": 3}}), "no summary"),
}


BILLED_FAILURES = ("cut off", "no content", "too large")


@pytest.mark.parametrize("failure", FAILURES)
def test_the_text_remains_if_claude_returns_no_summary(upstream: Upstream, failure: str) -> None:
    upstream.compact, reason = FAILURES[failure]
    with client(upstream) as alice:
        one = started(alice)
        compaction = compact(alice, one)
        alice.ask(one, "fourth", model=MODEL)

    (warning,) = compaction.warnings
    assert (warning.field, KEY in warning.message) == ("native", False)
    assert reason in warning.message
    # Every attempt was billed. Without counts, what it cost is unknown.
    billed = sum("compaction" in body for _, _, body in upstream.requests) if failure in BILLED_FAILURES else 0
    nanos = 40 * 4_000 + 5 * 20_000 + billed * (144 * 4_000 + 6 * 200 + 276 * 20_000)
    assert (compaction.usage.input_tokens, compaction.usage.output_tokens) == (40 + billed * 150, 5 + billed * 276)
    assert compaction.cost.total_nanos == (0 if failure == "no list" else nanos)
    assert (compaction.conversation.summary.text, compaction.conversation.summary.native_model) == (SUMMARY, "")
    assert SUMMARY in json.dumps(upstream.requests[-1][2])
    assert "signed-for" not in json.dumps(upstream.requests[-1][2])


@pytest.mark.parametrize("model", ["claude-haiku-4-5", "claude-sonnet-5-5", "claude-haiku-5-5"])
def test_models_that_are_not_documented_to_compact_have_a_warning(upstream: Upstream, model: str) -> None:
    with client(upstream) as alice:
        compaction = compact(alice, started(alice, f"claude/{model}"))

    assert [warning.message for warning in compaction.warnings] == [f"claude has no native compaction for {model}."]
    assert not any("compaction" in body for _, _, body in upstream.requests)


def test_the_newest_turns_after_the_block_are_marked_for_the_prompt_cache(upstream: Upstream) -> None:
    with client(upstream) as alice:
        one = started(alice)
        compact(alice, one)
        for text in ("fourth", "fifth"):
            alice.ask(one, text * 2_000, model=MODEL)

    block, *turns = upstream.requests[-1][2]["messages"]
    assert block["content"] == [block_of(KEY)]
    marked = [turn["content"][-1]["text"][:5] for turn in turns if "cache_control" in turn["content"][-1]]
    assert marked == ["fourt", "fifth"]


def test_a_turn_that_begins_with_the_model_follows_the_block(upstream: Upstream) -> None:
    with client(upstream) as alice:
        one = started(alice)
        compact(alice, one)
        alice.call("ForkConversation", ForkConversationRequest(conversation_id=one, turn_count=2))
        fork = alice.call("ForkConversation", ForkConversationRequest(conversation_id=one, turn_count=2)).conversation
        answer = content_pb2.Message(role=content_pb2.ROLE_ASSISTANT, parts=[content_pb2.Part(text="By the way.")])
        request = generation_pb2.GenerateRequest(model=MODEL, conversation_id=fork.id, messages=[answer, user("Yes?")])
        alice.generation.Generate(request, metadata=alice.metadata)

    messages = upstream.requests[-1][2]["messages"]
    assert messages[0]["content"] == [block_of(KEY)]
    assert [message["role"] for message in messages[-2:]] == ["assistant", "user"]
