"""What is decided about texts to embed before a provider is asked."""

from __future__ import annotations

from typing import Any

import pytest

from aimanager_server.catalog.catalog import Catalogue
from aimanager_server.config.settings import Limits, RouteSettings, Settings
from aimanager_server.core.content import Message, Role, Text
from aimanager_server.core.embedding import EmbedCall, EmbeddingPurpose, EmbedParams
from aimanager_server.core.errors import CapabilityUnsupported, InvalidRequest, ModelNotFound, PayloadTooLarge
from aimanager_server.core.request import Caller, Target
from aimanager_server.routing.embedding_resolver import EmbedResolver
from aimanager_server.routing.resolver import Resolver

ROOM = Limits(embedding_inputs=3, json_depth=3)
SETTINGS = Settings.model_validate(
    {
        "limits": ROOM.model_dump(),
        "providers": {
            "mistral": {"api_key": "k"},
            "local": {"wire": "chat_completions", "base_url": "http://127.0.0.1:1/v1", "allow_any_model": True},
        },
    }
)
CATALOGUE = Catalogue.load().with_providers(SETTINGS.providers)

ROUTES = {
    "one": RouteSettings(targets=["openai/text-embedding-3-small"], fallback_models=["mistral/mistral-embed"]),
    "many": RouteSettings(targets=["openai/text-embedding-3-small", "mistral/mistral-embed"]),
}


def resolve(ask: EmbedParams, limits: Limits = ROOM) -> EmbedCall:
    names = Resolver(CATALOGUE, SETTINGS.providers, SETTINGS.limits, "many", routes=ROUTES)
    resolver = EmbedResolver(CATALOGUE, names, ("mock", "openai", "mistral", "local"), SETTINGS.providers, limits)
    return resolver.resolve(ask, Caller("ann"), id="call-1", deadline=9.0, trace="t")


def asking(*inputs: str, model: str = "openai/text-embedding-3-small", **more: Any) -> EmbedParams:
    return EmbedParams(inputs, model, **more)


def test_a_call_holds_all_that_was_decided() -> None:
    ask = asking("a", "b", dimensions=8, purpose=EmbeddingPurpose.QUERY, provider_options={"openai": {"user": "ann"}})

    call = resolve(ask)

    assert call == EmbedCall(
        id="call-1",
        caller=Caller("ann"),
        requested_model="openai/text-embedding-3-small",
        messages=(Message(Role.USER, (Text("a"), Text("b"))),),
        targets=(Target("openai", "text-embedding-3-small", options={"user": "ann"}),),
        deadline=9.0,
        traceparent="t",
        dimensions=8,
        purpose=EmbeddingPurpose.QUERY,
    )
    assert call.inputs == ("a", "b")


def test_a_bare_id_is_found_where_one_provider_lists_it() -> None:
    assert resolve(asking("a", model="mistral-embed-2312")).target.provider == "mistral"


def test_a_route_of_one_target_is_taken_and_its_fallbacks_never() -> None:
    call = resolve(asking("a", model="one"))

    assert [(one.provider, one.model) for one in call.targets] == [("openai", "text-embedding-3-small")]


def test_a_route_of_several_targets_is_refused_since_their_vectors_differ() -> None:
    with pytest.raises(InvalidRequest, match="is a route of 2 targets, whose vectors differ") as caught:
        resolve(asking("a", model="many"))

    assert [one.field for one in caught.value.violations] == ["model"]


def test_a_model_nobody_knows_may_make_vectors() -> None:
    call = resolve(asking("a", model="local/nomic-embed-text", dimensions=99))

    assert (call.target.model, call.dimensions) == ("nomic-embed-text", 99)


@pytest.mark.parametrize("model", ["claude/latest", "openai/latest", "deepseek/latest"])
def test_a_model_that_answers_makes_none_and_others_are_named(model: str) -> None:
    with pytest.raises(CapabilityUnsupported, match="makes no vectors") as caught:
        resolve(asking("a", model=model))

    assert "openai/text-embedding-3-large" in caught.value.metadata["models"]
    assert "mock" not in caught.value.metadata["models"]
    assert caught.value.violations[0].field == "model"


def test_a_provider_without_vectors_makes_none_even_of_a_model_that_could() -> None:
    with pytest.raises(CapabilityUnsupported):
        resolve(asking("a", model="gemini/gemini-embedding-2"))


@pytest.mark.parametrize("dimensions", [1537, 100_000])
def test_a_length_that_a_model_cannot_make_is_refused_and_one_named_that_can(dimensions: int) -> None:
    with pytest.raises(CapabilityUnsupported, match=f"no vectors of {dimensions} components") as caught:
        resolve(asking("a", dimensions=dimensions))

    assert caught.value.violations[0].field == "dimensions"
    assert ("openai/text-embedding-3-large" in caught.value.metadata.get("models", "")) == (dimensions <= 3072)


@pytest.mark.parametrize(("dimensions", "passes"), [(1024, True), (512, False)])
def test_a_model_of_one_length_makes_that_alone(dimensions: int, passes: bool) -> None:
    ask = asking("a", model="mistral/mistral-embed", dimensions=dimensions)

    if passes:
        assert resolve(ask).dimensions == 1024
    else:
        with pytest.raises(CapabilityUnsupported):
            resolve(ask)


@pytest.mark.parametrize(
    ("ask", "fields"),
    [
        (asking(), ["inputs"]),
        (asking("a", "", "b"), ["inputs[1]"]),
        (asking("a", "b", "c", "d"), ["inputs"]),
        (asking("a", dimensions=0), ["dimensions"]),
        (asking("a", model=""), ["model"]),
        (asking("", model="", dimensions=-1), ["model", "inputs[0]", "dimensions"]),
        (asking("a", provider_options={"nobody": {}}), ['provider_options_json["nobody"]']),
        (asking("a", provider_options={"openai": {"a": [[[1]]]}}), ['provider_options_json["openai"]']),
    ],
)
def test_what_cannot_be_embedded_is_told_by_field(ask: EmbedParams, fields: list[str]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        resolve(ask)

    assert [violation.field for violation in caught.value.violations] == fields


def test_a_missing_model_is_told_which_there_are() -> None:
    with pytest.raises(InvalidRequest, match="mistral/mistral-embed, openai/text-embedding-3-large"):
        resolve(asking("a", model=""))


def test_a_model_that_does_not_exist_is_not_found() -> None:
    with pytest.raises(ModelNotFound):
        resolve(asking("a", model="openai/text-embedding-9"))


def test_vectors_that_no_answer_could_carry_are_refused_before_they_are_paid_for() -> None:
    limits = Limits(message_bytes=2 * 1536 * 4)

    assert resolve(asking("a", "b"), limits)
    with pytest.raises(
        PayloadTooLarge, match="3 vectors of 1536 components do not fit into one answer; 2 do"
    ) as caught:
        resolve(asking("a", "b", "c"), limits)

    assert caught.value.metadata == {"limit": "12288", "actual": "18432"}
    assert resolve(asking("a", "b", "c", dimensions=8), limits)
