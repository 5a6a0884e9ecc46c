"""What is refused in the fields of a question, apart from its turns."""

from __future__ import annotations

import math
from typing import Any

import pytest

from aimanager_server.config.settings import Limits
from aimanager_server.core.content import ReasoningOptions, Sampling, Text, Tool, ToolChoice, ToolMode
from aimanager_server.core.errors import InvalidRequest
from tests.support.resolver import WEATHER, ask, resolve, resolver, user


def refused(**fields: Any) -> dict[str, str]:
    """The violations of a question to the mock, by field."""
    with pytest.raises(InvalidRequest) as fault:
        resolve(ask("mock/latest", **fields))
    return {violation.field: violation.description for violation in fault.value.violations}


@pytest.mark.parametrize(
    ("sampling", "field", "said"),
    [
        (Sampling(temperature=2.1), "sampling.temperature", "2.1 is outside 0.0 to 2.0"),
        (Sampling(temperature=-0.1), "sampling.temperature", "-0.1 is outside"),
        (Sampling(temperature=math.nan), "sampling.temperature", "nan is outside"),
        (Sampling(temperature=math.inf), "sampling.temperature", "inf is outside"),
        (Sampling(top_p=1.01), "sampling.top_p", "1.01 is outside 0.0 to 1.0"),
        (Sampling(top_p=-1.0), "sampling.top_p", "-1.0 is outside"),
        (Sampling(top_k=0), "sampling.top_k", "0 is below 1"),
        (Sampling(max_output_tokens=0), "sampling.max_output_tokens", "0 is below 1"),
        (Sampling(max_output_tokens=-5), "sampling.max_output_tokens", "-5 is below 1"),
        (Sampling(stop_sequences=("a", "")), "sampling.stop_sequences[1]", "is empty"),
    ],
)
def test_a_sampling_value_out_of_range_is_refused(sampling: Sampling, field: str, said: str) -> None:
    found = refused(sampling=sampling)

    assert list(found) == [field]
    assert said in found[field]


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(temperature=0.0, top_p=0.0, top_k=1, max_output_tokens=1),
        Sampling(temperature=2.0, top_p=1.0, seed=-1, stop_sequences=("END",)),
    ],
)
def test_the_ends_of_each_range_belong_to_it(sampling: Sampling) -> None:
    assert resolve(ask("mock/latest", sampling=sampling)).target.sampling == sampling


def test_a_budget_is_at_least_one() -> None:
    assert refused(reasoning=ReasoningOptions(budget_tokens=0)) == {"reasoning.budget_tokens": "0 is below 1"}


@pytest.mark.parametrize("name", ["", "get weather", "naïve", "x" * 65, "a.b", "ok\n"])
def test_a_tool_name_has_letters_digits_and_two_signs(name: str) -> None:
    found = refused(tools=(Tool(name),))

    assert list(found) == ["tools[0].name"]
    assert "is no tool name" in found["tools[0].name"]


def test_a_tool_name_is_there_once() -> None:
    assert refused(tools=(WEATHER, Tool("b"), WEATHER)) == {"tools[2].name": "'get_weather' is there twice"}


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ("{", "is not JSON"),
        ("NaN", "is not JSON"),
        ("[]", "is not a JSON object"),
        ('"text"', "is not a JSON object"),
        ('{"a":' * 65 + "1" + "}" * 65, "is nested deeper than 64 levels"),
        ('{"a":' * 100_000, "is not JSON"),
    ],
)
def test_a_schema_is_a_json_object_of_bounded_depth(schema: str, said: str) -> None:
    assert refused(tools=(Tool("f", input_schema_json=schema),)) == {"tools[0].input_schema_json": said}


@pytest.mark.parametrize("schema", ["", "{}", '{"a":' * 64 + "1" + "}" * 64])
def test_a_schema_up_to_the_depth_is_taken(schema: str) -> None:
    assert resolve(ask("mock/latest", tools=(Tool("f", input_schema_json=schema),))).tools


def test_tools_are_counted() -> None:
    by = resolver(limits=Limits(tools=1))

    with pytest.raises(InvalidRequest, match="tools: there are 2, at most 1 are taken"):
        resolve(ask("mock/latest", tools=(WEATHER, Tool("b"))), by)


@pytest.mark.parametrize(
    "choice", [ToolChoice(ToolMode.NONE), ToolChoice(tool_name="get_weather"), ToolChoice(parallel=False)]
)
def test_a_choice_needs_tools(choice: ToolChoice) -> None:
    assert refused(tool_choice=choice) == {"tool_choice": "is given without tools to choose from"}


def test_a_choice_names_one_of_the_tools() -> None:
    found = refused(tools=(WEATHER,), tool_choice=ToolChoice(tool_name="other"))

    assert found == {"tool_choice.tool_name": "'other' is none of the tools given"}


def test_options_are_for_providers_there_are() -> None:
    found = refused(provider_options={'acme"': {}})

    assert found == {
        'provider_options_json["acme\\""]': "there is no such provider; there are claude, deepseek, mock, openai"
    }


def test_options_have_a_bounded_depth() -> None:
    by = resolver(limits=Limits(json_depth=2))

    assert resolve(ask("mock/latest", provider_options={"mock": {"a": [1]}}), by)
    with pytest.raises(InvalidRequest, match="deeper than 2 levels"):
        resolve(ask("mock/latest", provider_options={"mock": {"a": [{}]}}), by)


@pytest.mark.parametrize(
    ("labels", "field"),
    [
        ({"": "x"}, 'labels[""]'),
        ({"k" * 65: "x"}, f'labels["{"k" * 64}"]'),
        ({"k": "x" * 513}, 'labels["k"]'),
        ({str(number): "x" for number in range(65)}, "labels"),
    ],
)
def test_labels_are_few_and_short(labels: dict[str, str], field: str) -> None:
    assert list(refused(labels=labels)) == [field]


def test_labels_up_to_the_bounds_are_taken() -> None:
    labels = {f"{number:064}": "x" * 512 for number in range(64)}

    assert resolve(ask("mock/latest", labels=labels)).labels == labels


def test_an_idempotency_key_is_short() -> None:
    assert list(refused(idempotency_key="k" * 256)) == ["idempotency_key"]


def test_everything_wrong_is_told_at_once() -> None:
    found = refused(
        sampling=Sampling(temperature=3.0, top_p=2.0),
        tools=(Tool("a b"),),
        labels={"": ""},
    )

    assert list(found) == ["sampling.temperature", "sampling.top_p", "tools[0].name", 'labels[""]']


def test_the_message_counts_and_shows_the_first() -> None:
    with pytest.raises(InvalidRequest) as fault:
        resolve(ask("mock/latest", sampling=Sampling(temperature=3.0, top_p=2.0)))

    assert fault.value.message == (
        "2 fields cannot be used. The first: sampling.temperature: 3.0 is outside 0.0 to 2.0."
    )


def test_at_most_twenty_violations_are_listed() -> None:
    with pytest.raises(InvalidRequest, match="100 fields cannot be used") as fault:
        resolve(ask("mock/latest", tools=tuple(Tool(f"bad name {number}") for number in range(100))))

    assert len(fault.value.violations) == 20


def test_the_prompt_is_never_repeated() -> None:
    secret = "the launch code is 1234"

    with pytest.raises(InvalidRequest) as fault:
        resolve(
            ask(
                "mock/latest",
                user(Text(secret)),
                system_instruction=secret,
                sampling=Sampling(stop_sequences=(secret, "")),
                tools=(Tool("a b", secret, secret),),
                labels={"": secret},
            )
        )

    assert secret not in fault.value.message + repr(fault.value.violations)
