"""What `output` sends, and what `parsed` gives back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import BaseModel

from aimanager import AIManager, AsyncAIManager, InvalidRequestError
from aimanager.v1.generation_pb2 import JsonSchema, OutputFormat
from tests.support.fake_gateway.server import FakeGateway, answer, events

SCHEMA = {"type": "object", "title": "A city!", "properties": {"name": {"type": "string"}}}
ROME = answer('{"name": "Rome"}', structured_output_json='{"name": "Rome"}')


class City(BaseModel):
    name: str


class Plain:
    """No pydantic, but as good."""

    def __init__(self, text: str) -> None:
        self.text = text

    @classmethod
    def model_json_schema(cls) -> dict[str, Any]:
        return SCHEMA

    @classmethod
    def model_validate_json(cls, json_data: str) -> Plain:
        return cls(json_data)


def sent(fake: FakeGateway) -> OutputFormat:
    asked: OutputFormat = fake.received[-1].request.output_format
    return asked


def test_a_schema_travels_under_its_title(fake: FakeGateway, ai: AIManager) -> None:
    ai.request("Hi", output=SCHEMA)

    assert sent(fake) == OutputFormat(json_schema=JsonSchema(name="A_city", schema_json=json.dumps(SCHEMA)))


def test_a_schema_without_a_title_has_no_name(fake: FakeGateway, ai: AIManager) -> None:
    ai.request("Hi", output={})

    assert sent(fake) == OutputFormat(json_schema=JsonSchema(schema_json="{}"))


def test_a_model_travels_as_its_schema(fake: FakeGateway, ai: AIManager) -> None:
    ai.request("Hi", output=City)

    assert sent(fake).json_schema.name == "City"
    assert json.loads(sent(fake).json_schema.schema_json) == City.model_json_schema()


@pytest.mark.parametrize("output", [dict, "json"])
def test_any_json_object_can_be_asked_for(fake: FakeGateway, ai: AIManager, output: Any) -> None:
    ai.request("Hi", output=output)

    assert sent(fake) == OutputFormat(json=True)


def test_a_format_that_is_ready_travels_as_it_is(fake: FakeGateway, ai: AIManager) -> None:
    ready = OutputFormat(json_schema=JsonSchema(name="x", schema_json="{}", strict=True))

    ai.request("Hi", output=ready)

    assert sent(fake) == ready


def test_without_output_no_format_is_sent(fake: FakeGateway, ai: AIManager) -> None:
    ai.request("Hi")

    assert not fake.received[-1].request.HasField("output_format")


@pytest.mark.parametrize("output", ["xml", int, 7, City(name="Rome"), {"a": {1, 2}}, {"a": float("nan")}])
def test_what_is_no_output_is_refused_before_it_is_sent(fake: FakeGateway, ai: AIManager, output: Any) -> None:
    with pytest.raises(InvalidRequestError) as raised:
        ai.request("Hi", output=output)

    assert "pydantic model" in raised.value.solution
    assert fake.received == []


def test_an_answer_is_parsed_into_its_model(fake: FakeGateway, ai: AIManager) -> None:
    fake.will("Generate", ROME)

    assert ai.request("Hi", output=City).parsed == City(name="Rome")


def test_any_class_that_reads_json_will_do(fake: FakeGateway, ai: AIManager) -> None:
    fake.will("Generate", ROME)

    assert ai.request("Hi", output=Plain).parsed.text == '{"name": "Rome"}'


@pytest.mark.parametrize("output", [SCHEMA, dict])
def test_an_answer_is_parsed_into_plain_values(fake: FakeGateway, ai: AIManager, output: Any) -> None:
    fake.will("Generate", ROME)

    assert ai.request("Hi", output=output).parsed == {"name": "Rome"}


def test_an_answer_that_was_cut_has_nothing_parsed(fake: FakeGateway, ai: AIManager) -> None:
    fake.will("Generate", answer('{"name": "Ro'))

    assert ai.request("Hi", output=City).parsed is None


def test_a_model_that_refuses_says_so(fake: FakeGateway, ai: AIManager) -> None:
    fake.will("Generate", answer("{}", structured_output_json="{}"))

    with pytest.raises(ValueError, match="name"):
        _ = ai.request("Hi", output=City).parsed


def test_a_stream_is_parsed_at_its_end(fake: FakeGateway, ai: AIManager) -> None:
    fake.will("StreamGenerate", events(ROME, '{"name":', ' "Rome"}'))

    with ai.stream("Hi", output=City) as stream:
        pieces = list(stream)

    assert [piece.parsed for piece in pieces] == [None, None, City(name="Rome")]
    assert stream.response.parsed == City(name="Rome")


async def test_it_is_the_same_for_asyncio(fake: FakeGateway, async_ai: AsyncAIManager) -> None:
    fake.will("Generate", ROME)
    fake.will("StreamGenerate", events(ROME, '{"name": "Rome"}'))

    response = await async_ai.request("Hi", output=City)
    stream = async_ai.stream("Hi", output=City)
    pieces = [piece async for piece in stream]

    assert response.parsed == pieces[-1].parsed == stream.response.parsed == City(name="Rome")
