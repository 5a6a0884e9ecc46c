"""What gateways get wrong when they write questions: what goes back to a provider, and in which order and form."""

from __future__ import annotations

import json
from typing import Any

import pytest

from aimanager_server.core.content import (
    Attachment,
    Effort,
    JsonObjectFormat,
    JsonSchemaFormat,
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
from aimanager_server.core.errors import CapabilityUnsupported
from aimanager_server.core.usage import Usage, UsageSource
from aimanager_server.providers.wires.anthropic.message_encoder import OPENING, UNANSWERED
from aimanager_server.providers.wires.chat_completions.message_fixups import BRIDGE
from aimanager_server.providers.wires.gemini.message_encoder import UNSIGNED
from tests.support import anthropic as anthropic_api
from tests.support import gemini as gemini_api
from tests.support import resolver
from tests.support import responses as responses_api
from tests.support.chat_completions import (
    DIALECTS,
    assistant,
    dialect,
    finished_of,
    parts_of,
    question,
    read_all,
    sent,
    user,
)
from tests.support.chat_completions_answers import chunk

ASKED = user("Look.")
CALLS = (ToolCall("a", "look", '{"at":1}'), ToolCall("b", "listen", '{"at":2}'))
RESULTS = user("Quick.", ToolResult("b", "", "wind"), ToolResult("a", "", "sand"))


def chunk_stream(*deltas: dict[str, Any]) -> bytes:
    return b"".join(chunk(**delta) for delta in deltas) + b"data: [DONE]\n\n"


def chat(*turns: Message, name: str = "chat_completions", **more: Any) -> dict[str, Any]:
    return sent(question(*turns, provider=name, **more), name)


def claudes(*turns: Message, **more: Any) -> list[dict[str, Any]]:
    written: list[dict[str, Any]] = anthropic_api.sent(anthropic_api.question(*turns, **more))["messages"]
    return written


def test_pitfall_08_claudes_signatures_go_back_byte_for_byte_to_the_model_that_wrote_them() -> None:
    signed = Reasoning("Hm.", provider_state=b"EqQBCkgI+/9wZ==")
    turns = [
        ASKED,
        anthropic_api.assistant(signed, Reasoning("unsigned"), "Sand.", model="claude-opus-5-5"),
        user("?"),
    ]
    block = {"type": "thinking", "thinking": "Hm.", "signature": "EqQBCkgI+/9wZ=="}
    opening, delta = anthropic_api.block(0, type="thinking", thinking="Hm."), {"type": "signature_delta"}
    pieces = (opening, anthropic_api.delta(0, **delta, signature=block["signature"]), anthropic_api.stop(0))

    read = anthropic_api.streamed(anthropic_api.sse(*pieces, anthropic_api.END))

    assert parts_of(read) == (signed,)
    assert claudes(*turns, model="claude-opus-5-5")[1]["content"] == [block, {"type": "text", "text": "Sand."}]
    assert claudes(*turns, model="claude-sonnet-5-5")[1]["content"] == [{"type": "text", "text": "Sand."}]


def test_pitfall_09_geminis_signatures_go_back_part_by_part_and_foreign_calls_get_the_dummy() -> None:
    called = {"functionCall": {"id": "a", "name": "look", "args": {"at": 1}}, "thoughtSignature": "CrsB+/9aF=="}
    said = {"text": "I look.", "thoughtSignature": "Dx8+/w=="}
    answer = gemini_api.response(said, called, finish="STOP")
    results = user(ToolResult("a", "look", "sand"))

    parts = parts_of(gemini_api.gemini().decode(json.dumps(answer).encode()))
    own = gemini_api.contents(ASKED, gemini_api.assistant(*parts), results)
    foreign = gemini_api.contents(ASKED, gemini_api.assistant(*parts, provider="claude"), results)

    assert own[1]["parts"] == [said, called]
    assert foreign[1]["parts"] == [{"text": "I look."}, {**called, "thoughtSignature": UNSIGNED}]


def test_pitfall_10_deepseeks_reasoning_goes_back_with_its_calls() -> None:
    answer = chunk_stream({"reasoning_content": "Hm."}, {"tool_calls": [{"id": "a", "function": {"name": "look"}}]})
    parts = parts_of(read_all(answer, "deepseek"))

    turn = assistant(*parts, provider="deepseek")
    body = chat(ASKED, turn, user(ToolResult("a", "look", "sand")), name="deepseek", tools=(Tool("look"),))

    assert body["messages"][1]["reasoning_content"] == "Hm."
    assert [one["id"] for one in body["messages"][1]["tool_calls"]] == ["a"]


@pytest.mark.parametrize("model", ["gpt-5.6-sol", "gpt-6-sol", "gpt-6.1-sol", "gpt-6.2-sol", "gpt-6.2-astra"])
def test_pitfall_11_openais_newer_models_are_asked_for_tools_in_responses(model: str) -> None:
    asked = resolver.ask(f"openai/{model}", tools=(Tool("look"),), reasoning=ReasoningOptions(Effort.HIGH))
    known = responses_api.CATALOGUE.find("openai", model)
    older = resolver.resolver(openai={"wire": "chat_completions"})

    target = resolver.target(asked)
    body = responses_api.sent(responses_api.question(model=model, tools=asked.tools, reasoning=target.reasoning))

    assert resolver.settings("openai").wire == "responses"
    assert known is not None
    assert known.wire == "responses"
    assert (body["tools"][0]["name"], body["reasoning"]["effort"]) == ("look", "high")
    if "6.2" not in model:  # of which it is told both ways
        assert "calls no tools while it thinks" in resolver.refusal(asked, older).message


def test_pitfall_12_what_a_model_refuses_is_left_out_with_a_warning_or_refused_before_it_costs() -> None:
    dropped = {
        "claude/claude-opus-5-5": Sampling(temperature=0.5),
        "openai/gpt-6.2-sol": Sampling(stop_sequences=("END",)),
        "claude/claude-opus-4-6": Sampling(max_output_tokens=10**9),
    }
    prefilled = resolver.ask("claude/claude-opus-5-5", resolver.user("A?"), resolver.assistant("It is"))
    forced = resolver.ask("claude/claude-opus-5-5", tools=(Tool("look"),), tool_choice=ToolChoice(ToolMode.REQUIRED))

    told = [list(resolver.warned(resolver.ask(model, sampling=said))) for model, said in dropped.items()]

    assert told == [["sampling.temperature"], ["sampling.stop_sequences"], ["sampling.max_output_tokens"]]
    assert resolver.fields(resolver.refusal(forced)) == ["tool_choice"]
    assert resolver.fields(resolver.refusal(prefilled)) == ["messages[1]"]


def test_pitfall_13_roles_are_as_each_provider_wants_them() -> None:
    turns = (anthropic_api.assistant("Hello."), user("1"), user("2"))
    claude = anthropic_api.sent(anthropic_api.question(*turns, system_instruction="Be brief."))
    gemini = gemini_api.sent(gemini_api.question(user("1"), user("2"), system_instruction="Be brief."))
    called = assistant(CALLS[0], provider="mistral")

    mistral = chat(ASKED, called, user(ToolResult("a", "look", "sand"), "And?"), name="mistral")["messages"]

    assert claude["system"] == "Be brief."
    assert [(turn["role"], turn["content"][0]["text"]) for turn in claude["messages"]] == [
        ("user", OPENING),
        ("assistant", "Hello."),
        ("user", "1"),
    ]
    assert gemini["systemInstruction"]["parts"] == [{"text": "Be brief."}]
    assert gemini["contents"] == [{"role": "user", "parts": [{"text": "1"}, {"text": "2"}]}]
    assert [turn["content"] for turn in mistral[2:]] == ["sand", BRIDGE, "And?"]


def test_pitfall_14_results_stand_where_and_how_each_provider_looks_for_them() -> None:
    turns = (ASKED, assistant(*CALLS), RESULTS)

    claude = claudes(*turns)[2]["content"]
    unanswered = claudes(ASKED, assistant(*CALLS), user(ToolResult("a", "", "sand")))[2]["content"]
    openai = chat(*turns, name="openai")["messages"][2:]
    gemini = gemini_api.contents(*turns)[2]["parts"]
    responses = responses_api.items(*turns)

    assert [one.get("tool_use_id") for one in claude] == ["b", "a", None]
    assert {one["tool_use_id"]: one["content"] for one in unanswered} == {"a": "sand", "b": UNANSWERED}
    assert [(one["role"], one.get("tool_call_id")) for one in openai] == [("tool", "b"), ("tool", "a"), ("user", None)]
    assert [one["functionResponse"]["name"] for one in gemini[:2]] == ["listen", "look"]
    assert [one["call_id"] for one in responses if one.get("type") == "function_call_output"] == ["b", "a"]


@pytest.mark.parametrize("provider", DIALECTS)
def test_pitfall_15_nothing_is_said_as_each_provider_wants_it(provider: str) -> None:
    empty = Text("")
    turns = (user(empty, "Look."), assistant(empty), assistant(empty, CALLS[0]), user(ToolResult("a", "look", "sand")))

    listed = chunk_stream({"content": [{"type": "text", "text": "Hi"}]}, {"content": None}, {"content": ""})

    assert [turn["content"] for turn in chat(*turns, name=provider)["messages"]] == ["Look.", None, "sand"]
    assert claudes(*turns)[0]["content"] == [{"type": "text", "text": "Look."}]
    assert [block["type"] for block in claudes(*turns)[1]["content"]] == ["tool_use"]
    assert [list(part) for part in gemini_api.contents(*turns)[0]["parts"]] == [["text"]]
    assert parts_of(read_all(listed, provider)) == (Text("Hi"),)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ('{"at":1}', {"at": 1}),
        ("", {}),
        ('"{\\"at\\":1}"', {"at": 1}),
        ("[1]", {"arguments": [1]}),
        ("{at", {"invalid_json": "{at"}),
    ],
)
def test_pitfall_16_arguments_are_kept_as_text_and_read_leniently(written: str, read: dict[str, Any]) -> None:
    turns = (ASKED, assistant(ToolCall("a", "look", written)), user(ToolResult("a", "look", "sand")))
    call = {"id": "a", "function": {"name": "look", "arguments": written}}

    said = parts_of(read_all(chunk_stream({"tool_calls": [call]})))

    assert said == (ToolCall("a", "look", written or "{}"),)
    assert claudes(*turns)[1]["content"][0]["input"] == read
    assert gemini_api.contents(*turns)[1]["parts"][0]["functionCall"]["args"] == read
    assert chat(*turns)["messages"][1]["tool_calls"][0]["function"]["arguments"] == (written or "{}")


