"""A question becomes a Call."""

from __future__ import annotations

import pytest

from aimanager_server.catalog.catalog import Capability, Catalogue, Level, Model, Support
from aimanager_server.config.settings import Limits
from aimanager_server.core.content import Effort, ReasoningOptions, Sampling, ToolChoice, ToolMode
from aimanager_server.core.errors import CapabilityUnsupported, InvalidRequest, ModelNotFound
from aimanager_server.core.request import Caller
from aimanager_server.routing.resolver import Resolver
from tests.support.resolver import CATALOGUE, WEATHER, ask, providers, resolve, resolver, target, user


def test_a_call_holds_all_that_was_asked() -> None:
    asked = ask(
        "mock/latest",
        user("Hello"),
        system_instruction="Be brief.",
        tools=(WEATHER,),
        tool_choice=ToolChoice(ToolMode.AUTO),
        idempotency_key="once",
        labels={"team": "a"},
        restarts=True,
    )
    caller = Caller("ann", "free")

    call = resolver().resolve(asked, caller, id="call-1", deadline=60.0, streaming=True, trace="00-1-2-01")

    assert (call.id, call.caller, call.deadline, call.streaming, call.traceparent) == (
        "call-1",
        caller,
        60.0,
        True,
        "00-1-2-01",
    )
    assert call.restart_on_interruption
    assert call.requested_model == "mock/latest"
    assert call.messages == asked.messages
    assert call.system_instruction == "Be brief."
    assert (call.tools, call.tool_choice) == ((WEATHER,), ToolChoice(ToolMode.AUTO))
    assert (call.idempotency_key, call.labels) == ("once", {"team": "a"})


def test_the_target_is_the_concrete_model() -> None:
    call = resolve(ask("claude/latest"))

    assert len(call.targets) == 1
    assert (call.target.provider, call.target.model) == ("claude", "claude-opus-5-5")


def test_a_snapshot_is_asked_for_as_the_caller_wrote_it() -> None:
    assert target(ask("openai/gpt-5.1-2025-11-13")).model == "gpt-5.1-2025-11-13"


def test_options_are_those_of_the_target_alone() -> None:
    options = {"mock": {"script": "x"}, "claude": {"speed": "fast"}}

    assert target(ask("mock/latest", provider_options=options)).options == {"script": "x"}
    assert target(ask("openai/latest", provider_options=options)).options == {}


def test_what_nobody_said_is_not_said() -> None:
    found = target(ask("claude/latest"))

    assert found.sampling == Sampling()
    assert found.reasoning == ReasoningOptions()
    assert found.warnings == ()


def test_a_question_that_is_wrong_is_refused_before_its_model_is_looked_for() -> None:
    with pytest.raises(InvalidRequest):
        resolve(ask("nobody/knows", sampling=Sampling(temperature=9.0)))


def test_a_model_is_looked_for_before_what_it_can_do() -> None:
    with pytest.raises(ModelNotFound):
        resolve(ask("claude/knows", tools=(WEATHER,)))


def test_a_name_leads_to_its_facts() -> None:
    chosen = resolver().model("deepseek/fast")

    assert chosen.model == CATALOGUE.find("deepseek", "deepseek-flash")
    assert chosen.alias is not None
    assert chosen.alias.reasoning.effort is Effort.NONE


def test_streaming_is_refused_where_a_model_cannot() -> None:
    configured = providers(lab={"wire": "chat_completions", "base_url": "http://127.0.0.1:1"})
    silent = Model("lab", "slow", capabilities={Capability.STREAMING: Support(Level.NONE)})
    by = Resolver(Catalogue([silent]), configured, Limits())

    assert resolve(ask("lab/slow"), by).target.model == "slow"
    with pytest.raises(CapabilityUnsupported, match="does not stream") as refused:
        resolve(ask("lab/slow"), by, streaming=True)

    assert refused.value.metadata == {}
    assert refused.value.violations[0].field == "model"
