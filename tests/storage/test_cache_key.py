"""Keys of the response cache: equal for equal requests of one owner, and different for all others."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from aimanager_server.config.response_cache import ResponseCacheSettings
from aimanager_server.core.content import (
    Attachment,
    Effort,
    JsonObjectFormat,
    Message,
    PromptOptimization,
    ReasoningOptions,
    Role,
    Sampling,
    Text,
    Tool,
    ToolChoice,
    ToolMode,
)
from aimanager_server.core.conversation import ConversationTurn
from aimanager_server.core.request import Call, Caller, Target
from aimanager_server.storage.cache_key import CacheKeys, context_digest
from tests.support.calls import TARGET, make_call
from tests.support.resolver import providers

OTHER = Target("mock", "mock-small")


async def key_of(call: Call, context: bytes = b"") -> bytes:
    return (await CacheKeys(context).of(call)).digest


@pytest.mark.parametrize(
    "changed",
    [
        {"caller": Caller("bob", "free")},
        {"caller": Caller("", "free")},
        {"caller": Caller("ann", "free", {"mock": "key"})},
        {"messages": (Message(Role.USER, (Text("Hi "),)),)},
        {"messages": (Message(Role.USER, (Text("Hi"),)), Message(Role.ASSISTANT, (Text("Hi"),)))},
        {"messages": (Message(Role.USER, (Text("Hi"), Attachment("image/png", data=b"1"))),)},
        {"turn": ConversationTurn("a", 1, 1, (0,))},
        {"turn": ConversationTurn("a", 1, 1, (0,), frozenset({0}))},
        {"system_instruction": "Be brief."},
        {"tools": (Tool("get_weather"),)},
        {"tool_choice": ToolChoice(ToolMode.NONE)},
        {"output_format": JsonObjectFormat()},
        {"extract_artifacts": True},
        {"optimizations": frozenset({PromptOptimization.HISTORY})},
        {"targets": (OTHER,)},
        {"targets": (TARGET, OTHER)},
        {"targets": (replace(TARGET, sampling=Sampling(temperature=0.5)),)},
        {"targets": (replace(TARGET, reasoning=ReasoningOptions(Effort.LOW)),)},
        {"targets": (replace(TARGET, options={"top_a": 1}),)},
    ],
    ids=str,
)
async def test_what_changes_the_response_changes_the_key(changed: dict[str, Any]) -> None:
    assert await key_of(replace(make_call(), **changed)) != await key_of(make_call())


async def test_what_does_not_change_the_response_does_not_change_the_key() -> None:
    changed = replace(
        make_call(), id="call-2", deadline=1.0, streaming=True, labels={"a": "b"}, requested_model="mock-large",
        idempotency_key="once", turn=ConversationTurn("a", 0, 0), caller=Caller("ann", "paid", is_admin=True),
    )  # fmt: skip

    assert await key_of(changed) == await key_of(make_call())


async def test_the_context_changes_the_key() -> None:
    assert await key_of(make_call(), b"filters") != await key_of(make_call())


@pytest.mark.parametrize(
    "changed",
    [
        {"base_url": "http://127.0.0.1:2/v1"},
        {"options": {"service_tier": "flex"}},
        {"headers": {"x-project": "b"}},
        {"api_version": "2030-01-01"},
    ],
    ids=str,
)
def test_the_context_is_how_providers_are_called(changed: dict[str, Any]) -> None:
    context = context_digest(providers())

    assert context_digest(providers(claude=changed)) != context
    assert context_digest(providers(claude={"max_in_flight": 1})) == context
    assert context_digest(providers(), ResponseCacheSettings()) != context


async def test_load_balancing_does_not_change_the_key_and_another_first_model_does() -> None:
    route, other_first = make_call(requested_model="route"), make_call(requested_model="mock/mock-small")
    first, second = replace(route, targets=(TARGET, OTHER)), replace(route, targets=(OTHER, TARGET))

    assert await key_of(first) == await key_of(second)
    assert await key_of(replace(other_first, targets=(OTHER, TARGET))) != await key_of(second)


async def test_names_and_own_keys_cannot_be_combined_into_those_of_another_owner() -> None:
    callers = [
        Caller("ann"), Caller("ann", provider_keys={"a": "b"}), Caller("ann", provider_keys={"a": "c"}),
        Caller("ann", provider_keys={"a": "b", "c": "d"}), Caller("ann", provider_keys={"a": "b\0c\0d"}),
        Caller("ann', [('a', 'b')"), Caller(), Caller(provider_keys={"a": "b"}),
    ]  # fmt: skip

    keys = [await key_of(make_call(caller=caller)) for caller in callers]

    assert len(set(keys)) == len(callers)


def test_every_field_of_a_call_is_in_the_key_or_is_known_not_to_change_the_response() -> None:
    of_this_call = {
        "id", "deadline", "streaming", "restart_on_interruption", "idempotency_key", "labels", "traceparent", "hops",
        "cache_policy", "upstream_timer", "attempts", "latest_deadline", "params",
        "cache_hint",
    }  # fmt: skip
    of_the_way = {
        "warnings", "defaulted_fields", "emulates_format", "context_window", "timeouts", "is_reasoning", "can_stream",
        "prefers_streaming",
    }  # fmt: skip
    in_key = {
        "caller", "requested_model", "messages", "targets", "system_instruction", "tools", "tool_choice",
        "output_format", "extract_artifacts", "optimizations", "turn",
    }  # fmt: skip

    assert {field.name for field in fields(Call)} == of_this_call | in_key
    assert {field.name for field in fields(Target)} == of_the_way | {
        "provider", "model", "sampling", "reasoning", "options",
    }  # fmt: skip
