"""Extensions run once on every path of a call, in a complete gateway."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from pydantic import BaseModel

from aimanager import AIError, AIManager, Restarted
from aimanager_server.app import App
from aimanager_server.extensions import (
    ExtensionCall,
    ExtensionRequest,
    ExtensionResponse,
    Finished,
    Text,
)
from aimanager_server.extensions import Restarted as RestartedEvent
from tests.support.extensions import MODEL, DictTagging, Tagging, Watching, client, enabling, features
from tests.support.gateway import settings_with, started_gateway
from tests.support.tokens import bearer, callers

ONCE = ["on_request", "on_completion"]
KEY = "7f" * 16


def unary(ai: AIManager) -> str:
    return ai.request("Hi").content


def stream(ai: AIManager) -> str:
    return "".join(ai.stream("Hi").text)


def conversation(ai: AIManager) -> str:
    return str(ai.conversation().request("Hi").send())


def batch(ai: AIManager) -> str:
    (answer,) = ai.batch(["Hi"])
    return str(answer)


def retried(ai: AIManager) -> str:
    return ai.request("[[error: PROVIDER_OVERLOADED times=1]] Hi").content


def interrupted(ai: AIManager) -> str:
    answer = ai.stream("[[cut: 3 times=1]] Hi")
    assert not any(isinstance(event, Restarted) for event in answer.events), "held back until complete"
    return str(answer.response.content)


PATHS = [unary, stream, conversation, batch, retried, interrupted]


def hooks(extension: Tagging) -> list[str]:
    return [hook for hook, _ in extension.seen]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("run_in", ["event_loop", "thread"])
def test_requests_pass_extensions_in_order_and_responses_in_reverse(
    path: Callable[[AIManager], str], run_in: str
) -> None:
    first, last = Tagging("first"), Tagging("last")

    with client(first, DictTagging(), last, each={"run_in": run_in}) as ai:
        answer = path(ai)

    assert 'Hi +first +dicts +last"' in answer
    assert answer.endswith(" -last -dicts -first")
    assert hooks(first) == hooks(last) == ONCE


@pytest.mark.parametrize("streaming", [False, True])
def test_an_idempotent_replay_is_the_answer_that_was_stored_and_passes_no_extension_again(streaming: bool) -> None:
    extension = Tagging()

    with client(extension) as ai:
        if streaming:
            answers = [ai.stream("Hi", idempotency_key=KEY).complete() for _ in range(2)]
        else:
            answers = [ai.request("Hi", idempotency_key=KEY) for _ in range(2)]

    assert answers[0].content == answers[1].content
    assert answers[1].content.count("-tagging") == 1
    assert hooks(extension) == ONCE


@pytest.mark.parametrize("streaming", [False, True])
def test_a_hit_of_the_response_cache_passes_extensions_like_any_answer(streaming: bool) -> None:
    extension = Tagging()

    with client(extension, response_cache={"default_mode": "use"}) as ai:
        answers = [ai.stream("Hi").complete() if streaming else ai.request("Hi") for _ in range(2)]
        attempts = [answer.metadata.attempts for answer in answers]

    assert answers[1].metadata.from_cache
    assert len(attempts[0]) == 1
    assert answers[0].content == answers[1].content
    assert answers[1].content.endswith(" -tagging")
    assert hooks(extension) == 2 * ONCE


def test_a_summary_of_a_conversation_passes_extensions_too() -> None:
    extension = Tagging()

    with client(extension) as ai:
        talk = ai.conversation()
        for number in range(3):
            talk.request(f"Hi {number}").send()
        extension.seen.clear()
        talk.compact(keep_turns=1)

    assert hooks(extension) == ONCE


def test_a_stream_that_may_be_changed_is_held_back_and_consistent() -> None:
    with client(Tagging()) as ai:
        answer = ai.stream("[[reply: one two three]]")
        texts = [piece.content for piece in answer if piece.content]

    assert texts == ["one two three -tagging"]
    assert answer.response.content == "one two three -tagging"


@pytest.mark.parametrize("run_in", ["event_loop", "thread"])
def test_a_watched_stream_arrives_as_it_is_generated(run_in: str) -> None:
    extension = Watching()

    with client(extension, each={"run_in": run_in}) as ai:
        texts = list(ai.stream("[[reply: one two three]]").text)

    assert len(texts) > 1
    assert "".join(texts) == "one two three"
    assert [response.text for response in extension.responses] == ["one two three"]
    assert isinstance(extension.events[-1], Finished)
    assert hooks(extension) == ONCE


def test_a_watching_extension_sees_that_a_stream_restarts() -> None:
    extension = Watching()

    with client(extension) as ai:
        answer = ai.stream("[[words: 9]] [[cut: 3 times=1]]")
        restarts = [event for event in answer.events if isinstance(event, Restarted)]

    assert len(restarts) == 1
    assert sum(isinstance(event, RestartedEvent) for event in extension.events) == 1
    assert hooks(extension) == ONCE


class City(BaseModel):
    name: str


class Renaming(Tagging):
    """Replaces the JSON answer."""

    def __init__(self, answer: str) -> None:
        super().__init__("renaming")
        self._answer = answer

    async def on_request(self, call: ExtensionCall, request: ExtensionRequest) -> None:
        return None

    async def on_completion(self, call: ExtensionCall, response: ExtensionResponse) -> ExtensionResponse:
        assert json.loads(response.structured_json) == {"name": "Rome"}
        return response.with_text(self._answer)


def test_a_changed_answer_is_validated_again() -> None:
    prompt = '[[reply: {"name": "Rome"}]]'

    with client(Renaming('{"name": "Paris"}')) as ai:
        assert ai.request(prompt, output=City).parsed == City(name="Paris")
    with client(Renaming('{"nom": "Paris"}')) as ai, pytest.raises(AIError) as caught:
        ai.request(prompt, output=City)

    assert caught.value.reason == "EXTENSION_FAILED"
    assert "Extension 'renaming' returned an invalid response: parts must match output: " in str(caught.value)


def test_artifacts_are_those_of_the_changed_answer() -> None:
    class Signing(Tagging):
        async def on_completion(self, call: ExtensionCall, response: ExtensionResponse) -> ExtensionResponse:
            assert len(response.artifacts) == 1
            return response.with_text("```python title=b.py\nprint(2)\n```\n")

    with client(Signing()) as ai:
        answer = ai.request("[[reply: ```python\nprint(1)\n```\n]]")

    assert [artifact.text for artifact in answer.artifacts] == ["print(2)\n"]


def test_the_history_is_seen_and_changed_but_stored_as_it_was() -> None:
    class Masking(Tagging):
        async def on_request(self, call: ExtensionCall, request: ExtensionRequest) -> ExtensionRequest:
            self.calls.append(call)
            self.requests.append(request)
            masked = tuple(replace(message, parts=(Text("masked"),)) for message in request.history)
            return replace(request, history=masked)

    extension = Masking()
    with client(extension) as ai:
        talk = ai.conversation()
        talk.request("My number is 5.").send()
        answer = talk.request("[[reply: Yes.]]").send()
        stored = ["".join(part.text for part in message.parts) for message in talk.history]

    history = extension.requests[1].history
    assert [message.role.value for message in history] == ["user", "assistant"]
    assert extension.calls[1].conversation_id
    assert stored[0] == "My number is 5."
    assert stored[-1] == answer.content == "Yes. -tagging"


def test_extensions_see_neither_keys_nor_tokens_nor_the_state_of_other_calls() -> None:
    extension = Watching()
    manager = features(extension)
    settings = enabling("watching", callers=callers("alice", "bob"))

    with started_gateway(settings, features=manager) as target:
        for name in ("alice", "bob"):
            token = dict(bearer(name))["authorization"].removeprefix("Bearer ")
            with AIManager("sk-canary-key", provider="mock", target=target, token=token) as ai:
                ai.request("Hi")

    assert [call.caller for call in extension.calls] == ["alice", "bob"]
    assert extension.calls[0].state is not extension.calls[1].state
    shown = repr([*extension.calls, *extension.requests, *extension.responses, *extension.events])
    assert "canary" not in shown
    assert "authorization" not in shown.lower()
    for call in extension.calls:
        assert not {name for name in dir(call) if "key" in name or "token" in name}


def test_embeddings_and_token_counts_pass_no_extension() -> None:
    extension = Tagging()

    with client(extension) as ai:
        ai.embed("Hi", model="mock/mock-embedding")
        ai.models.count_tokens("Hi", model=MODEL)

    assert extension.seen == []


def test_without_enabled_extensions_there_is_no_layer() -> None:
    manager = features(Tagging())

    off = App(settings_with(), features=manager).components.pipeline
    on = App(enabling("tagging"), features=manager).components.pipeline

    assert off.extensions not in off.call_layers
    assert on.call_layers.index(on.extensions) == on.call_layers.index(on.conversation) + 1
    assert len(on.call_layers) == len(off.call_layers) + 1
