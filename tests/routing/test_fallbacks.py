"""Fallback models of a request: order, normalization, and removal of unsuitable models."""

from __future__ import annotations

from dataclasses import replace
from operator import attrgetter

import pytest

from aimanager_server.core.content import Attachment, PromptOptimization, Sampling
from aimanager_server.core.errors import (
    CapabilityUnsupported,
    GatewayError,
    InvalidRequest,
    ModelNotFound,
    ProviderNotFound,
)
from aimanager_server.core.request import Caller
from tests.support.resolver import (
    assistant_message,
    generate_params,
    resolve,
    route,
    route_resolver,
    target_names,
    user_message,
    warnings_of,
)

IMAGE = user_message("What is it?", Attachment("image/png", data=b"png"))


def test_fallbacks_follow_the_model_in_order() -> None:
    params = generate_params("claude/latest", fallback_models=("openai/fast", "deepseek/fast"))

    assert target_names(params) == ["claude/claude-opus-5-5", "openai/gpt-6-luna", "deepseek/deepseek-flash"]


def test_repeated_model_is_one_target() -> None:
    fallbacks = ("claude/claude-opus-5-5", "openai/fast", "openai/gpt-6-luna", "claude/latest")

    found = resolve(generate_params("claude/latest", fallback_models=fallbacks))

    assert [one.model for one in found.targets] == ["claude-opus-5-5", "gpt-6-luna"]
    assert not any(one.warnings for one in found.targets)


def test_options_are_normalized_for_each_target() -> None:
    params = generate_params(
        "claude/latest",
        fallback_models=("deepseek/fast",),
        sampling=Sampling(temperature=0.5),
        provider_options={"deepseek": {"user": "ann"}},
    )

    first, second = resolve(params).targets

    assert (first.sampling.temperature, second.sampling.temperature) == (None, 0.5)
    assert ([one.field for one in first.warnings], second.warnings) == (["sampling.temperature"], ())
    assert (first.options, second.options) == ({}, {"user": "ann"})


def test_unsuitable_fallback_is_skipped_with_a_warning_on_every_target() -> None:
    params = generate_params("claude/latest", IMAGE, fallback_models=("deepseek/deepseek-v4-pro", "openai/fast"))

    targets = resolve(params).targets

    assert [target.provider for target in targets] == ["claude", "openai"]
    warnings = {"fallback_models[0]": "deepseek/deepseek-v4-pro does not support image input; the fallback is skipped."}
    assert [{one.field: one.message for one in target.warnings} for target in targets] == [warnings, warnings]


def test_unsuitable_model_is_rejected_even_if_a_fallback_is_suitable() -> None:
    with pytest.raises(CapabilityUnsupported, match="'deepseek/deepseek-v4-pro' does not support image input"):
        resolve(generate_params("deepseek/deepseek-v4-pro", IMAGE, fallback_models=("claude/latest",)))


def test_fallback_without_streaming_is_skipped_only_for_streams() -> None:
    params = generate_params("claude/latest", fallback_models=("lab/unary",))
    resolver = route_resolver()

    assert len(resolve(params, resolver).targets) == 2
    assert len(resolve(params, resolver, streaming=True).targets) == 1


def test_fallback_with_a_too_small_context_window_is_skipped() -> None:
    params = generate_params("claude/latest", user_message("word" * 200), fallback_models=("lab/small", "openai/fast"))

    assert target_names(params, route_resolver()) == ["claude/claude-opus-5-5", "openai/gpt-6-luna"]
    assert warnings_of(params, route_resolver()) == {
        "fallback_models[0]": (
            "lab/small accepts 100 input tokens, fewer than the estimated 201; the fallback is skipped."
        )
    }


def test_history_that_may_be_left_out_does_not_count() -> None:
    messages = (user_message("word" * 200), assistant_message("ok"), user_message("And now?"))
    params = generate_params("claude/latest", *messages, fallback_models=("lab/small",))
    optimized = replace(params, optimizations=frozenset({PromptOptimization.HISTORY}))

    assert target_names(params, route_resolver()) == ["claude/claude-opus-5-5"]
    assert target_names(optimized, route_resolver()) == ["claude/claude-opus-5-5", "lab/small"]


def test_requested_model_is_kept_even_if_the_prompt_seems_too_long() -> None:
    params = generate_params("lab/small", user_message("word" * 200), fallback_models=("claude/latest",))

    assert target_names(params, route_resolver()) == ["lab/small", "claude/claude-opus-5-5"]


def test_route_as_a_fallback() -> None:
    resolver = route_resolver(quick=route("openai/fast", "claude/latest"))

    found = target_names(generate_params("claude/latest", fallback_models=("quick",)), resolver)

    assert found == ["claude/claude-opus-5-5", "openai/gpt-6-luna"]


def test_route_without_a_suitable_target_has_one_warning() -> None:
    resolver = route_resolver(text=route("deepseek/deepseek-v4-pro", "lab/blind"))

    warnings = warnings_of(generate_params("claude/latest", IMAGE, fallback_models=("text",)), resolver)

    assert warnings == {
        "fallback_models[0]": "No model of route 'text' supports this request; the fallback is skipped."
    }


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("claude/knows", ModelNotFound),
        ("nobody/knows", ProviderNotFound),
        ("x" * 257, InvalidRequest),
        ("", InvalidRequest),
    ],
)
def test_unknown_fallback_is_rejected_with_its_field(name: str, fault: type[GatewayError]) -> None:
    with pytest.raises(fault) as raised:
        resolve(generate_params("claude/latest", fallback_models=("openai/fast", name)))

    assert [one.field for one in raised.value.violations] == ["fallback_models[1]"]


def test_error_of_a_fallback_has_the_details_of_the_unknown_model() -> None:
    with pytest.raises(ModelNotFound) as of_model:
        resolve(generate_params("claude/latets"))
    with pytest.raises(ModelNotFound) as of_fallback:
        resolve(generate_params("openai/fast", fallback_models=("claude/latets",)))

    details = attrgetter("message", "solution", "provider", "model", "metadata")
    assert details(of_fallback.value) == details(of_model.value)
    assert isinstance(of_fallback.value.__cause__, ModelNotFound)
    assert of_fallback.value.__cause__.violations == ()


def test_bare_fallback_resolves_at_the_default_provider() -> None:
    caller = Caller(provider_keys={"openai": "k"})

    found = resolve(generate_params("claude/latest", fallback_models=("fast",)), caller=caller)

    assert found.targets[1].provider == "openai"
