"""`optimize` through a whole server: what the model receives, what the caller is told, and what is kept."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest

from aimanager import AIManager, InvalidRequestError

LOOSE, TIGHT = "One.   \n\n\n\n\nTwo.", "One.\n\nTwo."
WHITESPACE = "6 characters of whitespace (about 1 tokens) were left out."
SMALL_WINDOW = {"models": {"mock/mock-large": {"context_window": 2000}}}


@pytest.fixture
def ai() -> Iterator[AIManager]:
    with AIManager.embedded(provider="mock", config=SMALL_WINDOW) as client:
        yield client


def test_every_kind_of_call_is_optimized(ai: AIManager) -> None:
    plain = ai.request(LOOSE)
    response = ai.request(LOOSE, optimize="whitespace")
    with ai.stream(LOOSE, optimize="whitespace") as stream:
        streamed = stream.complete()
    (batched,) = ai.batch([LOOSE], optimize="whitespace")
    answered = ai.conversation().request(LOOSE, optimize="whitespace").send()

    assert f'"{LOOSE}"' in plain.content
    assert not plain.warnings
    for each in (response, streamed, batched, answered):
        assert not isinstance(each, Exception)
        assert [(warning.field, warning.message) for warning in each.warnings] == [("optimize", WHITESPACE)]
        assert f'"{TIGHT}"' in each.content


def test_a_conversation_keeps_what_was_sent(ai: AIManager) -> None:
    conversation = ai.conversation()

    conversation.request(LOOSE, optimize="whitespace").send()

    assert conversation.history[0].parts[0].text == LOOSE


def test_the_oldest_turns_are_left_out_and_the_caller_is_told(ai: AIManager) -> None:
    messages = [(role, f"{number} " + "x" * 3000) for number in range(5) for role in ("user", "assistant")]

    response = ai.request([*messages, ("user", "And now?")], optimize="history")
    alone = ai.request("And now?", optimize="history")

    (warning,) = response.warnings
    assert warning.message == (
        "4 of the oldest turns (8 messages, about 6032 tokens) were left out: "
        "mock-large has a context window of 2000 tokens."
    )
    assert not alone.warnings


def test_a_repeated_key_with_another_optimization_is_rejected(ai: AIManager) -> None:
    key = uuid4().hex
    ai.request(LOOSE, idempotency_key=key)

    with pytest.raises(InvalidRequestError, match="was already used for a different request"):
        ai.request(LOOSE, idempotency_key=key, optimize="whitespace")
