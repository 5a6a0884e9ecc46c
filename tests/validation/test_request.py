"""Validation of the fields of a request other than its messages."""

from __future__ import annotations

import math
from typing import Any

import pytest

from aimanager_server.config.settings import Limits
from aimanager_server.core.content import ReasoningOptions, Sampling, Text, Tool, ToolChoice, ToolMode
from aimanager_server.core.errors import InvalidRequest
from aimanager_server.routing.resolver import Resolver
from tests.support.resolver import WEATHER, generate_params, make_resolver, resolve, user_message

RESOLVER = make_resolver()


def violations(resolver: Resolver = RESOLVER, **fields: Any) -> dict[str, str]:
    with pytest.raises(InvalidRequest) as raised:
        resolve(generate_params("mock/latest", **fields), resolver)
    return {violation.field: violation.description for violation in raised.value.violations}


@pytest.mark.parametrize(
    ("sampling", "field", "description"),
    [
        (Sampling(temperature=2.1), "sampling.temperature", "must be between 0.0 and 2.0, got 2.1"),
        (Sampling(temperature=-0.1), "sampling.temperature", "must be between 0.0 and 2.0, got -0.1"),
        (Sampling(temperature=math.nan), "sampling.temperature", "must be between 0.0 and 2.0, got nan"),
        (Sampling(temperature=math.inf), "sampling.temperature", "must be between 0.0 and 2.0, got inf"),
        (Sampling(top_p=1.01), "sampling.top_p", "must be between 0.0 and 1.0, got 1.01"),
        (Sampling(top_p=-1.0), "sampling.top_p", "must be between 0.0 and 1.0, got -1.0"),
        (Sampling(top_k=0), "sampling.top_k", "must be at least 1, got 0"),
        (Sampling(max_output_tokens=0), "sampling.max_output_tokens", "must be at least 1, got 0"),
        (Sampling(max_output_tokens=-5), "sampling.max_output_tokens", "must be at least 1, got -5"),
        (Sampling(stop_sequences=("a", "")), "sampling.stop_sequences[1]", "must not be empty"),
        (
            Sampling(stop_sequences=("a" * 256, "a" * 257)),
            "sampling.stop_sequences[1]",
            "must have at most 256 characters, got 257",
        ),
    ],
)
def test_sampling_value_out_of_range_is_rejected(sampling: Sampling, field: str, description: str) -> None:
    assert violations(sampling=sampling) == {field: description}


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(temperature=0.0, top_p=0.0, top_k=1, max_output_tokens=1),
        Sampling(temperature=2.0, top_p=1.0, seed=-1, stop_sequences=("END",)),
    ],
    ids=["lower", "upper"],
)
def test_range_limits_are_inclusive(sampling: Sampling) -> None:
    assert resolve(generate_params("mock/latest", sampling=sampling)).target.sampling == sampling


def test_reasoning_budget_must_be_at_least_1() -> None:
    found = violations(reasoning=ReasoningOptions(budget_tokens=0))

    assert found == {"reasoning.budget_tokens": "must be at least 1, got 0"}


@pytest.mark.parametrize("name", ["", "get weather", "naïve", "x" * 64 + "y", "a.b", "ok\n"])
def test_tool_name_must_match_its_pattern(name: str) -> None:
    found = violations(tools=(Tool(name),))

    assert list(found) == ["tools[0].name"]
    assert found["tools[0].name"].startswith("must match [A-Za-z0-9_-]{1,64}, got ")


def test_duplicate_tool_name_is_rejected() -> None:
    found = violations(tools=(WEATHER, Tool("b"), WEATHER))

    assert found == {"tools[2].name": "duplicates the tool name 'get_weather'"}


@pytest.mark.parametrize(
    ("schema", "description"),
    [
        ("{", "must be valid JSON"),
        ("NaN", "must be valid JSON"),
        ("[]", "must be a JSON object"),
        ('"text"', "must be a JSON object"),
        ('{"a":' * 65 + "1" + "}" * 65, "must be nested at most 64 levels deep"),
        ('{"a":' * 100_000, "must be valid JSON"),
    ],
    ids=["truncated", "NaN", "list", "string", "65 levels", "100,000 levels"],
)
def test_input_schema_must_be_a_json_object_of_limited_depth(schema: str, description: str) -> None:
    found = violations(tools=(Tool("f", input_schema_json=schema),))

    assert found == {"tools[0].input_schema_json": description}


