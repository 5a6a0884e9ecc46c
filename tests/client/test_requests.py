"""Requests: every option, and validation before sending."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from aimanager import (
    AIConfig,
    AIManager,
    AsyncAIManager,
    ConfigurationError,
    InvalidRequestError,
    Part,
    Prompt,
    ReasoningOptions,
    ToolChoice,
    attachment,
    image,
    user,
)
from aimanager.options import RequestOptions
from aimanager.v1 import content_pb2, generation_pb2
from aimanager.v1.content_pb2 import CacheHint
from aimanager.v1.generation_pb2 import PromptOptimization
from tests.support.fake_gateway.server import FakeGateway

PNG = b"\x89PNG\r\n\x1a\n"
BARE_REQUEST = generation_pb2.GenerateRequest(model="mock/latest", messages=[user("Hi")], extract_artifacts=True)


def sent_request(fake: FakeGateway) -> generation_pb2.GenerateRequest:
    request: generation_pb2.GenerateRequest = fake.received[-1].request
    request.ClearField("idempotency_key")
    return request


def weather(city: str) -> str:
    """Return the weather."""
    return city


def test_str_is_a_user_message_to_the_default_model(fake: FakeGateway, ai: AIManager) -> None:
    ai.request("Hi")

    assert sent_request(fake) == BARE_REQUEST


def test_every_option_is_sent(fake: FakeGateway, ai: AIManager) -> None:
    ai.request(
        "Hi",
        model="fast",
        system="Be brief",
        temperature=0.0,
        max_tokens=7,
        top_p=0.5,
        top_k=3,
        seed=0,
        stop=["END"],
        tools=[weather],
        tool_choice="required",
        reasoning="high",
        attachments=[PNG],
        provider_options={"mock": {"delay": 0}},
        labels={"team": "a"},
        end_user_id="u-1",
        cache_hint="long",
        extract_artifacts=False,
        optimize=["history", "whitespace", "history"],
    )

    assert sent_request(fake) == generation_pb2.GenerateRequest(
        model="mock/fast",
        messages=[user(image(PNG), "Hi")],
        system_instruction="Be brief",
        sampling=generation_pb2.SamplingOptions(
            temperature=0.0, max_output_tokens=7, top_p=0.5, top_k=3, seed=0, stop_sequences=["END"]
        ),
        reasoning=ReasoningOptions(effort=generation_pb2.REASONING_EFFORT_HIGH, include_if_available=True),
        tools=[
            generation_pb2.Tool(
                name="weather",
                description="Return the weather.",
                input_schema_json='{"type": "object", "properties": {"city": {"type": "string"}}, '
                '"required": ["city"], "additionalProperties": false}',
            )
        ],
        tool_choice=ToolChoice(mode=generation_pb2.TOOL_MODE_REQUIRED),
        provider_options_json={"mock": '{"delay": 0}'},
        labels={"team": "a"},
        end_user_id="u-1",
        cache_hint=CacheHint.CACHE_HINT_LONG,
        optimizations=[
            PromptOptimization.PROMPT_OPTIMIZATION_HISTORY,
            PromptOptimization.PROMPT_OPTIMIZATION_WHITESPACE,
        ],
    )


def test_none_leaves_options_unset(fake: FakeGateway, ai: AIManager) -> None:
    ai.request(
        "Hi",
        model=None,
        temperature=None,
        tools=None,
        reasoning=None,
        timeout=None,
        stop=None,
        end_user_id=None,
        cache_hint=None,
        optimize=None,
        extract_artifacts=None,
    )

    assert sent_request(fake) == BARE_REQUEST


def test_each_request_has_its_own_idempotency_key(fake: FakeGateway, ai: AIManager) -> None:
    ai.request("Hi")
    ai.request("Hi")

    keys = {call.request.idempotency_key for call in fake.received}
    assert len(keys - {""}) == 2


def test_given_idempotency_key_is_sent(fake: FakeGateway, ai: AIManager) -> None:
    ai.request("Hi", idempotency_key="mine")

    assert fake.received[0].request.idempotency_key == "mine"


@pytest.mark.parametrize(
    ("reasoning", "expected"),
    [
        (True, ReasoningOptions(effort=generation_pb2.REASONING_EFFORT_MEDIUM, include_if_available=True)),
        (False, ReasoningOptions(effort=generation_pb2.REASONING_EFFORT_NONE)),
        ("none", ReasoningOptions(effort=generation_pb2.REASONING_EFFORT_NONE)),
        (ReasoningOptions(budget_tokens=100), ReasoningOptions(budget_tokens=100)),
    ],
)
def test_reasoning_is_an_effort_a_bool_or_options(
    fake: FakeGateway, ai: AIManager, reasoning: bool | ReasoningOptions, expected: ReasoningOptions
) -> None:
    ai.request("Hi", reasoning=reasoning)

    assert sent_request(fake).reasoning == expected


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("auto", ToolChoice(mode=generation_pb2.TOOL_MODE_AUTO)),
        ("none", ToolChoice(mode=generation_pb2.TOOL_MODE_NONE)),
        ("weather", ToolChoice(tool_name="weather")),
        (ToolChoice(parallel=False), ToolChoice(parallel=False)),
    ],
)
def test_tool_choice_is_a_mode_a_tool_or_a_tool_choice(
    fake: FakeGateway, ai: AIManager, choice: str | ToolChoice, expected: ToolChoice
) -> None:
    ai.request("Hi", tools=[weather], tool_choice=choice)

    assert sent_request(fake).tool_choice == expected


def test_stop_is_a_str_or_a_list(fake: FakeGateway, ai: AIManager) -> None:
    ai.request("Hi", stop="END")

    assert sent_request(fake).sampling.stop_sequences == ["END"]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (RequestOptions(max_tokens=10**12), "max_tokens must be a 32-bit integer, got 1000000000000"),
        (RequestOptions(temperature="hot"), "temperature must be a number, got 'hot'"),  # type: ignore[typeddict-item]
        (RequestOptions(reasoning="deep"), "reasoning must be one of none, minimal"),  # type: ignore[typeddict-item]
        (RequestOptions(provider_options={"mock": {"x": float("nan")}}), "['mock'] must be a JSON object"),
        (RequestOptions(provider_options={"mock": 3}), "provider_options['mock'] must be a dict, got int"),  # type: ignore[dict-item]
        (RequestOptions(attachments=["/nowhere/at.all"]), "Cannot read attachment '/nowhere/at.all'"),
    ],
)
def test_invalid_option_names_the_parameter_and_value(ai: AIManager, options: RequestOptions, named: str) -> None:
    with pytest.raises(InvalidRequestError) as rejected:
        ai.request("Hi", **options)

    assert named in str(rejected.value)


def test_unknown_keyword_suggests_the_closest(ai: AIManager) -> None:
    with pytest.raises(TypeError, match=r"'temprature'\. Did you mean 'temperature'"):
        ai.request("Hi", temprature=1)  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ({"stream": True}, r"Call stream\(\) instead"),
        ({"response_model": dict}, "Did you mean 'output'"),
        ({"instructions": "Be brief."}, "Did you mean 'system'"),
        ({"extra_body": {}}, "Did you mean 'provider_options'"),
    ],
)
def test_keyword_of_another_library_names_the_option_of_this_one(ai: AIManager, options: Any, hint: str) -> None:
    with pytest.raises(TypeError, match=hint):
        ai.request("Hi", **options)


@pytest.mark.parametrize(
    ("prompt", "named"),
    [
        (3, "prompt must be a text or a message, got int"),
        (b"Hi", "prompt must be a text or a message, got bytes"),
        (["Hi", 3], r"prompt\[1\] must be a text or a message, got int"),
        ({"role": "user"}, r"prompt\['content'\] must be a str or a list of parts, got NoneType"),
        ([{"role": "bot", "content": "Hi"}], r"prompt\[0\]\['role'\] must be 'user' or 'assistant', got 'bot'"),
        ({"role": "tool", "content": "Hi"}, r"prompt\['role'\] must be"),
        ({"role": "user", "content": "Hi", "nme": "x"}, "prompt has an unknown key 'nme'"),
        ({"role": "user", "content": [3]}, r"prompt\['content'\]\[0\] must be a str, an attachment or a part, got 3"),
        ({"role": "user", "content": [{"txt": "Hi"}]}, "not a Part"),
        (["Hi", ("system", "Be brief.")], r"prompt\[1\] is a system message after another message"),
    ],
)
def test_unsupported_prompt_says_what_to_pass(ai: AIManager, prompt: Any, named: str) -> None:
    with pytest.raises(InvalidRequestError, match=named) as raised:
        ai.request(prompt)

    assert raised.value.solution


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"attachments": [3]}, "An attachment must be a path, an https URL, bytes or an Attachment, got int"),
        ({"attachments": 3}, "attachments must be a list, got int"),
        ({"tools": "weather"}, "tools must be a list of functions, got 'weather'"),
        ({"tools": [3]}, r"tools\[0\] must be a function or a Tool, got int"),
        ({"system": 3}, "system must be a str, got int"),
        ({"system": "a"}, "both have a system instruction"),
        ({"model": 3}, "model must be a str, got int"),
        ({"fallback_models": 3}, "fallback_models must be a list of names, got 3"),
        ({"stop": 3}, "stop must be a text or a list of texts, got int"),
        ({"stop": [3]}, "stop must be a str, got int"),
        ({"labels": ["a"]}, "labels must be a dict, got list"),
        ({"reasoning": 3}, "reasoning must be one of none, .*, max, got 3"),
        ({"reasoning": {"effort": "high"}}, "reasoning must be one of none, .*, max, got {'effort'"),
    ],
)
def test_unsupported_type_of_an_option_says_what_to_pass(ai: AIManager, options: Any, named: str) -> None:
    with pytest.raises(InvalidRequestError, match=named) as raised:
        ai.request([("system", "b"), "Hi"], **options)

    assert raised.value.solution


def test_prompts_are_written_as_people_type_them(fake: FakeGateway, ai: AIManager) -> None:
    prompts: list[Prompt] = [
        {"role": "user", "content": "Hi"},
        ("user", "Hi"),
        [{"role": "system", "content": "Be brief."}, {"role": "user", "content": ["Hi"]}],
        (("system", "Be brief."), {"role": "user", "content": [{"type": "text", "text": "Hi"}]}),
        [{"role": "user", "content": [{"text": "Hi"}]}],
        ("Hi",),
    ]
    for prompt in prompts:
        ai.request(prompt)

    sent = [call.request for call in fake.received]
    assert [list(request.messages) for request in sent] == [[user("Hi")]] * 6
    assert [request.system_instruction for request in sent] == ["", "", "Be brief.", "Be brief.", "", ""]


def test_other_names_of_options_are_accepted(fake: FakeGateway, ai: AIManager) -> None:
    ai.request("Hi", response_format={"type": "json_object"}, enable_reasoning=True)
    ai.request("Hi", reasoning_mode="low", reasoning=None)
    with pytest.raises(TypeError, match="reasoning under two names"):
        ai.request("Hi", reasoning_mode="low", reasoning="high")

    sent = [call.request for call in fake.received]
    assert sent[0].output_format.HasField("json_object")
    assert [request.reasoning.effort for request in sent] == [
        generation_pb2.REASONING_EFFORT_MEDIUM,
        generation_pb2.REASONING_EFFORT_LOW,
    ]


def test_one_attachment_and_one_tool_need_no_list(
    fake: FakeGateway, ai: AIManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "main.rs").write_text("fn main() {}")
    monkeypatch.setenv("HOME", str(tmp_path))

    ai.request("Hi", attachments="~/main.rs", tools=weather)

    [request] = [call.request for call in fake.received]
    file = request.messages[0].parts[0].attachment
    assert (file.filename, file.mime_type, file.data) == ("main.rs", "text/plain", b"fn main() {}")
    assert [tool.name for tool in request.tools] == ["weather"]


def test_file_above_the_limit_is_not_read(ai: AIManager, tmp_path: Path) -> None:
    large = tmp_path / "large.bin"
    with large.open("wb") as file:
        file.truncate(60_000_000)

    with pytest.raises(InvalidRequestError, match=r"has 57\.2 MiB; a request can have at most 36 MiB") as raised:
        ai.request("Hi", attachments=large)

    assert raised.value.reason == "PAYLOAD_TOO_LARGE"


def test_config_enables_reasoning(fake: FakeGateway) -> None:
    with AIManager("", "mock", config=AIConfig(enable_reasoning=True), target=fake.target) as ai:
        ai.request("Hi")

    assert sent_request(fake).reasoning.effort == generation_pb2.REASONING_EFFORT_MEDIUM


def test_config_disables_images(fake: FakeGateway) -> None:
    config = AIConfig(enable_vision=False)
    result = content_pb2.ToolResult(tool_call_id="1", attachments=[image(PNG)])
    with AIManager("", "mock", config=config, target=fake.target) as ai:
        for prompt in (user(image(PNG)), user(Part(tool_result=result))):
            with pytest.raises(ConfigurationError, match="enable_vision"):
                ai.request(prompt)
        ai.request("Read this", attachments=[b"text"])

    assert len(fake.received) == 1


def test_threads_share_a_client(fake: FakeGateway, ai: AIManager) -> None:
    contents: list[str] = []
    threads = [threading.Thread(target=lambda: contents.append(ai.request("Hi").content)) for _ in range(8)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert contents == ["Hello."] * 8


async def test_async_client_sends_the_same(fake: FakeGateway, async_ai: AsyncAIManager, tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("remember")

    response = await async_ai.request("Hi", temperature=0.5, attachments=[notes])

    assert response.content == "Hello."
    assert fake.received[0].request.idempotency_key
    assert sent_request(fake) == generation_pb2.GenerateRequest(
        model="mock/latest",
        messages=[user(attachment(b"remember", filename="notes.txt"), "Hi")],
        sampling=generation_pb2.SamplingOptions(temperature=0.5),
        extract_artifacts=True,
    )


@pytest.mark.parametrize(
    ("optimize", "description"),
    [
        ("spaces", "must be one of whitespace, history, got 'spaces'"),
        (7, "must be a list of words, got 7"),
        (["history", ""], "must be one of"),
    ],
)
def test_an_unknown_optimization_is_rejected(ai: AIManager, optimize: Any, description: str) -> None:
    with pytest.raises(InvalidRequestError, match=f"optimize {description}"):
        ai.request("Hi", optimize=optimize)
    with pytest.raises(InvalidRequestError, match=f"optimize {description}"):
        AIManager("key", provider="mock", optimize=optimize)


def test_the_client_has_a_default_for_optimize(fake: FakeGateway) -> None:
    with AIManager("key", provider="mock", target=fake.target, optimize="history") as ai:
        ai.request("Hi")
        ai.request("Hi", optimize=[])
        ai.batch([{"prompt": "Hi", "optimize": "whitespace"}])

    assert [list(call.request.optimizations) for call in fake.received] == [
        [PromptOptimization.PROMPT_OPTIMIZATION_HISTORY],
        [],
        [PromptOptimization.PROMPT_OPTIMIZATION_WHITESPACE],
    ]
