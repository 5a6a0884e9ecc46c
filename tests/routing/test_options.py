"""Normalizing sampling options: unsupported options of the caller have a warning, unsupported defaults do not."""

from __future__ import annotations

from datetime import date

import pytest

from aimanager_server.catalog.catalog import Catalog
from aimanager_server.catalog.model import Alias
from aimanager_server.core.content import Effort, ReasoningOptions, Sampling
from aimanager_server.core.errors import InvalidRequest
from aimanager_server.core.response import SettingWarning
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
    warnings_of,
)

GENERATION_MODELS = [
    f"{model.provider}/{model.id}"
    for model in CATALOG.models()
    if model.provider in providers() and model.embedding is None
]
RESOLVER = make_resolver()
ALL_OPTIONS = Sampling(100, 0.5, None, 10, 7, ("END",))


@pytest.mark.parametrize(
    ("model", "supported"),
    [
        ("claude/claude-opus-5-5", Sampling(max_output_tokens=100, stop_sequences=("END",))),
        ("claude/claude-haiku-4-5", Sampling(100, 0.5, None, 10, None, ("END",))),
        ("openai/gpt-6.2-sol", Sampling(max_output_tokens=100)),
        ("openai/gpt-5", Sampling(max_output_tokens=100)),
        ("openai/o3", Sampling(max_output_tokens=100, seed=7)),
        ("openai/gpt-5.5", Sampling(max_output_tokens=100)),
        ("openai/gpt-4o", Sampling(100, 0.5, None, None, 7, ("END",))),
        ("deepseek/deepseek-flash", Sampling(max_output_tokens=100, stop_sequences=("END",))),
        ("deepseek/fast", Sampling(100, 0.5, None, None, None, ("END",))),
        ("mock/latest", ALL_OPTIONS),
    ],
)
def test_unsupported_options_are_removed_with_a_warning(model: str, supported: Sampling) -> None:
    params = generate_params(model, sampling=ALL_OPTIONS)
    names = ("temperature", "top_k", "seed", "stop_sequences")
    removed = {f"sampling.{name}" for name in names if not getattr(supported, name)}

    assert resolve_target(params).sampling == supported
    assert warnings_of(params).keys() == removed


@pytest.mark.parametrize("model", ["gpt-6.2-sol", "gpt-5", "gpt-5.5", "gpt-5.6-sol"])
def test_seed_requires_the_chat_completions_wire(model: str) -> None:
    resolver = make_resolver(openai={"wire": "chat_completions"})

    assert resolve_target(generate_params(f"openai/{model}", sampling=ALL_OPTIONS), resolver).sampling == Sampling(
        max_output_tokens=100, seed=7
    )


def test_unknown_model_keeps_the_options_its_wire_supports() -> None:
    resolver = make_resolver(lab={**LAB_SETTINGS, "wire": "responses", "models": ["listed"], "allow_any_model": True})

    for model in ("lab/listed", "lab/other"):
        assert resolve_target(generate_params(model, sampling=ALL_OPTIONS), resolver).sampling == Sampling(100, 0.5)
        assert warnings_of(generate_params(model, sampling=ALL_OPTIONS), resolver).keys() == {
            "sampling.top_k",
            "sampling.seed",
            "sampling.stop_sequences",
        }


def test_model_on_the_responses_wire_keeps_the_options_it_supports() -> None:
    resolver = make_resolver(deepseek={"wire": "responses"})

    assert resolve_target(generate_params("deepseek/fast", sampling=ALL_OPTIONS), resolver).sampling == Sampling(
        100, 0.5
    )


@pytest.mark.parametrize(("wire", "limit"), [("responses", 16), ("chat_completions", 5)])
def test_output_limit_below_the_minimum_of_the_wire_is_raised(wire: str, limit: int) -> None:
    resolver = make_resolver(openai={"wire": wire})
    params = generate_params("openai/latest", sampling=Sampling(max_output_tokens=5))

    assert resolve_target(params, resolver).sampling.max_output_tokens == limit
    assert warnings_of(params, resolver) == (
        {"sampling.max_output_tokens": "gpt-6.2-sol requires at least 16, got 5; 16 is used."} if limit > 5 else {}
    )


