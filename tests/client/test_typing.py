"""Types that mypy infers: `make types` checks the assertions of this module."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Unpack, assert_type

from pydantic import BaseModel, TypeAdapter

from aimanager import AIManager, AIResponse, AsyncAIManager
from aimanager.options import RequestOptions
from tests.support.fake_gateway.messages import make_response, stream_events
from tests.support.fake_gateway.server import FakeGateway


class City(BaseModel):
    name: str


@dataclass
class Point:
    x: int


def passed_on(ai: AIManager, **options: Unpack[RequestOptions]) -> AIResponse:
    response = ai.request("Hi", **options)
    assert_type(response, AIResponse[Any])
    return response


def test_parsed_has_the_type_of_the_output(fake: FakeGateway, ai: AIManager) -> None:
    wrapped = [
        make_response("", structured_output_json=text) for text in ('{"result": [{"name": "Rome"}]}', '{"x": 1}')
    ]
    city = make_response("", structured_output_json='{"name": "Rome"}')
    fake.respond("Generate", city, *wrapped, *wrapped, city, make_response())
    fake.respond("StreamGenerate", stream_events(city, '{"name": "Rome"}'))

    assert assert_type(ai.request("Hi", output=City).parsed, City) == City(name="Rome")
    assert assert_type(ai.request("Hi", output=list[City]).parsed, list[City]) == [City(name="Rome")]
    assert assert_type(ai.request("Hi", output=Point).parsed, Point) == Point(1)
    assert assert_type(ai.request("Hi", output=TypeAdapter(list[City])).parsed, list[City])[0].name == "Rome"
    assert assert_type(ai.request("Hi", output=dict[str, int]).parsed, dict[str, int]) == {"x": 1}
    assert assert_type(ai.request("Hi", output={"type": "object"}).parsed, Any) == {"name": "Rome"}
    assert_type(ai.request("Hi"), AIResponse)
    assert assert_type(ai.stream("Hi", output=City).complete().parsed, City).name == "Rome"
    assert passed_on(ai, temperature=0.5).parsed is None


async def test_async_parsed_has_the_type_of_the_output(fake: FakeGateway, async_ai: AsyncAIManager) -> None:
    city = make_response("", structured_output_json='{"name": "Rome"}')
    fake.respond("Generate", city)
    fake.respond("StreamGenerate", stream_events(city, '{"name": "Rome"}'))

    assert assert_type((await async_ai.request("Hi", output=City)).parsed, City).name == "Rome"
    assert assert_type((await async_ai.stream("Hi", output=City).complete()).parsed, City).name == "Rome"


def test_unknown_attributes_of_parsed_are_found(fake: FakeGateway, ai: AIManager) -> None:
    fake.respond("Generate", make_response("", structured_output_json='{"name": "Rome"}'))

    assert not hasattr(ai.request("Hi", output=City).parsed, "mayor")
    _ = lambda: ai.request("Hi", output=City).parsed.mayor  # type: ignore[attr-defined]  # noqa: E731
