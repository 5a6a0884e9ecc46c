"""`run`: the loop of requests and tools."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from pydantic import BaseModel

from aimanager import AIManager, AsyncAIManager, InvalidRequestError, ToolCall, ToolRoundsExceededError, tool
from aimanager._convert.function_arguments import convert_arguments
from aimanager.v1 import content_pb2, generation_pb2
from tests.support.fake_gateway.messages import make_response
from tests.support.fake_gateway.server import FakeGateway


def calls(*tool_calls: ToolCall) -> generation_pb2.GenerateResponse:
    parts = [content_pb2.Part(tool_call=call.proto) for call in tool_calls]
    message = content_pb2.Message(role=content_pb2.ROLE_ASSISTANT, parts=parts)
    return make_response(message=message, finish_reason=generation_pb2.FINISH_REASON_TOOL_CALLS)


ROME = ToolCall.build("weather", {"city": "Rome"})
CALLS_AND_ANSWER = calls(ROME, ToolCall.build("weather", {"city": "Oslo"}, id="2")), make_response("Sunny.")


def weather(city: str) -> dict[str, str]:
    """Return the weather."""
    if city == "Oslo":
        raise LookupError("no such city")
    return {"sky": f"blue in {city}"}


async def async_weather(city: str) -> str:
    """Return the weather."""
    await asyncio.sleep(0)
    return f"Sunny in {city}."


def sent_results(fake: FakeGateway) -> list[tuple[str, bool]]:
    results = [part.tool_result for part in fake.received[-1].request.messages[-1].parts]
    return [(result.output, result.is_error) for result in results]


def test_tools_run_until_the_model_answers(fake: FakeGateway, ai: AIManager) -> None:
    fake.respond("Generate", *CALLS_AND_ANSWER)

    result = ai.run("Hi", [weather], tool_choice="required", idempotency_key="k", attachments=[b"text"])

    assert (str(result), len(result.messages), len(result.responses)) == ("Sunny.", 4, 2)
    assert result.usage.total_tokens == 10
    assert sent_results(fake) == [('{"sky": "blue in Rome"}', False), ("LookupError: no such city", True)]
    assert [call.request.idempotency_key for call in fake.received] == ["k", "k.1"]
    assert [call.request.HasField("tool_choice") for call in fake.received] == [True, False]
    assert [len(call.request.messages[0].parts) for call in fake.received] == [2, 2]


async def test_async_tools_and_functions_run(fake: FakeGateway, async_ai: AsyncAIManager) -> None:
    fake.respond(
        "Generate", calls(ROME, ToolCall.build("async_weather", {"city": "Oslo"}, id="2")), make_response("Sunny.")
    )

    result = await async_ai.run("Hi", [weather, async_weather])

    assert str(result) == "Sunny."
    assert sent_results(fake) == [('{"sky": "blue in Rome"}', False), ("Sunny in Oslo.", False)]


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        (ToolCall.build("wether"), "LookupError: unknown tool 'wether'; the tools are weather"),
        (ToolCall.build("weather", {}), "TypeError: missing a required argument: 'city'"),
        (ToolCall.build("weather", {"city": 3}), "ValueError: argument 'city': must be str, got 3"),
        (ToolCall(content_pb2.ToolCall(id="1", name="weather", arguments_json="[]")), "must be a JSON object"),
    ],
)
def test_invalid_call_is_reported_to_the_model(fake: FakeGateway, ai: AIManager, call: ToolCall, problem: str) -> None:
    fake.respond("Generate", calls(call), make_response("Sunny."))

    ai.run("Hi", [weather])

    [(output, is_error)] = sent_results(fake)
    assert is_error
    assert problem in output


def test_result_has_the_structured_output_of_the_last_response(fake: FakeGateway, ai: AIManager) -> None:
    fake.respond("Generate", calls(ROME), make_response("{}", structured_output_json='{"name": "Rome"}'))

    result = ai.run("Hi", [weather], output=City)

    assert result.parsed == City(name="Rome")


def test_value_of_a_tool_is_sent_as_the_json_of_its_fields(fake: FakeGateway, ai: AIManager) -> None:
    def lookup(city: str) -> City:
        return City(name=city)

    fake.respond("Generate", calls(ToolCall.build("lookup", {"city": "Rome"})), make_response("Found."))

    ai.run("Hi", [lookup])

    assert sent_results(fake) == [('{"name": "Rome"}', False)]


def test_error_of_a_tool_is_raised_if_chosen(fake: FakeGateway, ai: AIManager) -> None:
    fake.respond("Generate", *CALLS_AND_ANSWER)

    with pytest.raises(LookupError, match="no such city"):
        ai.run("Hi", [weather], on_tool_error="raise")

    assert len(fake.received) == 1


async def test_rounds_are_limited(fake: FakeGateway, ai: AIManager, async_ai: AsyncAIManager) -> None:
    fake.respond("Generate", calls(ROME))

    with pytest.raises(ToolRoundsExceededError, match="in 3 responses") as raised:
        ai.run("Hi", [weather], max_rounds=3)
    with pytest.raises(ToolRoundsExceededError):
        await async_ai.run("Hi", [weather], max_rounds=1)

    assert len(fake.received) == 4
    assert len(raised.value.messages) == 6


def unnamed() -> None:
    """Have the name of another tool."""


unnamed.__name__ = "weather"


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"tools": [async_weather]}, "coroutine function"),
        ({"tools": [tool("lookup")]}, "must be a function, got Tool"),
        ({"tools": [weather, unnamed]}, "two tools are named 'weather'"),
        ({"tools": [weather], "max_rounds": 0}, "max_rounds must be a positive integer, got 0"),
        ({"tools": [weather], "on_tool_error": "ignore"}, "on_tool_error must be report or raise"),
        ({"tools": [weather], "max_turns": 3}, "Did you mean 'max_rounds'"),
    ],
)
def test_invalid_run_is_rejected(fake: FakeGateway, ai: AIManager, arguments: dict[str, Any], problem: str) -> None:
    with pytest.raises((InvalidRequestError, TypeError), match=problem):
        ai.run("Hi", **arguments)

    assert not fake.received


class Unit(Enum):
    CELSIUS = "c"


class City(BaseModel):
    name: str


def forecast(
    day: date,
    at: datetime,
    order: UUID,
    price: Decimal,
    unit: Unit = Unit.CELSIUS,
    days: list[date] | None = None,
    mode: Literal["short", "long"] = "short",
    share: float = 0.5,
    cities: dict[str, City] | None = None,
    tags: Annotated[set[str], "Any tags"] = frozenset(),  # type: ignore[assignment]
) -> None:
    """Return the forecast.

    Args:
        day: First day
            of the forecast.
        at (datetime): Time of the order.
        tags: Not used, since the hint has a description.

    Returns:
        Nothing.
    """


def test_docstring_and_types_describe_the_parameters() -> None:
    described = tool(forecast)
    properties = json.loads(described.input_schema_json)["properties"]

    assert described.description == "Return the forecast.\n\nReturns:\n    Nothing."
    assert properties["day"] == {"type": "string", "format": "date", "description": "First day of the forecast."}
    assert properties["at"] == {"type": "string", "format": "date-time", "description": "Time of the order."}
    assert properties["order"] == {"type": "string", "format": "uuid"}
    assert properties["price"]["type"] == "string"
    assert properties["unit"] == {"enum": ["c"]}
    assert properties["tags"]["description"] == "Any tags"


def test_arguments_are_converted_to_the_type_hints() -> None:
    order = "12345678-1234-5678-1234-567812345678"
    arguments: dict[str, Any] = {
        "day": "2026-11-27",
        "at": "2026-11-27T10:00:00",
        "order": order,
        "price": 1.1,
        "unit": "c",
        "days": ["2026-11-28"],
        "mode": "long",
        "share": 1,
        "cities": {"a": {"name": "Rome"}},
        "tags": ["x", "x"],
    }

    assert convert_arguments(forecast, arguments) == {
        "day": date(2026, 11, 27),
        "at": datetime(2026, 11, 27, 10),
        "order": UUID(order),
        "price": Decimal("1.1"),
        "unit": Unit.CELSIUS,
        "days": [date(2026, 11, 28)],
        "mode": "long",
        "share": 1.0,
        "cities": {"a": City(name="Rome")},
        "tags": {"x"},
    }


@pytest.mark.parametrize(
    ("function", "value"),
    [
        (lambda: date, "tomorrow"),
        (lambda: Decimal, "much"),
        (lambda: Unit, "f"),
        (lambda: int, True),
        (lambda: Literal["a"], "b"),
        (lambda: list[int], {"a": 1}),
        (lambda: int | date, "x"),
        (lambda: None, 3),
    ],
)
def test_arguments_that_do_not_fit_name_the_parameter(function: Callable[[], Any], value: Any) -> None:
    def use(value: Any) -> None: ...

    use.__annotations__["value"] = function()

    with pytest.raises(ValueError, match="argument 'value': "):
        convert_arguments(use, {"value": value})
