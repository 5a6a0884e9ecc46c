"""Resolving a request into a call."""

from __future__ import annotations

from typing import Any

import pytest

from aimanager_server.catalog.catalog import Catalog
from aimanager_server.catalog.model import Capability, Model, Support, SupportLevel
from aimanager_server.core.content import Effort, ReasoningOptions, Sampling, ToolChoice, ToolMode
from aimanager_server.core.errors import CapabilityUnsupported, InvalidRequest, ModelNotFound
from aimanager_server.core.request import Caller, GenerateParams
from tests.support.resolver import (
    CATALOG,
    LAB_SETTINGS,
    WEATHER,
    generate_params,
    make_resolver,
    providers,
    resolve,
    resolve_target,
    resolver_over,
    route,
    user_message,
)

OPUS, LUNA, FLASH = "claude/claude-opus-5-5", "openai/gpt-6-luna", "deepseek/deepseek-flash"


def test_call_has_all_fields_of_the_request() -> None:
    params = generate_params(
        "mock/latest",
        user_message("Hello"),
        system_instruction="Be brief.",
        tools=(WEATHER,),
        tool_choice=ToolChoice(ToolMode.AUTO),
        idempotency_key="once",
        labels={"team": "a"},
        restart_on_interruption=True,
    )
    caller = Caller("ann", "free")

    call = make_resolver().resolve(params, caller, id="call-1", deadline=60.0, streaming=True, traceparent="00-1-2-01")

    assert (call.id, call.caller, call.deadline, call.streaming, call.traceparent) == (
        "call-1",
        caller,
        60.0,
        True,
        "00-1-2-01",
    )
    assert call.restart_on_interruption
    assert call.requested_model == "mock/latest"
    assert call.messages == params.messages
    assert call.system_instruction == "Be brief."
    assert (call.tools, call.tool_choice) == ((WEATHER,), ToolChoice(ToolMode.AUTO))
    assert (call.idempotency_key, call.labels) == ("once", {"team": "a"})


def test_target_is_the_model_of_the_alias() -> None:
    call = resolve(generate_params("claude/latest"))

    assert len(call.targets) == 1
    assert (call.target.provider, call.target.model) == ("claude", "claude-opus-5-5")


def test_alternate_id_is_kept() -> None:
    assert resolve_target(generate_params("openai/gpt-5.1-2025-11-13")).model == "gpt-5.1-2025-11-13"


def test_target_has_the_native_options_of_its_provider_only() -> None:
    options = {"mock": {"script": "x"}, "claude": {"thinking": {}}}

    assert resolve_target(generate_params("mock/latest", provider_options=options)).options == {"script": "x"}
    assert resolve_target(generate_params("openai/latest", provider_options=options)).options == {}


def test_unset_options_stay_unset() -> None:
    found = resolve_target(generate_params("claude/latest"))

    assert found.sampling == Sampling()
    assert found.reasoning == ReasoningOptions()
    assert found.warnings == ()


def test_validation_precedes_the_model_lookup() -> None:
    with pytest.raises(InvalidRequest):
        resolve(generate_params("nobody/knows", sampling=Sampling(temperature=9.0)))


def test_model_lookup_precedes_the_capability_check() -> None:
    with pytest.raises(ModelNotFound):
        resolve(generate_params("claude/knows", tools=(WEATHER,)))


class CountingCatalog(Catalog):
    """A catalog that records the models that are looked up."""

    def __init__(self, *contents: Any) -> None:
        super().__init__(*contents)
        self.found: list[str] = []

    def find(self, provider: str, model_id: str) -> Model | None:
        self.found.append(f"{provider}/{model_id}")
        return super().find(provider, model_id)


@pytest.mark.parametrize(
    ("params", "found"),
    [
        (generate_params("claude/latest"), [OPUS]),
        (generate_params("claude/latest", fallback_models=("openai/fast",)), [OPUS, LUNA]),
        (generate_params("chat", fallback_models=("claude/latest",)), [LUNA, FLASH, OPUS]),
    ],
)
def test_each_candidate_is_looked_up_once(params: GenerateParams, found: list[str]) -> None:
    catalog = CountingCatalog(CATALOG.models(), CATALOG.aliases())
    resolver = resolver_over(catalog, routes={"chat": route("openai/fast", "deepseek/fast", policy="lowest_cost")})
    catalog.found.clear()

    resolve(params, resolver)

    assert catalog.found == found


def test_facts_of_a_listed_model_apply_to_the_next_call() -> None:
    catalog = Catalog([])
    resolver = resolver_over(catalog, providers(lab=LAB_SETTINGS))
    params = generate_params("lab/new")

    catalog.update_listed("lab", [Model("lab", "new", context_window=100)])
    before = resolve_target(params, resolver)
    catalog.update_listed("lab", [Model("lab", "new", context_window=200)])
    after = resolve_target(params, resolver)

    assert (before.context_window, after.context_window) == (100, 200)


def test_resolved_model_has_facts_and_alias() -> None:
    resolved = make_resolver().resolve_model("deepseek/fast")

    assert resolved.model == CATALOG.find("deepseek", "deepseek-flash")
    assert resolved.alias is not None
    assert resolved.alias.reasoning.effort is Effort.NONE


def test_streaming_is_rejected_for_a_model_without_it() -> None:
    configured = providers(lab={"wire": "chat_completions", "base_url": "http://127.0.0.1:1"})
    unary = Model("lab", "slow", capabilities={Capability.STREAMING: Support(SupportLevel.NONE)})
    resolver = resolver_over(Catalog([unary]), configured)

    assert resolve(generate_params("lab/slow"), resolver).target.model == "slow"
    with pytest.raises(CapabilityUnsupported, match="does not support streaming") as raised:
        resolve(generate_params("lab/slow"), resolver, streaming=True)

    assert raised.value.metadata == {}
    assert raised.value.violations[0].field == "model"
