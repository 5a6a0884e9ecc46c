"""Known pitfalls of gateways in encoding requests: what is sent back to a provider, in which order and form."""

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
from aimanager_server.providers.wires.anthropic.message_encoder import FIRST_USER_TURN, MISSING_RESULT
from aimanager_server.providers.wires.chat_completions.message_fixups import TOOL_RESULTS_ACKNOWLEDGMENT
from aimanager_server.providers.wires.gemini.message_encoder import PLACEHOLDER_SIGNATURE
from tests.support import anthropic as anthropic_api
from tests.support import gemini as gemini_api
from tests.support import resolver
from tests.support import responses as responses_api
from tests.support.chat_completions import VENDORS, assistant, chat_wire, chunk, make_attempt, read_stream, sent_body
from tests.support.wire_cases import completed_parts, finished_event, sse, user

QUESTION = user("Look.")
TOOL_CALLS = (ToolCall("a", "look", '{"at":1}'), ToolCall("b", "listen", '{"at":2}'))
RESULTS = user("Quick.", ToolResult("b", "", "wind"), ToolResult("a", "", "sand"))


def chunk_stream(*deltas: dict[str, Any]) -> bytes:
    return b"".join(chunk(**delta) for delta in deltas) + b"data: [DONE]\n\n"


def chat(*turns: Message, name: str = "chat_completions", **more: Any) -> dict[str, Any]:
    return sent_body(make_attempt(*turns, provider=name, **more), name)


def anthropic_messages(*turns: Message, **more: Any) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = anthropic_api.sent_body(anthropic_api.make_attempt(*turns, **more))["messages"]
    return messages


def test_pitfall_08_anthropic_signatures_return_unchanged_to_their_model() -> None:
    signed = Reasoning("Hm.", provider_state=b"EqQBCkgI+/9wZ==")
    turns = [
        QUESTION,
        anthropic_api.assistant(signed, Reasoning("unsigned"), "Sand.", model="claude-opus-5-5"),
        user("?"),
    ]
    block = {"type": "thinking", "thinking": "Hm.", "signature": "EqQBCkgI+/9wZ=="}
    start, delta = anthropic_api.block_start(0, type="thinking", thinking="Hm."), {"type": "signature_delta"}
    payloads = (start, anthropic_api.block_delta(0, **delta, signature=block["signature"]), anthropic_api.block_stop(0))

    read = anthropic_api.read_stream(sse(*payloads, anthropic_api.message_delta(), anthropic_api.MESSAGE_STOP))

    assert completed_parts(read) == (signed,)
    assert anthropic_messages(*turns, model="claude-opus-5-5")[1]["content"] == [
        block,
        {"type": "text", "text": "Sand."},
    ]
    assert anthropic_messages(*turns, model="claude-sonnet-5-5")[1]["content"] == [{"type": "text", "text": "Sand."}]


def test_pitfall_09_gemini_signatures_return_and_foreign_calls_get_the_placeholder() -> None:
    function_call = {"functionCall": {"id": "a", "name": "look", "args": {"at": 1}}, "thoughtSignature": "CrsB+/9aF=="}
    text = {"text": "I look.", "thoughtSignature": "Dx8+/w=="}
    response = gemini_api.response(text, function_call, finish="STOP")
    results = user(ToolResult("a", "look", "sand"))

    parts = completed_parts(gemini_api.gemini_wire().decode(json.dumps(response).encode()))
    own = gemini_api.sent_contents(QUESTION, gemini_api.assistant(*parts), results)
    foreign = gemini_api.sent_contents(QUESTION, gemini_api.assistant(*parts, provider="claude"), results)

    assert own[1]["parts"] == [text, function_call]
    assert foreign[1]["parts"] == [{"text": "I look."}, {**function_call, "thoughtSignature": PLACEHOLDER_SIGNATURE}]


def test_pitfall_10_deepseek_reasoning_returns_with_its_tool_calls() -> None:
    stream = chunk_stream({"reasoning_content": "Hm."}, {"tool_calls": [{"id": "a", "function": {"name": "look"}}]})
    parts = completed_parts(read_stream(stream, "deepseek"))

    turn = assistant(*parts, provider="deepseek")
    body = chat(QUESTION, turn, user(ToolResult("a", "look", "sand")), name="deepseek", tools=(Tool("look"),))

    assert body["messages"][1]["reasoning_content"] == "Hm."
    assert [call["id"] for call in body["messages"][1]["tool_calls"]] == ["a"]


