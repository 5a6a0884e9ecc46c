"""`output` of a request, and `parsed` of its response."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import BaseModel

from aimanager import AIManager, AsyncAIManager, InvalidRequestError
from aimanager.v1.generation_pb2 import FINISH_REASON_MAX_TOKENS, JsonObject, JsonSchema, OutputFormat
from tests.support.fake_gateway.messages import make_response, stream_events
from tests.support.fake_gateway.server import FakeGateway

SCHEMA = {"type": "object", "title": "A city!", "properties": {"name": {"type": "string"}}}
CITY_RESPONSE = make_response('{"name": "Rome"}', structured_output_json='{"name": "Rome"}')


UNDESCRIBED = type("Undescribed", (), {})


class City(BaseModel):
    name: str


class SchemaClass:
    """A class with the methods of a pydantic model."""

    def __init__(self, text: str) -> None:
        self.text = text

    @classmethod
    def model_json_schema(cls) -> dict[str, Any]:
        return SCHEMA

    @classmethod
    def model_validate_json(cls, json_data: str) -> SchemaClass:
        return cls(json_data)


def sent_format(fake: FakeGateway) -> OutputFormat:
    output_format: OutputFormat = fake.received[-1].request.output_format
    return output_format


def test_schema_is_named_by_its_title(fake: FakeGateway, ai: AIManager) -> None:
    ai.request("Hi", output=SCHEMA)

    assert sent_format(fake) == OutputFormat(json_schema=JsonSchema(name="A_city", schema_json=json.dumps(SCHEMA)))


def test_schema_without_title_has_no_name(fake: FakeGateway, ai: AIManager) -> None:
    ai.request("Hi", output={})

    assert sent_format(fake) == OutputFormat(json_schema=JsonSchema(schema_json="{}"))


def test_pydantic_model_is_sent_as_its_schema(fake: FakeGateway, ai: AIManager) -> None:
    ai.request("Hi", output=City)

    assert sent_format(fake).json_schema.name == "City"
    assert json.loads(sent_format(fake).json_schema.schema_json) == City.model_json_schema()


@pytest.mark.parametrize("output", [dict, "json"])
def test_dict_requests_any_json_object(fake: FakeGateway, ai: AIManager, output: Any) -> None:
    ai.request("Hi", output=output)

    assert sent_format(fake) == OutputFormat(json_object=JsonObject())


def test_output_format_is_sent_unchanged(fake: FakeGateway, ai: AIManager) -> None:
    output_format = OutputFormat(json_schema=JsonSchema(name="x", schema_json="{}", strict=True))

    ai.request("Hi", output=output_format)

    assert sent_format(fake) == output_format


def test_format_is_omitted_without_output(fake: FakeGateway, ai: AIManager) -> None:
    ai.request("Hi")

    assert not fake.received[-1].request.HasField("output_format")


@pytest.mark.parametrize("output", ["xml", UNDESCRIBED, 7, City(name="Rome"), {"a": {1, 2}}, {"a": float("nan")}])
def test_unsupported_output_is_rejected(fake: FakeGateway, ai: AIManager, output: Any) -> None:
    with pytest.raises(InvalidRequestError) as raised:
        ai.request("Hi", output=output)

    assert "pydantic model" in raised.value.solution
    assert fake.received == []


def test_response_is_parsed_into_a_pydantic_model(fake: FakeGateway, ai: AIManager) -> None:
    fake.respond("Generate", CITY_RESPONSE)

    assert ai.request("Hi", output=City).parsed == City(name="Rome")


def test_response_is_parsed_into_a_class_with_pydantic_methods(fake: FakeGateway, ai: AIManager) -> None:
    fake.respond("Generate", CITY_RESPONSE)

    assert ai.request("Hi", output=SchemaClass).parsed.text == '{"name": "Rome"}'


@pytest.mark.parametrize("output", [SCHEMA, dict])
def test_response_is_parsed_into_plain_values(fake: FakeGateway, ai: AIManager, output: Any) -> None:
    fake.respond("Generate", CITY_RESPONSE)

    assert ai.request("Hi", output=output).parsed == {"name": "Rome"}


def test_parsed_raises_for_a_truncated_response(fake: FakeGateway, ai: AIManager) -> None:
    fake.respond("Generate", make_response('{"name": "Ro', finish_reason=FINISH_REASON_MAX_TOKENS))

    response = ai.request("Hi", output=City)

    with pytest.raises(ValueError, match="finish_reason 'max_tokens'"):
        _ = response.parsed


def test_model_that_rejects_the_json_raises(fake: FakeGateway, ai: AIManager) -> None:
    fake.respond("Generate", make_response("{}", structured_output_json="{}"))

    with pytest.raises(ValueError, match="name"):
        _ = ai.request("Hi", output=City).parsed


def test_last_piece_of_a_stream_is_parsed(fake: FakeGateway, ai: AIManager) -> None:
    fake.respond("StreamGenerate", stream_events(CITY_RESPONSE, '{"name":', ' "Rome"}'))

    with ai.stream("Hi", output=City) as stream:
        pieces = list(stream)

    assert [piece.parsed for piece in pieces] == [None, None, City(name="Rome")]
    assert stream.response.parsed == City(name="Rome")


async def test_async_client_parses_the_same(fake: FakeGateway, async_ai: AsyncAIManager) -> None:
    fake.respond("Generate", CITY_RESPONSE)
    fake.respond("StreamGenerate", stream_events(CITY_RESPONSE, '{"name": "Rome"}'))

    response = await async_ai.request("Hi", output=City)
    stream = async_ai.stream("Hi", output=City)
    pieces = [piece async for piece in stream]

    assert response.parsed == pieces[-1].parsed == stream.response.parsed == City(name="Rome")
