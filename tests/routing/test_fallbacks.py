"""Who is asked where the first model fails: as the caller says, without those that cannot answer."""

from __future__ import annotations

import pytest

from aimanager_server.core.content import Attachment, Sampling
from aimanager_server.core.errors import (
    CapabilityUnsupported,
    GatewayError,
    InvalidRequest,
    ModelNotFound,
    ProviderNotFound,
)
from aimanager_server.core.request import Caller
from tests.support.resolver import ask, asked_in_turn, resolve, resolver, route, routed, user, warned

IMAGE = user("What is it?", Attachment("image/png", data=b"png"))


def test_fallbacks_come_after_the_model_in_their_order() -> None:
    asked = ask("claude/latest", fallback_models=("openai/fast", "deepseek/fast"))

    assert asked_in_turn(asked) == ["claude/claude-opus-5-5", "openai/gpt-6-luna", "deepseek/deepseek-flash"]


def test_a_model_is_asked_once_however_often_it_is_named() -> None:
    fallbacks = ("claude/claude-opus-5-5", "openai/fast", "openai/gpt-6-luna", "claude/latest")

    found = resolve(ask("claude/latest", fallback_models=fallbacks))

    assert [one.model for one in found.targets] == ["claude-opus-5-5", "gpt-6-luna"]
    assert not any(one.warnings for one in found.targets)


def test_each_target_is_settled_by_itself() -> None:
    asked = ask(
        "claude/latest",
        fallback_models=("deepseek/fast",),
        sampling=Sampling(temperature=0.5),
        provider_options={"deepseek": {"user": "ann"}},
    )

    first, second = resolve(asked).targets

    assert (first.sampling.temperature, second.sampling.temperature) == (None, 0.5)
    assert ([one.field for one in first.warnings], second.warnings) == (["sampling.temperature"], ())
    assert (first.options, second.options) == ({}, {"user": "ann"})


def test_a_fallback_that_cannot_do_what_is_needed_is_left_out_and_every_target_says_so() -> None:
    asked = ask("claude/latest", IMAGE, fallback_models=("deepseek/deepseek-v4-pro", "openai/fast"))

    found = resolve(asked).targets

    assert [one.provider for one in found] == ["claude", "openai"]
    told = {"fallback_models[0]": "deepseek/deepseek-v4-pro reads no images; it is not asked."}
    assert [{one.field: one.message for one in target.warnings} for target in found] == [told, told]


def test_the_model_itself_is_refused_even_where_a_fallback_could() -> None:
    with pytest.raises(CapabilityUnsupported, match="'deepseek/deepseek-v4-pro' reads no images"):
        resolve(ask("deepseek/deepseek-v4-pro", IMAGE, fallback_models=("claude/latest",)))


def test_a_fallback_that_does_not_stream_is_left_out_of_a_stream_alone() -> None:
    asked = ask("claude/latest", fallback_models=("lab/whole",))
    by = routed()

    assert len(resolve(asked, by).targets) == 2
    assert len(resolve(asked, by, streaming=True).targets) == 1


def test_a_fallback_without_room_for_the_prompt_is_left_out() -> None:
    asked = ask("claude/latest", user("word" * 200), fallback_models=("lab/small", "openai/fast"))

    assert asked_in_turn(asked, routed()) == ["claude/claude-opus-5-5", "openai/gpt-6-luna"]
    assert warned(asked, routed()) == {
        "fallback_models[0]": "lab/small takes 100 tokens, fewer than the 201 or so of the prompt; it is not asked."
    }


def test_the_model_that_was_named_first_is_asked_however_long_the_prompt_seems() -> None:
    asked = ask("lab/small", user("word" * 200), fallback_models=("claude/latest",))

    assert asked_in_turn(asked, routed()) == ["lab/small", "claude/claude-opus-5-5"]


def test_a_route_can_be_a_fallback() -> None:
    by = routed(quick=route("openai/fast", "claude/latest"))

    found = asked_in_turn(ask("claude/latest", fallback_models=("quick",)), by)

    assert found == ["claude/claude-opus-5-5", "openai/gpt-6-luna"]


def test_a_route_of_which_nothing_is_left_is_told_as_a_whole() -> None:
    by = routed(text=route("deepseek/deepseek-v4-pro", "lab/blind"))

    told = warned(ask("claude/latest", IMAGE, fallback_models=("text",)), by)

    assert told == {"fallback_models[0]": "No model of the route text can answer this; it is not asked."}


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("claude/knows", ModelNotFound),
        ("nobody/knows", ProviderNotFound),
        ("x" * 257, InvalidRequest),
        ("", InvalidRequest),
    ],
)
def test_a_fallback_that_is_nobody_is_refused_with_its_field(name: str, fault: type[GatewayError]) -> None:
    with pytest.raises(fault) as caught:
        resolve(ask("claude/latest", fallback_models=("openai/fast", name)))

    assert [one.field for one in caught.value.violations] == ["fallback_models[1]"]


def test_what_was_decided_with_fallbacks_is_not_taken_for_a_question_without() -> None:
    by = resolver()

    lengths = [len(resolve(ask("claude/latest", fallback_models=names), by).targets) for names in ((), ("mock/fast",))]

    assert lengths == [1, 2]


def test_a_bare_fallback_belongs_to_the_provider_of_bare_names() -> None:
    caller = Caller(provider_keys={"openai": "k"})

    found = resolve(ask("claude/latest", fallback_models=("fast",)), caller=caller)

    assert found.targets[1].provider == "openai"
