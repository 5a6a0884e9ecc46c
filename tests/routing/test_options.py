"""How the answer is drawn: what a caller said is honoured or told; what a default says is honoured or forgotten."""

from __future__ import annotations

from datetime import date

import pytest

from aimanager_server.catalog.catalog import Alias, Catalogue
from aimanager_server.config.settings import Limits
from aimanager_server.core.content import Effort, ReasoningOptions, Sampling
from aimanager_server.routing.resolver import Resolver
from tests.support.resolver import CATALOGUE, LAB, ask, providers, resolver, target, warned

ANSWERING = [
    f"{model.provider}/{model.id}"
    for model in CATALOGUE.models()
    if model.provider in providers() and model.embedding is None
]
EVERYTHING = Sampling(100, 0.5, None, 10, 7, ("END",))


@pytest.mark.parametrize(
    ("model", "taken"),
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
        ("mock/latest", EVERYTHING),
    ],
)
def test_what_a_model_refuses_is_left_out_and_told(model: str, taken: Sampling) -> None:
    asked = ask(model, sampling=EVERYTHING)
    names = ("temperature", "top_k", "seed", "stop_sequences")
    dropped = {f"sampling.{name}" for name in names if not getattr(taken, name)}

    assert target(asked).sampling == taken
    assert warned(asked).keys() == dropped


@pytest.mark.parametrize("model", ["gpt-6.2-sol", "gpt-5", "gpt-5.5", "gpt-5.6-sol"])
def test_a_seed_is_for_the_older_wire(model: str) -> None:
    by = resolver(openai={"wire": "chat_completions"})

    assert target(ask(f"openai/{model}", sampling=EVERYTHING), by).sampling == Sampling(max_output_tokens=100, seed=7)


def test_a_model_nobody_knows_is_asked_for_what_its_wire_can_say() -> None:
    by = resolver(lab={**LAB, "wire": "responses", "models": ["listed"], "allow_any_model": True})

    for model in ("lab/listed", "lab/other"):
        assert target(ask(model, sampling=EVERYTHING), by).sampling == Sampling(100, 0.5)
        assert warned(ask(model, sampling=EVERYTHING), by).keys() == {
            "sampling.top_k",
            "sampling.seed",
            "sampling.stop_sequences",
        }


def test_a_model_known_from_an_older_wire_is_asked_for_what_the_newer_one_can_say() -> None:
    by = resolver(deepseek={"wire": "responses"})

    assert target(ask("deepseek/fast", sampling=EVERYTHING), by).sampling == Sampling(100, 0.5)


@pytest.mark.parametrize(("wire", "taken"), [("responses", 16), ("chat_completions", 5)])
def test_an_answer_shorter_than_the_wire_allows_is_lengthened(wire: str, taken: int) -> None:
    by = resolver(openai={"wire": wire})
    asked = ask("openai/latest", sampling=Sampling(max_output_tokens=5))

    assert target(asked, by).sampling.max_output_tokens == taken
    assert warned(asked, by) == (
        {"sampling.max_output_tokens": "5 is below what gpt-6.2-sol takes; 16 is used."} if taken > 5 else {}
    )


def test_a_warning_says_what_was_done_and_why() -> None:
    sampling = Sampling(temperature=0.5)

    assert warned(ask("claude/latest", sampling=sampling)) == {
        "sampling.temperature": "claude-opus-5-5 takes no temperature; it was left out."
    }
    assert warned(ask("deepseek/latest", sampling=sampling)) == {
        "sampling.temperature": "deepseek-v4-pro takes no temperature while it thinks; it was left out."
    }


@pytest.mark.parametrize(
    ("effort", "taken"), [(Effort.NONE, 0.5), (Effort.LOW, None), (None, None)], ids=["none", "low", "default"]
)
def test_some_models_take_temperature_only_without_thinking(effort: Effort | None, taken: float | None) -> None:
    asked = ask("openai/gpt-5.5", sampling=Sampling(temperature=0.5), reasoning=ReasoningOptions(effort=effort))

    assert target(asked).sampling.temperature == taken


def test_a_budget_is_thinking_too() -> None:
    asked = ask(
        "claude/claude-haiku-4-5", sampling=Sampling(temperature=0.5), reasoning=ReasoningOptions(budget_tokens=2000)
    )

    assert target(asked).sampling.temperature is None
    assert "while it thinks" in warned(asked)["sampling.temperature"]


def test_zero_is_a_value() -> None:
    assert target(ask("openai/gpt-4o", sampling=Sampling(temperature=0.0, top_p=0.0))).sampling.temperature == 0.0


def test_a_temperature_above_the_models_range_is_lowered() -> None:
    asked = ask("claude/claude-haiku-4-5", sampling=Sampling(temperature=1.5))

    assert target(asked).sampling.temperature == 1.0
    assert warned(asked) == {"sampling.temperature": "1.5 is above what claude-haiku-4-5 takes; 1.0 is used."}


