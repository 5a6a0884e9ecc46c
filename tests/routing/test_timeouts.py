"""How long each target is waited for, and what is known of how it answers."""

from __future__ import annotations

import math

import pytest

from aimanager_server.catalog.catalog import Capability, Catalogue, Level, Model, Support
from aimanager_server.config.settings import Limits, ModelSettings, PatienceSettings
from aimanager_server.core.content import Effort, ReasoningOptions, Sampling
from aimanager_server.core.errors import InvalidRequest
from aimanager_server.core.request import GenerateParams, StreamTimeouts, Target
from aimanager_server.routing.resolver import Resolver
from tests.support.resolver import CATALOGUE, LAB, ask, lab, providers, resolve, target

GENERAL = PatienceSettings(
    first_token_seconds=1.0,
    first_token_reasoning_seconds=2.0,
    idle_text_seconds=3.0,
    idle_tool_call_seconds=4.0,
    idle_reasoning_seconds=5.0,
)


def patience(asked: GenerateParams, **models: ModelSettings) -> StreamTimeouts:
    by = Resolver(CATALOGUE, providers(), Limits(), models=models, patience=GENERAL)
    return target(asked, by).timeouts


def test_a_model_is_waited_for_as_the_operator_says_longer_where_it_thinks() -> None:
    assert patience(ask("mock/mock-large")) == StreamTimeouts(1.0, 3.0, 4.0, 5.0)
    assert patience(ask("mock/mock-thinker")) == StreamTimeouts(2.0, 3.0, 4.0, 5.0)


def test_what_is_said_of_the_model_counts_more_and_what_the_call_says_most() -> None:
    said = {"openai/gpt-4o-2024-08-06": ModelSettings(first_token_seconds=6.0, idle_seconds=7.0)}

    of_model = patience(ask("openai/gpt-4o"), **said)
    of_call = patience(ask("openai/gpt-4o", first_token=8.0, idle=9.0), **said)

    assert of_model == StreamTimeouts(6.0, 7.0, 7.0, 7.0, is_explicit=True)
    assert of_call == StreamTimeouts(8.0, 9.0, 9.0, 9.0, is_explicit=True, set_by_caller=True)


def test_only_what_is_said_of_the_first_token_holds_without_another_target() -> None:
    found = patience(ask("mock/mock-small", idle=9.0), **{"mock/mock-small": ModelSettings(idle_seconds=7.0)})

    assert found == StreamTimeouts(1.0, 9.0, 9.0, 9.0, is_explicit=False, set_by_caller=True)


def test_what_one_call_said_is_not_remembered_for_another() -> None:
    by = Resolver(CATALOGUE, providers(), Limits())

    found = [target(ask("mock/fast", first_token=seconds), by).timeouts.first_token for seconds in (3.0, None, 4.0)]

    assert found == [3.0, 10.0, 4.0]


@pytest.mark.parametrize("seconds", [0.0, -1.0, math.nan, math.inf, 1200.1])
@pytest.mark.parametrize("name", ["first_token", "idle"])
def test_a_patience_that_cannot_be_is_refused_with_its_field(name: str, seconds: float) -> None:
    with pytest.raises(InvalidRequest, match="more than 0 s and at most 1200 s is") as caught:
        resolve(ask("mock/fast", **{name: seconds}))

    assert [one.field for one in caught.value.violations] == [f"patience.{name}"]


@pytest.mark.parametrize(
    ("model", "reasoning", "thinks"),
    [
        ("mock/mock-large", ReasoningOptions(), False),
        ("mock/mock-thinker", ReasoningOptions(), True),
        ("mock/mock-thinker", ReasoningOptions(effort=Effort.NONE), False),
        ("mock/mock-large", ReasoningOptions(effort=Effort.LOW), True),
        ("mock/mock-large", ReasoningOptions(budget_tokens=5), True),
        ("deepseek/reasoning", ReasoningOptions(), True),
        ("openai/gpt-4o", ReasoningOptions(effort=Effort.HIGH), False),
    ],
)
def test_a_model_thinks_where_it_was_asked_to_or_does_by_itself(
    model: str, reasoning: ReasoningOptions, thinks: bool
) -> None:
    found = target(ask(model, reasoning=reasoning))

    assert (found.is_reasoning, found.prefers_streaming) == (thinks, thinks)


def test_a_model_nobody_knows_thinks_where_it_was_asked_to() -> None:
    asked = [ask("lab/llama", reasoning=ReasoningOptions(effort=effort)) for effort in (None, Effort.HIGH)]

    assert [target(one, lab()).is_reasoning for one in asked] == [False, True]


@pytest.mark.parametrize(("limit", "is_long"), [(None, False), (16_384, False), (16_385, True)])
def test_a_long_answer_is_best_streamed(limit: int | None, is_long: bool) -> None:
    found = target(ask("mock/mock-large", sampling=Sampling(max_output_tokens=limit)))

    assert found.prefers_streaming is is_long


def test_a_model_that_cannot_stream_is_not_best_streamed() -> None:
    facts = {Capability.STREAMING: Support(Level.NONE)}
    by = Resolver(Catalogue([Model("lab", "m", capabilities=facts, thinking="always")]), providers(lab=LAB), Limits())

    found: Target = target(ask("lab/m"), by)

    assert (found.can_stream, found.is_reasoning, found.prefers_streaming) == (False, True, False)


def test_a_target_has_the_window_of_its_model() -> None:
    assert target(ask("mock/mock-large")).context_window == 1_000_000
    assert target(ask("lab/llama"), lab()).context_window is None
