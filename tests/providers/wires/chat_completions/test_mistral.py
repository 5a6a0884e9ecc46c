"""Mistral's server: where it insists on more than the wire does."""

from __future__ import annotations

from typing import Any

import pytest

from aimanager_server.core.content import (
    Effort,
    Message,
    Reasoning,
    ReasoningOptions,
    Sampling,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolMode,
    ToolResult,
)
from aimanager_server.core.errors import ProviderInternalError, ProviderRejectedRequest
from aimanager_server.core.response import FinishReason
from tests.support.chat_completions import (
    assistant,
    dialect,
    finished_of,
    fixture,
    parts_of,
    question,
    read_all,
    sent,
    user,
)

LOOK = Tool("look")
FOREIGN = "toolu_01A9cDkE2"


def ask(*turns: Message, model: str = "mistral-medium-3-5", **more: Any) -> dict[str, Any]:
    return sent(question(*turns, provider="mistral", model=model, **more), "mistral")


def test_the_seed_has_a_name_of_its_own() -> None:
    body = ask(sampling=Sampling(max_output_tokens=7, seed=3))

    assert (body["random_seed"], body["max_tokens"], "seed" in body) == (3, 7, False)


@pytest.mark.parametrize(
    ("choice", "word"),
    [
        (ToolChoice(ToolMode.REQUIRED), "any"),
        (ToolChoice(ToolMode.AUTO), "auto"),
        (ToolChoice(ToolMode.NONE), "none"),
        (ToolChoice(tool_name="look"), {"type": "function", "function": {"name": "look"}}),
    ],
)
def test_a_forced_call_is_any(choice: ToolChoice, word: object) -> None:
    assert ask(tools=(LOOK,), tool_choice=choice)["tool_choice"] == word


def test_foreign_ids_become_nine_letters_and_digits_in_call_and_result_alike() -> None:
    body = ask(user("1"), assistant(ToolCall(FOREIGN, "look", "{}")), user(ToolResult(FOREIGN, "look", "sand")))

    called, answered = body["messages"][1]["tool_calls"][0]["id"], body["messages"][2]["tool_call_id"]
    assert called == answered
    assert len(called) == 9
    assert called.isascii()
    assert called.isalnum()


def test_different_ids_stay_different_and_the_same_one_stays_the_same() -> None:
    def ids() -> list[str]:
        calls = assistant(*(ToolCall(f"call_{number}", "look", "{}") for number in range(3)))
        results = user(*(ToolResult(f"call_{number}", "look", "") for number in range(3)))
        return [call["id"] for call in ask(user("1"), calls, results)["messages"][1]["tool_calls"]]

    assert len(set(ids())) == 3
    assert ids() == ids()


@pytest.mark.parametrize("call_id", ["D681PevKs", "123456789"])
def test_an_id_that_fits_is_kept(call_id: str) -> None:
    body = ask(user("1"), assistant(ToolCall(call_id, "look", "{}")), user(ToolResult(call_id, "look", "")))

    assert body["messages"][1]["tool_calls"][0]["id"] == call_id


def test_no_user_turn_follows_a_result_directly() -> None:
    body = ask(
        user("1"), assistant(ToolCall("D681PevKs", "look", "{}")), user(ToolResult("D681PevKs", "look", "x"), "2")
    )

    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "tool", "assistant", "user"]


def test_reasoning_goes_back_as_an_item_of_the_content() -> None:
    said = ask(user("1"), assistant(Reasoning("Hm."), "Six.", provider="mistral"), user("2"))["messages"][1]

    assert said["content"] == [
        {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]},
        {"type": "text", "text": "Six."},
    ]


def test_reasoning_before_a_call_goes_back_alone() -> None:
    turn = assistant(Reasoning("Hm."), ToolCall("D681PevKs", "look", "{}"), provider="mistral")

    said = ask(user("1"), turn, user(ToolResult("D681PevKs", "look", "x")))["messages"][1]

    assert said["content"] == [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}]


def test_reasoning_of_others_is_left_out() -> None:
    assert ask(user("1"), assistant(Reasoning("Hm."), "Six.", provider="claude"))["messages"][1]["content"] == "Six."


def test_what_it_said_makes_the_round_trip() -> None:
    parts = parts_of(read_all(fixture("chat_completions/mistral_tools.sse"), "mistral"))

    said = ask(user("1"), assistant(*parts, provider="mistral"), user(ToolResult("D681PevKs", "look", "x")))[
        "messages"
    ][1]

    assert said["content"][0]["thinking"][0]["text"] == "Two cities."
    assert [call["id"] for call in said["tool_calls"]] == ["D681PevKs", "kL2pQ8xYz"]


def test_fields_it_does_not_know_are_not_sent() -> None:
    body = ask(streaming=True)

    assert body.keys() == {"model", "messages", "stream"}


@pytest.mark.parametrize(("model", "word"), [("mistral-small-latest", "high"), ("magistral-medium-latest", None)])
def test_magistral_knows_no_effort(model: str, word: str | None) -> None:
    assert ask(model=model, reasoning=ReasoningOptions(Effort.HIGH)).get("reasoning_effort") == word


def test_a_full_context_is_told_apart_from_a_long_answer() -> None:
    events = read_all(fixture("chat_completions/mistral_model_length.sse"), "mistral")

    assert (finished_of(events).reason, parts_of(events)) == (FinishReason.CONTEXT_WINDOW, (Text("Once upon a"),))


def test_an_answer_that_ends_in_an_error_is_none() -> None:
    with pytest.raises(ProviderInternalError, match="'error'"):
        read_all(fixture("chat_completions/mistral_error.sse"), "mistral")


def test_cached_tokens_have_a_field_of_their_own() -> None:
    usage = finished_of(read_all(fixture("chat_completions/mistral_tools.sse"), "mistral")).usage

    assert (usage.input_tokens, usage.output_tokens, usage.cache_read_tokens) == (20, 30, 16)


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (
            400,
            b'{"object":"error","message":"Wrong.","type":"invalid_request_error","param":null,"code":null}',
            "Wrong.",
        ),
        (
            422,
            b'{"detail":[{"type":"extra_forbidden","loc":["body","seed"],"msg":"Extra inputs"}]}',
            "body.seed: Extra",
        ),
        (400, b'{"message":"Wrong.","request_id":"abc"}', "Wrong."),
    ],
)
def test_every_form_of_its_refusals_is_read(status: int, body: bytes, said: str) -> None:
    fault = dialect("mistral").error(status, {}, body)

    assert isinstance(fault, ProviderRejectedRequest)
    assert said in fault.message