@pytest.mark.parametrize("schema", ["", "{}", '{"a":' * 64 + "1" + "}" * 64], ids=["none", "empty", "64 levels"])
def test_input_schema_up_to_the_depth_limit_is_accepted(schema: str) -> None:
    assert resolve(generate_params("mock/latest", tools=(Tool("f", input_schema_json=schema),))).tools


def test_number_of_tools_is_limited() -> None:
    found = violations(make_resolver(limits=Limits(max_tools=1)), tools=(WEATHER, Tool("b")))

    assert found == {"tools": "must have at most 1 items, got 2"}


@pytest.mark.parametrize(
    "choice", [ToolChoice(ToolMode.NONE), ToolChoice(tool_name="get_weather"), ToolChoice(parallel=False)]
)
def test_tool_choice_requires_tools(choice: ToolChoice) -> None:
    assert violations(tool_choice=choice) == {"tool_choice": "requires tools"}


def test_tool_choice_must_name_one_of_the_tools() -> None:
    found = violations(tools=(WEATHER,), tool_choice=ToolChoice(tool_name="other"))

    assert found == {"tool_choice.tool_name": "must be the name of one of the tools, got 'other'"}


def test_provider_options_must_name_a_known_provider() -> None:
    found = violations(provider_options={'acme"': {}})

    description = "names an unknown provider; use one of claude, deepseek, mock, openai"
    assert found == {'provider_options_json["acme\\""]': description}


def test_depth_of_provider_options_is_limited() -> None:
    resolver = make_resolver(limits=Limits(max_json_depth=2))

    assert resolve(generate_params("mock/latest", provider_options={"mock": {"a": [1]}}), resolver)
    assert violations(resolver, provider_options={"mock": {"a": [{}]}}) == {
        'provider_options_json["mock"]': "must be nested at most 2 levels deep"
    }


@pytest.mark.parametrize(
    ("labels", "field", "description"),
    [
        ({"": "x"}, 'labels[""]', "must have a name of 1 to 64 characters, got 0"),
        ({"k" * 65: "x"}, f'labels["{"k" * 64}"]', "must have a name of 1 to 64 characters, got 65"),
        ({"k": "x" * 513}, 'labels["k"]', "must have at most 512 characters, got 513"),
        ({str(number): "x" for number in range(65)}, "labels", "must have at most 64 entries, got 65"),
    ],
    ids=["empty name", "long name", "long value", "too many"],
)
def test_labels_are_limited(labels: dict[str, str], field: str, description: str) -> None:
    assert violations(labels=labels) == {field: description}


def test_labels_up_to_the_limits_are_accepted() -> None:
    labels = {f"{number:064}": "x" * 512 for number in range(64)}

    assert resolve(generate_params("mock/latest", labels=labels)).labels == labels


def test_length_of_the_idempotency_key_is_limited() -> None:
    found = violations(idempotency_key="k" * 256)

    assert found == {"idempotency_key": "must have at most 255 characters, got 256"}


def test_all_violations_are_reported_at_once() -> None:
    found = violations(sampling=Sampling(temperature=3.0, top_p=2.0), tools=(Tool("a b"),), labels={"": ""})

    assert list(found) == ["sampling.temperature", "sampling.top_p", "tools[0].name", 'labels[""]']


def test_message_names_the_field_and_the_value() -> None:
    with pytest.raises(InvalidRequest) as raised:
        resolve(generate_params("mock/latest", sampling=Sampling(temperature=3.0)))

    assert raised.value.message == "sampling.temperature must be between 0.0 and 2.0, got 3.0."


def test_message_of_several_violations_has_their_number_and_the_first() -> None:
    with pytest.raises(InvalidRequest) as raised:
        resolve(generate_params("mock/latest", sampling=Sampling(temperature=3.0, top_p=2.0)))

    expected = "2 fields are invalid. First: sampling.temperature must be between 0.0 and 2.0, got 3.0."
    assert raised.value.message == expected


def test_at_most_16_violations_are_listed() -> None:
    with pytest.raises(InvalidRequest, match="More than 16 fields are invalid") as raised:
        resolve(generate_params("mock/latest", tools=tuple(Tool(f"bad name {number}") for number in range(100))))

    assert len(raised.value.violations) == 16


def test_prompt_is_never_part_of_the_error() -> None:
    secret = "the launch code is 1234"
    params = generate_params(
        "mock/latest",
        user_message(Text(secret)),
        system_instruction=secret,
        sampling=Sampling(stop_sequences=(secret, "")),
        tools=(Tool("a b", secret, secret),),
        labels={"": secret},
    )

    with pytest.raises(InvalidRequest) as raised:
        resolve(params)

    assert secret not in raised.value.message + repr(raised.value.violations)