@pytest.mark.parametrize("model", ["gpt-5.6-sol", "gpt-6-sol", "gpt-6.1-sol", "gpt-6.2-sol", "gpt-6.2-astra"])
def test_pitfall_11_newer_openai_models_use_the_responses_api_for_tools(model: str) -> None:
    params = resolver.generate_params(f"openai/{model}", tools=(Tool("look"),), reasoning=ReasoningOptions(Effort.HIGH))
    model_entry = responses_api.CATALOG.find("openai", model)
    older = resolver.make_resolver(openai={"wire": "chat_completions"})

    target = resolver.resolve_target(params)
    body = responses_api.sent_body(
        responses_api.make_attempt(model=model, tools=params.tools, reasoning=target.reasoning)
    )

    assert resolver.provider_settings("openai").wire == "responses"
    assert model_entry is not None
    assert model_entry.wire == "responses"
    assert (body["tools"][0]["name"], body["reasoning"]["effort"]) == ("look", "high")
    if "6.2" not in model:  # gpt-6.2 supports both APIs
        assert "does not support tool calling while reasoning" in resolver.capability_error(params, older).message


def test_pitfall_12_unsupported_options_are_dropped_with_a_warning_or_rejected() -> None:
    unsupported = {
        "claude/claude-opus-5-5": Sampling(temperature=0.5),
        "openai/gpt-6.2-sol": Sampling(stop_sequences=("END",)),
        "claude/claude-opus-4-6": Sampling(max_output_tokens=10**9),
    }
    prefilled = resolver.generate_params(
        "claude/claude-opus-5-5", resolver.user_message("A?"), resolver.assistant_message("It is")
    )
    forced = resolver.generate_params(
        "claude/claude-opus-5-5", tools=(Tool("look"),), tool_choice=ToolChoice(ToolMode.REQUIRED)
    )

    params = [resolver.generate_params(model, sampling=sampling) for model, sampling in unsupported.items()]
    warnings = [list(resolver.warnings_of(each)) for each in params]

    assert warnings == [["sampling.temperature"], ["sampling.stop_sequences"], ["sampling.max_output_tokens"]]
    assert resolver.violated_fields(resolver.capability_error(forced)) == ["tool_choice"]
    assert resolver.violated_fields(resolver.capability_error(prefilled)) == ["messages[1]"]


def test_pitfall_13_roles_follow_the_rules_of_each_provider() -> None:
    turns = (anthropic_api.assistant("Hello."), user("1"), user("2"))
    anthropic = anthropic_api.sent_body(anthropic_api.make_attempt(*turns, system_instruction="Be brief."))
    gemini = gemini_api.sent_body(gemini_api.make_attempt(user("1"), user("2"), system_instruction="Be brief."))
    call_turn = assistant(TOOL_CALLS[0], provider="mistral")

    mistral = chat(QUESTION, call_turn, user(ToolResult("a", "look", "sand"), "And?"), name="mistral")["messages"]

    assert anthropic["system"] == "Be brief."
    assert [(turn["role"], turn["content"][0]["text"]) for turn in anthropic["messages"]] == [
        ("user", FIRST_USER_TURN),
        ("assistant", "Hello."),
        ("user", "1"),
    ]
    assert gemini["systemInstruction"]["parts"] == [{"text": "Be brief."}]
    assert gemini["contents"] == [{"role": "user", "parts": [{"text": "1"}, {"text": "2"}]}]
    assert [turn["content"] for turn in mistral[2:]] == ["sand", TOOL_RESULTS_ACKNOWLEDGMENT, "And?"]


def test_pitfall_14_tool_results_follow_the_rules_of_each_provider() -> None:
    turns = (QUESTION, assistant(*TOOL_CALLS), RESULTS)

    anthropic = anthropic_messages(*turns)[2]["content"]
    unanswered = anthropic_messages(QUESTION, assistant(*TOOL_CALLS), user(ToolResult("a", "", "sand")))[2]["content"]
    openai = chat(*turns, name="openai")["messages"][2:]
    gemini = gemini_api.sent_contents(*turns)[2]["parts"]
    responses = responses_api.sent_input(*turns)

    assert [block.get("tool_use_id") for block in anthropic] == ["b", "a", None]
    assert {block["tool_use_id"]: block["content"] for block in unanswered} == {"a": "sand", "b": MISSING_RESULT}
    assert [(message["role"], message.get("tool_call_id")) for message in openai] == [
        ("tool", "b"),
        ("tool", "a"),
        ("user", None),
    ]
    assert [part["functionResponse"]["name"] for part in gemini[:2]] == ["listen", "look"]
    assert [item["call_id"] for item in responses if item.get("type") == "function_call_output"] == ["b", "a"]


def test_pitfall_15_empty_content_is_sent_as_each_provider_requires() -> None:
    empty = Text("")
    result = user(ToolResult("a", "look", "sand"))
    turns = (user(empty, "Look."), assistant(empty), assistant(empty, TOOL_CALLS[0]), result)
    stream = chunk_stream({"content": [{"type": "text", "text": "Hi"}]}, {"content": None}, {"content": ""})

    chats = {name: [turn["content"] for turn in chat(*turns, name=name)["messages"]] for name in VENDORS}
    anthropic = anthropic_messages(*turns)
    gemini = gemini_api.sent_contents(*turns)

    assert chats == {name: ["Look.", None, "sand"] for name in VENDORS}
    assert anthropic[0]["content"] == [{"type": "text", "text": "Look."}]
    assert [block["type"] for block in anthropic[1]["content"]] == ["tool_use"]
    assert [list(part) for part in gemini[0]["parts"]] == [["text"]]
    assert {completed_parts(read_stream(stream, name)) for name in VENDORS} == {(Text("Hi"),)}


