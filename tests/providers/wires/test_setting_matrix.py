"""Every setting of a caller, on every wire and model, is in the body that is sent or in a warning that names it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from aimanager_server.config.provider_defaults import KNOWN_PROVIDERS
from aimanager_server.config.settings import Limits
from aimanager_server.core.content import CacheHint, Effort, ReasoningOptions, Sampling, ToolChoice
from aimanager_server.core.errors import CapabilityUnsupported
from aimanager_server.core.request import Attempt, Call, Caller, Target
from aimanager_server.providers.factory import wires_of
from tests.support.resolver import CATALOG, generate_params, provider_settings, resolver_over, user_message
from tests.support.setting_matrix import (
    LABS,
    PROVIDERS,
    SETTINGS,
    TOOLS,
    UNKNOWN_MODEL,
    models_of,
    resolver_for,
    sent,
)


def body_and_warned_fields(provider: str, model: str, settings: dict[str, Any]) -> tuple[bytes, set[str]]:
    request = sent(provider, model, settings)
    return request.body, {warning.field for warning in request.warnings}


def is_default(provider: str, model_id: str, value: dict[str, Any]) -> bool:
    """Return whether the server does what is requested without a field for it."""
    _, catalog = resolver_for(provider)
    model = catalog.find(provider, model_id)
    assert model is not None
    wire = LABS.get(provider, KNOWN_PROVIDERS.get(provider, {})).get("wire")
    if value.get("cache_hint") is CacheHint.SHORT:
        return model.prompt_cache is not None and not model.prompt_cache.breakpoints
    if value.get("tool_choice") == ToolChoice(parallel=True):
        return wire in ("anthropic", "gemini")
    match value.get("reasoning"):
        case ReasoningOptions(include=True):  # Such a server returns its reasoning in any case.
            return wire == "chat_completions"
        case ReasoningOptions(effort=Effort.NONE):
            return model.thinking == "none"
        case ReasoningOptions(effort=Effort.HIGH):
            return model_id.startswith("magistral")
    return False


def dropped_settings(provider: str, model: str) -> Iterator[str]:
    """Yield the values that neither change the body nor lead to a warning."""
    for field, values in SETTINGS.items():
        bodies = {body_and_warned_fields(provider, model, {"tools": TOOLS} if "tool" in field else {})[0]}
        for value in values:
            try:
                body, warned = body_and_warned_fields(provider, model, value)
            except CapabilityUnsupported:
                continue
            if field in warned or is_default(provider, model, value):
                continue
            if body in bodies:
                yield f"{provider}/{model}: {field} {value}"
            bodies.add(body)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_no_setting_is_dropped_without_a_warning(provider: str) -> None:
    dropped = [line for model in models_of(provider) for line in dropped_settings(provider, model)]

    assert dropped == []


@pytest.mark.parametrize("provider", PROVIDERS)
def test_the_effort_that_a_budget_replaces_leads_to_a_warning(provider: str) -> None:
    both = ReasoningOptions(Effort.MEDIUM, budget_tokens=20_000)
    silent = []

    for model in models_of(provider):
        body, warned = body_and_warned_fields(provider, model, {"reasoning": both})
        without_effort, _ = body_and_warned_fields(provider, model, {"reasoning": replace(both, effort=None)})
        without_budget, _ = body_and_warned_fields(provider, model, {"reasoning": replace(both, budget_tokens=None)})
        if body == without_effort and not warned & {"reasoning.effort", "reasoning.budget_tokens"}:
            silent.append(f"{model}: effort")
        if body == without_budget and "reasoning.budget_tokens" not in warned:
            silent.append(f"{model}: budget")

    assert silent == []


def test_changed_values_name_what_is_used() -> None:
    _, catalog = resolver_for("claude")
    settings = provider_settings("claude")
    wire, _ = wires_of("claude", settings, Limits(), partial(catalog.find, "claude"))
    target = Target("claude", UNKNOWN_MODEL, Sampling(seed=7), ReasoningOptions(Effort.MINIMAL))
    call = Call("call-1", Caller(), "", (user_message("Hi"),), (target,), 60.0)

    def warnings(target: Target) -> list[str]:
        request = wire.encode(Attempt.of(call, target, 0.0), "")
        return [f"{warning.field}: {warning.message}" for warning in request.warnings]

    assert warnings(target) == [
        "reasoning.effort: The Messages API does not support effort minimal; low is used.",
        "sampling.seed: The Messages API has no seed; seed was removed.",
    ]
    assert warnings(replace(target, defaulted_fields=frozenset(("sampling.seed", "reasoning.effort")))) == []


def test_options_of_the_operator_or_of_an_alias_are_not_the_callers() -> None:
    settings = provider_settings("claude", defaults={"temperature": 0.5})
    resolver = resolver_over(CATALOG.with_providers({"claude": settings}), {"claude": settings}, limits=Limits())

    def defaulted(model: str, **options: Any) -> frozenset[str]:
        params = generate_params(model, **options)
        return resolver.resolve(params, Caller(), id="call-1", deadline=60.0, streaming=False).target.defaulted_fields

    own = ReasoningOptions(Effort.LOW, 2000, include=True)
    of_caller = defaulted("claude/claude-opus-4-6", reasoning=own, sampling=Sampling(seed=1))
    assert {"reasoning.effort", "reasoning.include"} <= defaulted("claude/reasoning")
    assert "sampling.temperature" in of_caller
    assert not {"reasoning.effort", "reasoning.budget_tokens", "reasoning.include", "sampling.seed"} & of_caller
