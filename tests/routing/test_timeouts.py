"""Stream timeouts of a target, and whether it reasons and streams."""

from __future__ import annotations

import math

import pytest

from aimanager_server.catalog.catalog import Catalog
from aimanager_server.catalog.model import Capability, Model, Support, SupportLevel
from aimanager_server.config.models import ModelSettings
from aimanager_server.config.resilience import StreamTimeoutSettings
from aimanager_server.core.content import Effort, ReasoningOptions, Sampling
from aimanager_server.core.errors import InvalidRequest
from aimanager_server.core.request import GenerateParams, StreamTimeouts
from tests.support.resolver import (
    CATALOG,
    LAB_SETTINGS,
    generate_params,
    lab_resolver,
    make_resolver,
    providers,
    resolve,
    resolve_target,
    resolver_over,
)

GENERAL = StreamTimeoutSettings(
    first_token_seconds=1.0,
    first_token_reasoning_seconds=2.0,
    idle_text_seconds=3.0,
    idle_tool_call_seconds=4.0,
    idle_reasoning_seconds=5.0,
)


def timeouts_of(params: GenerateParams, **models: ModelSettings) -> StreamTimeouts:
    return resolve_target(params, resolver_over(CATALOG, models=models, stream_timeouts=GENERAL)).timeouts


def test_first_token_timeout_is_longer_for_reasoning_models() -> None:
    assert timeouts_of(generate_params("mock/mock-large")) == StreamTimeouts(1.0, 3.0, 4.0, 5.0)
    assert timeouts_of(generate_params("mock/mock-thinker")) == StreamTimeouts(2.0, 3.0, 4.0, 5.0)


def test_timeouts_of_the_call_precede_those_of_the_model_and_the_general_ones() -> None:
    models = {"openai/gpt-4o-2024-08-06": ModelSettings(first_token_timeout_seconds=6.0, idle_timeout_seconds=7.0)}

    of_model = timeouts_of(generate_params("openai/gpt-4o"), **models)
    of_call = timeouts_of(generate_params("openai/gpt-4o", first_token_timeout=8.0, idle_timeout=9.0), **models)

    assert of_model == StreamTimeouts(6.0, 7.0, 7.0, 7.0, is_explicit=True)
    assert of_call == StreamTimeouts(8.0, 9.0, 9.0, 9.0, is_explicit=True, set_by_caller=True)


def test_only_a_first_token_timeout_is_explicit() -> None:
    models = {"mock/mock-small": ModelSettings(idle_timeout_seconds=7.0)}

    timeouts = timeouts_of(generate_params("mock/mock-small", idle_timeout=9.0), **models)

    assert timeouts == StreamTimeouts(1.0, 9.0, 9.0, 9.0, is_explicit=False, set_by_caller=True)


def test_cached_plans_depend_on_the_timeouts_of_the_call() -> None:
    resolver = make_resolver()
    calls = [generate_params("mock/fast", first_token_timeout=seconds) for seconds in (3.0, None, 4.0)]

    timeouts = [resolve_target(params, resolver).timeouts.first_token for params in calls]

    assert timeouts == [3.0, 10.0, 4.0]


@pytest.mark.parametrize("seconds", [0.0, -1.0, math.nan, math.inf, 1200.1])
@pytest.mark.parametrize(
    ("parameter", "field"),
    [("first_token_timeout", "stream_timeouts.first_token_timeout"), ("idle_timeout", "stream_timeouts.idle_timeout")],
)
def test_timeout_out_of_range_is_rejected(parameter: str, field: str, seconds: float) -> None:
    expected = f"{field} must be greater than 0 s and at most 1200 s, got {seconds:g} s"

    with pytest.raises(InvalidRequest, match=expected) as raised:
        resolve(generate_params("mock/fast", **{parameter: seconds}))

    assert [violation.field for violation in raised.value.violations] == [field]


@pytest.mark.parametrize(
    ("model", "reasoning", "is_reasoning"),
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
def test_reasoning_target_prefers_streaming(model: str, reasoning: ReasoningOptions, is_reasoning: bool) -> None:
    target = resolve_target(generate_params(model, reasoning=reasoning))

    assert (target.is_reasoning, target.prefers_streaming) == (is_reasoning, is_reasoning)


def test_unknown_model_reasons_only_if_requested() -> None:
    resolver = lab_resolver()
    calls = [generate_params("lab/llama", reasoning=ReasoningOptions(effort=effort)) for effort in (None, Effort.HIGH)]

    assert [resolve_target(params, resolver).is_reasoning for params in calls] == [False, True]


@pytest.mark.parametrize(("limit", "is_preferred"), [(None, False), (16_384, False), (16_385, True)])
def test_long_output_prefers_streaming(limit: int | None, is_preferred: bool) -> None:
    target = resolve_target(generate_params("mock/mock-large", sampling=Sampling(max_output_tokens=limit)))

    assert target.prefers_streaming is is_preferred


def test_model_without_streaming_never_prefers_it() -> None:
    facts = {Capability.STREAMING: Support(SupportLevel.NONE)}
    catalog = Catalog([Model("lab", "m", capabilities=facts, thinking="always")])

    target = resolve_target(generate_params("lab/m"), resolver_over(catalog, providers(lab=LAB_SETTINGS)))

    assert (target.can_stream, target.is_reasoning, target.prefers_streaming) == (False, True, False)


def test_target_has_the_context_window_of_its_model() -> None:
    assert resolve_target(generate_params("mock/mock-large")).context_window == 1_000_000
    assert resolve_target(generate_params("lab/llama"), lab_resolver()).context_window is None