def test_an_answer_longer_than_the_model_can_write_is_shortened() -> None:
    asked = ask("openai/gpt-4o", sampling=Sampling(max_output_tokens=20_000))

    assert target(asked).sampling.max_output_tokens == 16_384
    assert "16384 is used" in warned(asked)["sampling.max_output_tokens"]


def test_temperature_beats_top_p_where_only_one_is_taken() -> None:
    asked = ask("claude/claude-sonnet-4-6", sampling=Sampling(temperature=0.5, top_p=0.9))

    assert target(asked).sampling == Sampling(temperature=0.5)
    assert list(warned(asked)) == ["sampling.top_p"]


def test_a_callers_top_p_beats_a_default_temperature() -> None:
    by = resolver(claude={"defaults": {"temperature": 0.7}})
    asked = ask("claude/claude-sonnet-4-6", sampling=Sampling(top_p=0.9))

    assert target(asked, by).sampling == Sampling(top_p=0.9)
    assert warned(asked, by) == {}


def test_a_newer_version_of_the_api_takes_no_temperature() -> None:
    by = resolver(claude={"version": "2026-10-21"})
    asked = ask("claude/claude-haiku-4-5", sampling=EVERYTHING)

    assert target(asked, by).sampling == Sampling(max_output_tokens=100, stop_sequences=("END",))
    assert "under API version 2026-10-21" in warned(asked, by)["sampling.temperature"]


def test_blank_stop_sequences_are_left_out_where_they_are_refused() -> None:
    asked = ask("claude/latest", sampling=Sampling(stop_sequences=("\n\n", "END", " ")))

    assert target(asked).sampling.stop_sequences == ("END",)
    assert list(warned(asked)) == ["sampling.stop_sequences"]


def test_stop_sequences_beyond_the_models_number_are_left_out() -> None:
    asked = ask("openai/gpt-4o", sampling=Sampling(stop_sequences=("a", "b", "\n", "d", "e")))

    assert target(asked).sampling.stop_sequences == ("a", "b", "\n", "d")
    assert warned(asked) == {"sampling.stop_sequences": "gpt-4o takes 4; the others were left out."}


def test_the_operators_defaults_fill_what_nobody_said() -> None:
    by = resolver(openai={"defaults": {"max_output_tokens": 500, "temperature": 0.2, "top_p": 0.9}})

    found = target(ask("openai/gpt-4o", sampling=Sampling(temperature=0.0)), by).sampling

    assert found == Sampling(max_output_tokens=500, temperature=0.0, top_p=0.9)


def test_a_default_the_model_refuses_is_left_out_silently() -> None:
    by = resolver(openai={"defaults": {"max_output_tokens": 500_000, "temperature": 0.2, "top_p": 0.9}})

    assert target(ask("openai/latest"), by).sampling == Sampling(max_output_tokens=128_000)
    assert warned(ask("openai/latest"), by) == {}


def test_an_alias_may_draw_differently_unless_the_caller_says_how() -> None:
    alias = Alias("openai", "dull", "gpt-4o", "Says it plainly", date(2026, 11, 22), Sampling(temperature=0.0))
    configured = providers(openai={"defaults": {"temperature": 0.7}})
    by = Resolver(Catalogue(CATALOGUE.models(), [alias]), configured, Limits())

    assert target(ask("openai/dull"), by).sampling.temperature == 0.0
    assert target(ask("openai/gpt-4o"), by).sampling.temperature == 0.7
    assert target(ask("openai/dull", sampling=Sampling(temperature=1.0)), by).sampling.temperature == 1.0


def test_a_model_nobody_knows_is_asked_for_all_of_it() -> None:
    by = resolver(lab={**LAB, "models": ["llama"], "defaults": {"top_p": 0.9}})
    asked = ask("lab/llama", sampling=EVERYTHING)

    assert target(asked, by).sampling == Sampling(100, 0.5, 0.9, 10, 7, ("END",))
    assert warned(asked, by) == {}


@pytest.mark.parametrize("model", ANSWERING)
@pytest.mark.parametrize("effort", [None, *Effort])
def test_whatever_is_asked_every_model_gets_only_what_it_takes(model: str, effort: Effort | None) -> None:
    found = target(ask(model, sampling=EVERYTHING, reasoning=ReasoningOptions(effort=effort, include=True)))
    facts = CATALOGUE.find(found.provider, found.model)

    assert facts is not None
    assert facts.sampling is not None
    taken = {name for name in ("temperature", "top_p", "top_k", "seed") if getattr(found.sampling, name) is not None}
    assert taken <= facts.sampling
    assert found.reasoning.effort is None or found.reasoning.effort in (facts.efforts or ())
    if facts.reasons(found.reasoning.effort) and facts.sampling_while_reasoning is not None:
        assert taken <= facts.sampling_while_reasoning