def test_warning_has_reason_and_action() -> None:
    sampling = Sampling(temperature=0.5)

    assert warnings_of(generate_params("claude/latest", sampling=sampling)) == {
        "sampling.temperature": "claude-opus-5-5 does not support temperature; it was removed."
    }
    assert warnings_of(generate_params("deepseek/latest", sampling=sampling)) == {
        "sampling.temperature": "deepseek-v4-pro does not support temperature while reasoning; it was removed."
    }


@pytest.mark.parametrize(
    ("effort", "temperature"), [(Effort.NONE, 0.5), (Effort.LOW, None), (None, None)], ids=["none", "low", "default"]
)
def test_temperature_is_removed_while_reasoning(effort: Effort | None, temperature: float | None) -> None:
    params = generate_params(
        "openai/gpt-5.5", sampling=Sampling(temperature=0.5), reasoning=ReasoningOptions(effort=effort)
    )

    assert resolve_target(params).sampling.temperature == temperature


def test_reasoning_budget_counts_as_reasoning() -> None:
    params = generate_params(
        "claude/claude-haiku-4-5", sampling=Sampling(temperature=0.5), reasoning=ReasoningOptions(budget_tokens=2000)
    )

    assert resolve_target(params).sampling.temperature is None
    assert "while reasoning" in warnings_of(params)["sampling.temperature"]


def test_zero_is_a_set_value() -> None:
    assert (
        resolve_target(
            generate_params("openai/gpt-4o", sampling=Sampling(temperature=0.0, top_p=0.0))
        ).sampling.temperature
        == 0.0
    )


def test_temperature_above_the_maximum_is_lowered() -> None:
    params = generate_params("claude/claude-haiku-4-5", sampling=Sampling(temperature=1.5))

    assert resolve_target(params).sampling.temperature == 1.0
    assert warnings_of(params) == {
        "sampling.temperature": "claude-haiku-4-5 accepts at most 1.0, got 1.5; 1.0 is used."
    }


def test_output_limit_above_the_maximum_is_lowered() -> None:
    params = generate_params("openai/gpt-4o", sampling=Sampling(max_output_tokens=20_000))

    assert resolve_target(params).sampling.max_output_tokens == 16_384
    assert "16384 is used" in warnings_of(params)["sampling.max_output_tokens"]


def test_temperature_has_precedence_over_top_p_if_they_are_exclusive() -> None:
    params = generate_params("claude/claude-sonnet-4-6", sampling=Sampling(temperature=0.5, top_p=0.9))

    assert resolve_target(params).sampling == Sampling(temperature=0.5)
    assert list(warnings_of(params)) == ["sampling.top_p"]


def test_top_p_of_the_caller_has_precedence_over_default_temperature() -> None:
    resolver = make_resolver(claude={"defaults": {"temperature": 0.7}})
    params = generate_params("claude/claude-sonnet-4-6", sampling=Sampling(top_p=0.9))

    assert resolve_target(params, resolver).sampling == Sampling(top_p=0.9)
    assert warnings_of(params, resolver) == {}


def test_temperature_is_removed_with_a_later_api_version() -> None:
    resolver = make_resolver(claude={"api_version": "2026-10-21"})
    params = generate_params("claude/claude-haiku-4-5", sampling=ALL_OPTIONS)

    assert resolve_target(params, resolver).sampling == Sampling(max_output_tokens=100, stop_sequences=("END",))
    assert "with API version 2026-10-21" in warnings_of(params, resolver)["sampling.temperature"]


def test_unsupported_blank_stop_sequences_are_removed() -> None:
    params = generate_params("claude/latest", sampling=Sampling(stop_sequences=("\n\n", "END", " ")))

    assert resolve_target(params).sampling.stop_sequences == ("END",)
    assert list(warnings_of(params)) == ["sampling.stop_sequences"]


def test_stop_sequences_above_the_maximum_are_removed() -> None:
    params = generate_params("openai/gpt-4o", sampling=Sampling(stop_sequences=("a", "b", "\n", "d", "e")))

    assert resolve_target(params).sampling.stop_sequences == ("a", "b", "\n", "d")
    assert warnings_of(params) == {"sampling.stop_sequences": "gpt-4o accepts at most 4, got 5; the first 4 are used."}


def test_defaults_of_the_operator_apply_to_options_that_are_not_set() -> None:
    resolver = make_resolver(openai={"defaults": {"max_output_tokens": 500, "temperature": 0.2, "top_p": 0.9}})

    found = resolve_target(generate_params("openai/gpt-4o", sampling=Sampling(temperature=0.0)), resolver).sampling

    assert found == Sampling(max_output_tokens=500, temperature=0.0, top_p=0.9)


