"""What the turns of a conversation become at Gemini."""

from __future__ import annotations

from typing import Any

import pytest

from aimanager_server.core.content import Attachment, Message, Reasoning, Text, ToolCall, ToolResult
from tests.support.gemini import CALLS, RESULTS, SIGNATURE, assistant, completed, contents, stream_of, streamed, user

DUMMY = "skip_thought_signature_validator"
PNG = Attachment("image/png", data=b"\x89PNG")


def signatures(*turns: Message, **facts: Any) -> list[list[str | None]]:
    """Of the function calls, by turn."""
    return [
        [part.get("thoughtSignature") for part in content["parts"] if "functionCall" in part]
        for content in contents(*turns, **facts)
        if content["role"] == "model"
    ]


def test_there_are_two_roles_and_neighbours_of_one_are_merged() -> None:
    said = contents(user("a", ""), user("b"), assistant(""), user("c"), assistant("d"), assistant("e"), user("f"))

    assert [(turn["role"], [part["text"] for part in turn["parts"]]) for turn in said] == [
        ("user", ["a", "b", "c"]),
        ("model", ["d", "e"]),
        ("user", ["f"]),
    ]


@pytest.mark.parametrize("name", ["parallel_tools", "signed_text", "signed_thought"])
def test_every_signature_goes_back_on_the_part_it_came_on(name: str) -> None:
    parts = completed(streamed(stream_of(name)))
    signed = [part for part in parts if part.provider_state]

    said = contents(user("1"), assistant(*parts), user("2"))[1]["parts"]

    assert signed
    returned = {part["thoughtSignature"]: part for part in said if "thoughtSignature" in part}
    for part in signed:
        there = returned.pop(part.provider_state.decode())
        if isinstance(part, ToolCall):
            assert there["functionCall"]["id"] == part.id
        else:
            assert isinstance(part, Text | Reasoning)
            assert (there["text"], there.get("thought", False)) == (part.text, isinstance(part, Reasoning))
    assert returned == {}


@pytest.mark.parametrize(
    ("provider", "model"), [("gemini", "gemini-3.8-flash"), ("claude", "claude-opus-5-5"), ("", "")]
)
def test_a_signature_of_another_author_is_never_sent(provider: str, model: str) -> None:
    turn = assistant(Reasoning("hm", provider_state=b"S1"), Text("a", b"S2"), provider=provider, model=model)

    assert contents(user("1"), turn, user("2"))[1]["parts"] == [{"text": "a"}]


def test_a_signature_that_is_no_text_is_left_out() -> None:
    assert contents(user("1"), assistant(Text("a", b"\xff\xfe")), user("2"))[1]["parts"] == [{"text": "a"}]


def test_a_text_that_holds_only_a_signature_is_kept() -> None:
    said = contents(user("1"), assistant("a", Text("", b"Sig=")), user("2"))

    assert said[1]["parts"] == [{"text": "a"}, {"text": "", "thoughtSignature": "Sig="}]


def test_the_first_of_parallel_calls_of_another_author_gets_the_stand_in() -> None:
    turn = assistant(*CALLS, provider="openai", model="gpt-6.2-sol")

    assert signatures(user("1"), turn, user(*RESULTS)) == [[DUMMY, None]]


def test_a_signature_that_is_there_is_not_replaced() -> None:
    assert signatures(user("1"), assistant(*CALLS), user(*RESULTS)) == [[SIGNATURE.decode(), None]]


def test_every_step_of_the_current_turn_gets_the_stand_in_and_no_earlier_one() -> None:
    def step(call_id: str) -> tuple[Message, Message]:
        return assistant(ToolCall(call_id, "f", "{}"), provider="claude"), user(ToolResult(call_id, "f", "ok"))

    said = signatures(user("1"), *step("a"), assistant("done"), user("2"), *step("b"), *step("c"))

    assert said == [[None], [], [DUMMY], [DUMMY]]


def test_models_that_do_not_sign_get_no_stand_in() -> None:
    assert signatures(
        user("1"), assistant(ToolCall("a", "f", "{}")), user(ToolResult("a", "f", "ok")), model="gemini-2.5-pro"
    ) == [[None]]


def test_results_lead_their_turn_under_the_name_of_the_function_called() -> None:
    said = contents(user("1"), assistant(*CALLS), user("Quick!", *RESULTS), user("Please."))

    assert said[2]["parts"] == [
        {"functionResponse": {"id": "fc_zurich", "name": "get_weather", "response": {"result": "9 °C"}}},
        {"functionResponse": {"id": "fc_rome", "name": "get_weather", "response": {"error": "No idea."}}},
        {"text": "Quick!"},
        {"text": "Please."},
    ]


def test_a_result_without_its_call_keeps_the_name_it_has() -> None:
    said = contents(user("1"), assistant("a"), user(ToolResult("x", "look", "sand")))

    assert said[2]["parts"][0]["functionResponse"]["name"] == "look"


def test_older_models_get_the_files_of_a_tool_beside_its_result() -> None:
    result = ToolResult("a", "look", "see", (PNG,))

    said = contents(user("1"), assistant(ToolCall("a", "look", "{}")), user(result), model="gemini-2.5-flash")

    assert said[2]["parts"] == [
        {"functionResponse": {"id": "a", "name": "look", "response": {"result": "see"}}},
        {"text": "Files of the tool call a:"},
        {"inlineData": {"mimeType": "image/png", "data": "iVBORw=="}},
    ]


@pytest.mark.parametrize(
    ("arguments", "args"),
    [
        ("", {}),
        ('{"a": 1}', {"a": 1}),
        ('"{\\"a\\": 1}"', {"a": 1}),
        ("[1, 2]", {"arguments": [1, 2]}),
        ('{"a": 1', {"invalid_json": '{"a": 1'}),
    ],
)
def test_arguments_are_sent_as_an_object_whatever_the_model_wrote(arguments: str, args: dict[str, Any]) -> None:
    said = contents(user("1"), assistant(ToolCall("t", "f", arguments)), user(ToolResult("t", "f", "ok")))

    assert said[1]["parts"][0]["functionCall"]["args"] == args


def test_a_file_in_an_assistant_turn_is_left_out() -> None:
    assert contents(user("1"), assistant("Here:", PNG), user("2"))[1]["parts"] == [{"text": "Here:"}]
