"""Keys of prompt caches: no two callers share one, and no provider receives what it does not document."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest

from aimanager_server.config.providers import ProviderSettings
from aimanager_server.config.settings import Limits
from aimanager_server.core.conversation import ConversationTurn
from aimanager_server.core.request import Attempt, Call, Caller, Target
from aimanager_server.providers.factory import wires_of
from tests.support.prompt_cache_requests import (
    CATALOG,
    CLAUDE,
    OPENAI,
    body_of,
    conversation,
    request_of,
    turn,
)
from tests.support.wire_cases import user


@pytest.mark.parametrize(
    ("model", "field"),
    [
        (OPENAI, "prompt_cache_key"),
        (("openai", "gpt-4.1"), "prompt_cache_key"),
        (("mistral", "mistral-medium-3-5"), "prompt_cache_key"),
        (("deepseek", "deepseek-flash"), "user_id"),
        (("xai", "grok-4.7"), "x-grok-conv-id"),
    ],
)
def test_two_callers_never_use_the_same_cache_key(model: tuple[str, str], field: str) -> None:
    def key(caller: Caller, conversation_id: str = "", **fields: Any) -> str:
        messages = conversation(2, model)
        own = ConversationTurn(conversation_id, 1, 2) if conversation_id else None
        request = request_of(model, *messages, caller=caller, turn=own, **fields)
        value: str = {**json.loads(request.body), **request.headers}[field]
        return value

    callers = [Caller("ann"), Caller("bob"), Caller(), Caller("ann", provider_keys={model[0]: "sk-own"})]
    keys = {caller.name + str(caller.provider_keys): key(caller) for caller in callers}
    in_conversations = {key(caller, one) for caller in callers for one in ("conv_1", "conv_2")}

    assert len(set(keys.values())) == len(callers)
    assert key(Caller("ann")) == keys["ann{}"] != key(Caller("ann"), settings={"api_key": "sk-2"})
    assert all("ann" not in value and len(value) <= 64 for value in keys.values())
    # DeepSeek's key separates users; the others find what belongs together.
    assert len(in_conversations) == (len(callers) if field == "user_id" else 2 * len(callers))
    if not field.startswith("x-"):
        chosen = {key(Caller(name), options={field: "mine"}) for name in ("ann", "bob")}
        assert len(chosen) == 2
        assert key(Caller("ann"), options={field: "mine"}) in chosen
        assert all(value.endswith("_mine") for value in chosen) == (field == "user_id")
        assert field not in body_of(model, user("Hi"), options={field: None})
        assert body_of(model, user("Hi"), settings={"options": {field: "ours"}})[field] == "ours"


@pytest.mark.parametrize(
    "model", [CLAUDE, ("gemini", "gemini-4-argon"), ("groq", "openai/gpt-oss-120b"), ("deepseek", "deepseek-flash")]
)
def test_providers_receive_only_the_fields_that_they_document(model: tuple[str, str]) -> None:
    messages = conversation(3, model)
    on, off = (
        request_of(model, *messages, turn=turn(messages), settings={"prompt_cache": value}) for value in (True, False)
    )

    assert set(json.loads(on.body)) - set(json.loads(off.body)) == ({"user_id"} if model[0] == "deepseek" else set())
    assert on.headers == off.headers


def test_a_key_without_an_api_key_is_random() -> None:
    settings = ProviderSettings(wire="responses", base_url="http://127.0.0.1:1", api_key_env="")

    def key() -> str:
        wire, _ = wires_of("openai", settings, Limits(), partial(CATALOG.find, "openai"))
        target = Target("openai", "gpt-6.2-sol")
        call = Call("call-1", Caller("ann"), "", (user("Hi"),), (target,), 1e9)
        value: str = json.loads(wire.encode(Attempt.of(call, target, 0.0), "").body)["prompt_cache_key"]
        return value

    assert key() != key()
