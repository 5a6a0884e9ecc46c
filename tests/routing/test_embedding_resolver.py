"""Resolving embedding requests."""

from __future__ import annotations

from typing import Any

import pytest

from aimanager_server.catalog.catalog import Catalog
from aimanager_server.config.settings import Limits, RouteSettings, ServerSettings, Settings
from aimanager_server.core.content import Message, Role, Text
from aimanager_server.core.embedding import EmbedCall, EmbeddingPurpose, EmbedParams
from aimanager_server.core.errors import CapabilityUnsupported, InvalidRequest, ModelNotFound, PayloadTooLarge
from aimanager_server.core.request import Caller, Target
from aimanager_server.routing.embedding_resolver import EmbeddingResolver
from tests.support.resolver import resolver_over

LIMITS = Limits(max_embedding_inputs=3, max_json_depth=3)
SETTINGS = Settings.model_validate(
    {
        "limits": LIMITS.model_dump(),
        "providers": {
            "mistral": {"api_key": "k"},
            "local": {"wire": "chat_completions", "base_url": "http://127.0.0.1:1/v1", "allow_any_model": True},
        },
    }
)
CATALOG = Catalog.load().with_providers(SETTINGS.providers)

ANN = Caller("ann")
ROUTES = {
    "one": RouteSettings(targets=["openai/text-embedding-3-small"], fallback_models=["mistral/mistral-embed"]),
    "many": RouteSettings(targets=["openai/text-embedding-3-small", "mistral/mistral-embed"]),
}


def resolve(params: EmbedParams, limits: Limits = LIMITS, caller: Caller = ANN) -> EmbedCall:
    server = ServerSettings(default_model="many")
    resolver = resolver_over(CATALOG, SETTINGS.providers, server=server, routes=ROUTES)
    embedders = ("mock", "openai", "mistral", "local")
    embedding_resolver = EmbeddingResolver(CATALOG, resolver, embedders, SETTINGS.providers, limits)
    return embedding_resolver.resolve(params, caller, id="call-1", deadline=9.0, traceparent="t")


def embed_params(*inputs: str, model: str = "openai/text-embedding-3-small", **more: Any) -> EmbedParams:
    return EmbedParams(inputs, model, **more)


def test_call_has_all_resolved_fields() -> None:
    params = embed_params(
        "a", "b", dimensions=8, purpose=EmbeddingPurpose.QUERY, provider_options={"openai": {"user": "ann"}}
    )

    call = resolve(params)

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


def test_bare_id_resolves_to_the_only_provider_that_has_it() -> None:
    assert resolve(embed_params("a", model="mistral-embed-2312")).target.provider == "mistral"


def test_route_with_one_target_is_accepted_without_its_fallbacks() -> None:
    call = resolve(embed_params("a", model="one"))

    assert [(one.provider, one.model) for one in call.targets] == [("openai", "text-embedding-3-small")]


def test_route_with_several_targets_is_rejected_since_their_vectors_differ() -> None:
    with pytest.raises(InvalidRequest, match="got a route with 2 targets, whose vectors differ") as raised:
        resolve(embed_params("a", model="many"))

    assert [one.field for one in raised.value.violations] == ["model"]


def test_unknown_model_may_return_embeddings() -> None:
    call = resolve(embed_params("a", model="local/nomic-embed-text", dimensions=99))

    assert (call.target.model, call.dimensions) == ("nomic-embed-text", 99)


@pytest.mark.parametrize("model", ["claude/latest", "openai/latest", "deepseek/latest"])
def test_generation_model_is_rejected_with_suggestions(model: str) -> None:
    with pytest.raises(CapabilityUnsupported, match="does not return embeddings") as raised:
        resolve(embed_params("a", model=model))

    assert "openai/text-embedding-3-large" in raised.value.metadata["models"]
    assert "mock" not in raised.value.metadata["models"]
    assert raised.value.violations[0].field == "model"


def test_provider_without_an_embeddings_api_is_rejected() -> None:
    with pytest.raises(CapabilityUnsupported):
        resolve(embed_params("a", model="gemini/gemini-embedding-2"))


@pytest.mark.parametrize("dimensions", [1537, 100_000])
def test_unsupported_dimensions_are_rejected_with_suggestions(dimensions: int) -> None:
    with pytest.raises(CapabilityUnsupported, match=f"does not support vectors of {dimensions} dimensions") as raised:
        resolve(embed_params("a", dimensions=dimensions))

    assert raised.value.violations[0].field == "dimensions"
    assert ("openai/text-embedding-3-large" in raised.value.metadata.get("models", "")) == (dimensions <= 3072)


@pytest.mark.parametrize(("dimensions", "is_supported"), [(1024, True), (512, False)])
def test_model_with_fixed_dimensions_accepts_only_those(dimensions: int, is_supported: bool) -> None:
    params = embed_params("a", model="mistral/mistral-embed", dimensions=dimensions)

    if is_supported:
        assert resolve(params).dimensions == 1024
    else:
        with pytest.raises(CapabilityUnsupported):
            resolve(params)


@pytest.mark.parametrize(
    ("params", "fields"),
    [
        (embed_params(), ["inputs"]),
        (embed_params("a", "", "b"), ["inputs[1]"]),
        (embed_params("a", "b", "c", "d"), ["inputs"]),
        (embed_params("a", dimensions=0), ["dimensions"]),
        (embed_params("a", model=""), ["model"]),
        (embed_params("", model="", dimensions=-1), ["model", "inputs[0]", "dimensions"]),
        (embed_params("a", provider_options={"nobody": {}}), ['provider_options_json["nobody"]']),
        (embed_params("a", provider_options={"openai": {"a": [[[1]]]}}), ['provider_options_json["openai"]']),
    ],
)
def test_invalid_fields_are_reported(params: EmbedParams, fields: list[str]) -> None:
    with pytest.raises(InvalidRequest) as raised:
        resolve(params)

    assert [violation.field for violation in raised.value.violations] == fields


def test_missing_model_is_rejected_with_the_embedding_models_of_providers_with_a_key() -> None:
    with pytest.raises(InvalidRequest, match=r"such as mistral/codestral-embed, mistral/mistral-embed\."):
        resolve(embed_params("a", model=""))
    with pytest.raises(InvalidRequest, match="mistral/mistral-embed, openai/text-embedding-3-large"):
        resolve(embed_params("a", model=""), caller=Caller("ann", provider_keys={"openai": "k"}))


def test_unknown_model_of_a_provider_is_not_found() -> None:
    with pytest.raises(ModelNotFound):
        resolve(embed_params("a", model="openai/text-embedding-9"))


def test_response_over_the_message_limit_is_rejected_before_the_upstream_call() -> None:
    limits = Limits(max_message_bytes=2 * 1536 * 4)

    assert resolve(embed_params("a", "b"), limits)
    expected = "inputs must have at most 2 items for vectors of 1536 dimensions, got 3"
    with pytest.raises(PayloadTooLarge, match=expected) as raised:
        resolve(embed_params("a", "b", "c"), limits)

    assert raised.value.metadata == {"limit": "12288", "actual": "18432"}
    assert resolve(embed_params("a", "b", "c", dimensions=8), limits)