def test_pitfall_17_an_image_has_the_form_of_each_provider() -> None:
    inside, linked = Attachment("image/jpg", data=b"\xff\xd8"), Attachment("image/png", uri="https://example.com/a.png")
    turn = user(inside, linked)
    url = "https://example.com/a.png"

    claude = [block["source"] for block in claudes(turn)[0]["content"]]
    openai = [block["image_url"]["url"] for block in chat(turn, name="openai")["messages"][0]["content"]]
    responses = [block["image_url"] for block in responses_api.items(turn)[0]["content"]]
    gemini = gemini_api.contents(turn)[0]["parts"]

    assert claude == [{"type": "base64", "media_type": "image/jpeg", "data": "/9g="}, {"type": "url", "url": url}]
    assert openai == responses == ["data:image/jpg;base64,/9g=", url]
    assert gemini[0] == {"inlineData": {"mimeType": "image/jpeg", "data": "/9g="}}
    assert gemini[1] == {"fileData": {"mimeType": "image/png", "fileUri": url}}
    assert resolver.refusal(resolver.ask("deepseek/deepseek-v4-pro", resolver.user("?", inside))).violations


@pytest.mark.parametrize("provider", DIALECTS)
def test_pitfall_22_of_several_choices_the_first_is_read_and_all_are_counted(provider: str) -> None:
    usage = {"prompt_tokens": 5, "completion_tokens": 4}
    choices = [{"index": index, "message": {"content": f"{index}"}, "finish_reason": "stop"} for index in (1, 0)]
    deltas = [{"index": index, "delta": {"content": f"{index}"}, "finish_reason": "stop"} for index in (1, 0)]
    stream = [{"choices": [delta]} for delta in deltas] + [{"choices": [], "usage": usage}]

    asked = chat(name=provider, options={"n": 2})
    whole = dialect(provider).decode(json.dumps({"choices": choices, "usage": usage}).encode())
    streamed = read_all(b"".join(f"data: {json.dumps(one)}\n\n".encode() for one in stream), provider)

    assert asked["n"] == 2  # a native option alone can ask for it
    assert parts_of(whole) == parts_of(streamed) == (Text("0"),)
    assert finished_of(whole) == finished_of(streamed)
    assert finished_of(whole).usage == Usage(5, 4, source=UsageSource.REPORTED)


def test_pitfall_23_a_schema_is_asked_for_in_each_providers_words() -> None:
    schema = '{"type":"object","properties":{"name":{"type":"string"}},"required":["name"]}'
    closed = {**json.loads(schema), "additionalProperties": False}
    wanted = JsonSchemaFormat("city", schema, strict=True)

    openai = chat(name="openai", output_format=wanted)["response_format"]
    responses = responses_api.sent(responses_api.question(output_format=wanted))["text"]["format"]
    claude = anthropic_api.sent(anthropic_api.question(output_format=wanted))["output_config"]["format"]
    gemini = gemini_api.sent(gemini_api.question(output_format=wanted))["generationConfig"]

    assert openai == {"type": "json_schema", "json_schema": {"name": "city", "schema": closed, "strict": True}}
    assert responses == {"type": "json_schema", "name": "city", "schema": closed, "strict": True}
    assert claude == {"type": "json_schema", "schema": closed}
    assert gemini["responseJsonSchema"]["required"] == ["name"]
    assert chat(name="deepseek", output_format=JsonObjectFormat())["response_format"] == {"type": "json_object"}
    for name in ("deepseek", "groq"):
        with pytest.raises(CapabilityUnsupported):
            chat(name=name, output_format=wanted, streaming=True)
