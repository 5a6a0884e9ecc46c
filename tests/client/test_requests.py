"""What a request sends, and what its answer tells."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from aimanager import (
    AIConfig,
    AIManager,
    AsyncAIManager,
    ConfigurationError,
    InvalidRequestError,
    Part,
    ReasoningOptions,
    ToolChoice,
    attachment,
    image,
    user,
)
from aimanager.options import RequestOptions
from aimanager.v1 import content_pb2, generation_pb2
from tests.support.fake_gateway.server import FakeGateway

PNG = b"\x89PNG\r\n\x1a\n"


def sent(fake: FakeGateway) -> generation_pb2.GenerateRequest:
    request: generation_pb2.GenerateRequest = fake.received[-1].request
    request.ClearField("idempotency_key")
    return request


def weather(city: str) -> str:
    """Tells the weather."""
    return city


def test_a_text_becomes_a_user_turn_to_the_default_model(fake: FakeGateway, ai: AIManager) -> None:
    ai.request("Hi")

    assert sent(fake) == generation_pb2.GenerateRequest(model="mock/latest", messages=[user("Hi")])


def test_every_option_travels(fake: FakeGateway, ai: AIManager) -> None:
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
    )

    assert sent(fake) == generation_pb2.GenerateRequest(
        model="mock/fast",
        messages=[user(image(PNG), "Hi")],
        system_instruction="Be brief",
        sampling=generation_pb2.SamplingOptions(
            temperature=0.0, max_output_tokens=7, top_p=0.5, top_k=3, seed=0, stop_sequences=["END"]
        ),
        reasoning=ReasoningOptions(effort=generation_pb2.REASONING_EFFORT_HIGH, include=True),
        tools=[
            generation_pb2.Tool(
                name="weather",
                description="Tells the weather.",
                input_schema_json='{"type": "object", "properties": {"city": {"type": "string"}}, '
                '"required": ["city"], "additionalProperties": false}',
            )
        ],
        tool_choice=ToolChoice(mode=generation_pb2.TOOL_MODE_REQUIRED),
        provider_options_json={"mock": '{"delay": 0}'},
        labels={"team": "a"},
    )


def test_none_is_not_said(fake: FakeGateway, ai: AIManager) -> None:
    ai.request("Hi", model=None, temperature=None, tools=None, reasoning=None, timeout=None, stop=None)

    assert sent(fake) == generation_pb2.GenerateRequest(model="mock/latest", messages=[user("Hi")])


def test_each_request_has_an_idempotency_key_of_its_own(fake: FakeGateway, ai: AIManager) -> None:
    ai.request("Hi")
    ai.request("Hi")

    keys = {call.request.idempotency_key for call in fake.received}
    assert len(keys - {""}) == 2


def test_a_given_idempotency_key_is_kept(fake: FakeGateway, ai: AIManager) -> None:
    ai.request("Hi", idempotency_key="mine")

    assert fake.received[0].request.idempotency_key == "mine"


@pytest.mark.parametrize(
    ("reasoning", "told"),
    [
        (True, ReasoningOptions(effort=generation_pb2.REASONING_EFFORT_MEDIUM, include=True)),
        (False, ReasoningOptions(effort=generation_pb2.REASONING_EFFORT_NONE)),
        ("none", ReasoningOptions(effort=generation_pb2.REASONING_EFFORT_NONE)),
        (ReasoningOptions(budget_tokens=100), ReasoningOptions(budget_tokens=100)),
    ],
)
def test_reasoning_may_be_said_in_several_ways(
    fake: FakeGateway, ai: AIManager, reasoning: bool | ReasoningOptions, told: ReasoningOptions
) -> None:
    ai.request("Hi", reasoning=reasoning)

    assert sent(fake).reasoning == told


@pytest.mark.parametrize(
    ("choice", "told"),
    [
        ("auto", ToolChoice(mode=generation_pb2.TOOL_MODE_AUTO)),
        ("none", ToolChoice(mode=generation_pb2.TOOL_MODE_NONE)),
        ("weather", ToolChoice(tool_name="weather")),
        (ToolChoice(parallel=False), ToolChoice(parallel=False)),
    ],
)
def test_a_tool_choice_is_a_mode_or_a_tool(
    fake: FakeGateway, ai: AIManager, choice: str | ToolChoice, told: ToolChoice
) -> None:
    ai.request("Hi", tools=[weather], tool_choice=choice)

    assert sent(fake).tool_choice == told


def test_one_stop_sequence_needs_no_list(fake: FakeGateway, ai: AIManager) -> None:
    ai.request("Hi", stop="END")

    assert sent(fake).sampling.stop_sequences == ["END"]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (RequestOptions(max_tokens=10**12), "max_tokens cannot be 1000000000000"),
        (RequestOptions(temperature="hot"), "temperature cannot be 'hot'"),  # type: ignore[typeddict-item]
        (RequestOptions(reasoning="deep"), "reasoning cannot be 'deep'"),  # type: ignore[typeddict-item]
        (RequestOptions(provider_options={"mock": {"x": float("nan")}}), "'mock'"),
        (RequestOptions(provider_options={"mock": 3}), "must be a dict"),  # type: ignore[dict-item]
        (RequestOptions(attachments=["/nowhere/at.all"]), "'/nowhere/at.all'"),
    ],
)
def test_what_cannot_be_sent_is_named(ai: AIManager, options: RequestOptions, named: str) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        ai.request("Hi", **options)

    assert named in str(refused.value)


def test_an_unknown_keyword_names_the_nearest(ai: AIManager) -> None:
    with pytest.raises(TypeError, match=r"'temprature'\. Did you mean 'temperature'"):
        ai.request("Hi", temprature=1)  # type: ignore[call-arg]


def test_a_prompt_of_another_type_is_a_type_error(ai: AIManager) -> None:
    with pytest.raises(TypeError, match="not int"):
        ai.request([3])  # type: ignore[list-item]


def test_reasoning_is_on_where_the_config_says_so(fake: FakeGateway) -> None:
    with AIManager("", "mock", config=AIConfig(enable_reasoning=True), target=fake.target) as ai:
        ai.request("Hi")

    assert sent(fake).reasoning.effort == generation_pb2.REASONING_EFFORT_MEDIUM


def test_images_are_refused_where_the_config_says_so(fake: FakeGateway) -> None:
    config = AIConfig(enable_vision=False)
    drawn = content_pb2.ToolResult(tool_call_id="1", attachments=[image(PNG)])
    with AIManager("", "mock", config=config, target=fake.target) as ai:
        for prompt in (user(image(PNG)), user(Part(tool_result=drawn))):
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


async def test_the_async_client_sends_the_same(fake: FakeGateway, async_ai: AsyncAIManager, tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("remember")

    response = await async_ai.request("Hi", temperature=0.5, attachments=[notes])

    assert response.content == "Hello."
    assert fake.received[0].request.idempotency_key
    assert sent(fake) == generation_pb2.GenerateRequest(
        model="mock/latest",
        messages=[user(attachment(b"remember", filename="notes.txt"), "Hi")],
        sampling=generation_pb2.SamplingOptions(temperature=0.5),
    )