@pytest.mark.parametrize(
    ("arguments", "parsed"),
    [
        ('{"at":1}', {"at": 1}),
        ("", {}),
        ('"{\\"at\\":1}"', {"at": 1}),
        ("[1]", {"arguments": [1]}),
        ("{at", {"invalid_json": "{at"}),
    ],
)
def test_pitfall_16_tool_arguments_are_kept_and_parsed_leniently(arguments: str, parsed: dict[str, Any]) -> None:
    turns = (QUESTION, assistant(ToolCall("a", "look", arguments)), user(ToolResult("a", "look", "sand")))
    call = {"id": "a", "function": {"name": "look", "arguments": arguments}}

    parts = completed_parts(read_stream(chunk_stream({"tool_calls": [call]})))

    assert parts == (ToolCall("a", "look", arguments or "{}"),)
    assert anthropic_messages(*turns)[1]["content"][0]["input"] == parsed
    assert gemini_api.sent_contents(*turns)[1]["parts"][0]["functionCall"]["args"] == parsed
    assert chat(*turns)["messages"][1]["tool_calls"][0]["function"]["arguments"] == (arguments or "{}")


def test_pitfall_17_images_are_encoded_for_each_provider() -> None:
    inline, linked = Attachment("image/jpg", data=b"\xff\xd8"), Attachment("image/png", uri="https://example.com/a.png")
    turn = user(inline, linked)
    url = "https://example.com/a.png"

    anthropic = [block["source"] for block in anthropic_messages(turn)[0]["content"]]
    openai = [block["image_url"]["url"] for block in chat(turn, name="openai")["messages"][0]["content"]]
    responses = [block["image_url"] for block in responses_api.sent_input(turn)[0]["content"]]
    gemini = gemini_api.sent_contents(turn)[0]["parts"]

    assert anthropic == [{"type": "base64", "media_type": "image/jpeg", "data": "/9g="}, {"type": "url", "url": url}]
    assert openai == responses == ["data:image/jpg;base64,/9g=", url]
    assert gemini[0] == {"inlineData": {"mimeType": "image/jpeg", "data": "/9g="}}
    assert gemini[1] == {"fileData": {"mimeType": "image/png", "fileUri": url}}
    assert resolver.capability_error(
        resolver.generate_params("deepseek/deepseek-v4-pro", resolver.user_message("?", inline))
    ).violations


@pytest.mark.parametrize("provider", VENDORS)
def test_pitfall_22_first_of_several_choices_is_read_and_all_are_counted(provider: str) -> None:
    usage = {"prompt_tokens": 5, "completion_tokens": 4}
    choices = [{"index": index, "message": {"content": f"{index}"}, "finish_reason": "stop"} for index in (1, 0)]
    deltas = [{"index": index, "delta": {"content": f"{index}"}, "finish_reason": "stop"} for index in (1, 0)]
    stream = [{"choices": [delta]} for delta in deltas] + [{"choices": [], "usage": usage}]

    body = chat(name=provider, options={"n": 2})
    whole = chat_wire(provider).decode(json.dumps({"choices": choices, "usage": usage}).encode())
    streamed = read_stream(b"".join(f"data: {json.dumps(payload)}\n\n".encode() for payload in stream), provider)

    assert body["n"] == 2  # only a native option can request it
    assert completed_parts(whole) == completed_parts(streamed) == (Text("0"),)
    assert finished_event(whole) == finished_event(streamed)
    assert finished_event(whole).usage == Usage(5, 4, source=UsageSource.REPORTED)


def test_pitfall_23_json_schema_is_encoded_for_each_provider() -> None:
    schema = '{"type":"object","properties":{"name":{"type":"string"}},"required":["name"]}'
    closed = {**json.loads(schema), "additionalProperties": False}
    output_format = JsonSchemaFormat("city", schema, strict=True)

    openai = chat(name="openai", output_format=output_format)["response_format"]
    responses = responses_api.sent_body(responses_api.make_attempt(output_format=output_format))["text"]["format"]
    anthropic = anthropic_api.sent_body(anthropic_api.make_attempt(output_format=output_format))["output_config"][
        "format"
    ]
    gemini = gemini_api.sent_body(gemini_api.make_attempt(output_format=output_format))["generationConfig"]

    assert openai == {"type": "json_schema", "json_schema": {"name": "city", "schema": closed, "strict": True}}
    assert responses == {"type": "json_schema", "name": "city", "schema": closed, "strict": True}
    assert anthropic == {"type": "json_schema", "schema": closed}
    assert gemini["responseJsonSchema"]["required"] == ["name"]
    assert chat(name="deepseek", output_format=JsonObjectFormat())["response_format"] == {"type": "json_object"}
    for name in ("deepseek", "groq"):
        with pytest.raises(CapabilityUnsupported):
            chat(name=name, output_format=output_format, streaming=True)