def test_unsupported_default_is_removed_without_a_warning() -> None:
    resolver = make_resolver(openai={"defaults": {"max_output_tokens": 500_000, "temperature": 0.2, "top_p": 0.9}})

    assert resolve_target(generate_params("openai/latest"), resolver).sampling == Sampling(max_output_tokens=128_000)
    assert warnings_of(generate_params("openai/latest"), resolver) == {}


def test_alias_options_have_precedence_over_defaults_but_not_over_the_caller() -> None:
    alias = Alias("openai", "plain", "gpt-4o", "Plain wording", date(2026, 11, 22), Sampling(temperature=0.0))
    configured = providers(openai={"defaults": {"temperature": 0.7}})
    resolver = resolver_over(Catalog(CATALOG.models(), [alias]), configured)

    assert resolve_target(generate_params("openai/plain"), resolver).sampling.temperature == 0.0
    assert resolve_target(generate_params("openai/gpt-4o"), resolver).sampling.temperature == 0.7
    assert (
        resolve_target(
            generate_params("openai/plain", sampling=Sampling(temperature=1.0)), resolver
        ).sampling.temperature
        == 1.0
    )


def test_unknown_model_keeps_all_options() -> None:
    resolver = make_resolver(lab={**LAB_SETTINGS, "models": ["llama"], "defaults": {"top_p": 0.9}})
    params = generate_params("lab/llama", sampling=ALL_OPTIONS)

    assert resolve_target(params, resolver).sampling == Sampling(100, 0.5, 0.9, 10, 7, ("END",))
    assert warnings_of(params, resolver) == {}


def unsupported_options(name: str, effort: Effort | None) -> list[str]:
    """The options of a target that its model does not support."""
    target = resolve_target(
        generate_params(name, sampling=ALL_OPTIONS, reasoning=ReasoningOptions(effort=effort, include=True)), RESOLVER
    )
    model = CATALOG.find(target.provider, target.model)
    assert model is not None
    assert model.sampling_fields is not None
    supported = model.sampling_fields
    if model.reasons_at(target.reasoning.effort) and model.sampling_fields_while_reasoning is not None:
        supported &= model.sampling_fields_while_reasoning
    options = ("temperature", "top_p", "top_k", "seed")
    unsupported = [one for one in options if getattr(target.sampling, one) is not None and one not in supported]
    if target.reasoning.effort is not None and target.reasoning.effort not in (model.efforts or ()):
        unsupported.append("effort")
    return unsupported


def test_every_model_receives_only_options_it_supports() -> None:
    cases = [(name, effort) for name in GENERATION_MODELS for effort in (None, *Effort)]

    unsupported = {case: unsupported_options(*case) for case in cases}

    assert {case: options for case, options in unsupported.items() if options} == {}


def test_end_user_is_sent_in_the_field_of_each_provider() -> None:
    models = ("claude/latest", "openai/latest", "deepseek/latest")
    targets = [resolve(generate_params(model, end_user_id="u-1")).target for model in models]

    native = [{"metadata": {"user_id": "u-1"}}, {"safety_identifier": "u-1"}, {"user_id": "u-1"}]
    assert [target.options for target in targets] == native
    assert [target.warnings for target in targets] == [(), (), ()]


def test_native_options_have_precedence_over_the_end_user() -> None:
    own = {"claude": {"metadata": {"user_id": "mine"}, "thinking": {}}, "openai": {"safety_identifier": "mine"}}
    options = [
        resolve(generate_params(model, end_user_id="u-1", provider_options=own)).target.options
        for model in ("claude/latest", "openai/latest")
    ]

    assert options == [own["claude"], own["openai"]]


def test_end_user_is_removed_with_a_warning_without_a_field_for_it() -> None:
    target = resolve(generate_params("lab/llama", end_user_id="u-1"), lab_resolver()).target

    assert target.options == {}
    assert target.warnings == (SettingWarning("end_user_id", "lab has no field for end users; it was removed."),)


def test_end_user_must_be_a_short_opaque_id() -> None:
    for text in ("ann@example.com", "x" * 129, "a b"):
        with pytest.raises(InvalidRequest) as raised:
            resolve(generate_params("claude/latest", end_user_id=text))
        assert [violation.field for violation in raised.value.violations] == ["end_user_id"]
        assert text not in raised.value.message
