"""CountTokens, SuggestModels and refreshed lists through a whole gateway, over real sockets to fake providers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from aimanager.v1 import health_pb2, model_pb2, usage_pb2
from tests.support.rpc_operations import World, question, refused, world


@pytest.fixture(scope="module")
def shared() -> Iterator[World]:
    with world() as one:
        yield one


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("claude/latest", "/v1/messages/count_tokens"),
        ("openai/latest", "/v1/responses/input_tokens"),
        ("gemini/latest", "/v1beta/models/gemini-4-argon:countTokens"),
    ],
)
def test_a_provider_that_counts_is_asked(shared: World, model: str, path: str) -> None:
    answer = shared.models.CountTokens(question(model), timeout=10)

    assert shared.provider.paths[-1] == path
    assert (answer.input_tokens, answer.source) == (42, usage_pb2.USAGE_SOURCE_REPORTED)
    assert answer.model.startswith(model.partition("/")[0])


def test_one_that_cannot_count_leaves_an_estimate(shared: World) -> None:
    answer = shared.models.CountTokens(question("deepseek/latest"), timeout=10)

    assert (answer.input_tokens, answer.source) == (11, usage_pb2.USAGE_SOURCE_ESTIMATED)
    assert answer.model == "deepseek/deepseek-v4-pro"


def test_a_question_that_could_not_be_asked_is_not_counted(shared: World) -> None:
    seen = refused(lambda: shared.models.CountTokens(model_pb2.CountTokensRequest(), timeout=10))

    assert list(seen.fields) == ["messages"]


def test_models_are_suggested_for_a_need(shared: World) -> None:
    request = model_pb2.SuggestModelsRequest(
        required=[model_pb2.CAPABILITY_IMAGE_INPUT],
        preferred=[model_pb2.CAPABILITY_REASONING],
        objective=model_pb2.OBJECTIVE_COST,
        providers=["claude", "openai"],
        min_context_window_tokens=300_000,
    )

    found = shared.models.SuggestModels(request, timeout=10).suggestions

    assert len(found) == 3
    assert {one.model.provider for one in found} <= {"claude", "openai"}
    assert all(one.model.context_window_tokens >= 300_000 and one.reasons and one.model.available for one in found)
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        ({"required": [99]}, "required[0]"),
        ({"preferred": [1, 0]}, "preferred[1]"),
        ({"objective": 9}, "objective"),
        ({"min_context_window_tokens": -1}, "min_context_window_tokens"),
        ({"max_results": -1}, "max_results"),
    ],
)
def test_a_need_that_cannot_be_read_is_named(shared: World, request_: dict[str, Any], field: str) -> None:
    seen = refused(lambda: shared.models.SuggestModels(model_pb2.SuggestModelsRequest(**request_), timeout=10))

    assert list(seen.fields) == [field]


def test_a_need_at_a_provider_that_is_none_is_not_found(shared: World) -> None:
    seen = refused(
        lambda: shared.models.SuggestModels(model_pb2.SuggestModelsRequest(providers=["nobody"]), timeout=10)
    )

    assert seen.reason == "PROVIDER_NOT_FOUND"


def test_a_refreshed_list_has_what_only_the_providers_know_and_survives_one_that_fails() -> None:
    with world() as one:
        one.provider.broken.add("/v1beta/models")
        before = one.models.ListModels(model_pb2.ListModelsRequest(page_size=500), timeout=10)
        after = one.models.ListModels(model_pb2.ListModelsRequest(page_size=500, refresh=True), timeout=10)
        states = {
            state.provider: state
            for state in one.health.ListProviderHealth(health_pb2.ListProviderHealthRequest()).providers
        }
        named = model_pb2.ListModelsRequest(provider="gemini", refresh=True)
        seen = refused(lambda: one.models.ListModels(named, timeout=10))
        counted = one.models.CountTokens(question("openai/brand-new"), timeout=10)

    new = {model.id for model in after.models} - {model.id for model in before.models}
    assert new == {"openai/brand-new", "claude/brand-new", "deepseek/brand-new"}
    assert next(model for model in after.models if model.id == "openai/brand-new") == model_pb2.Model(
        id="openai/brand-new", provider="openai", display_name="brand-new", available=True
    )
    assert states["gemini"].status == health_pb2.PROVIDER_STATUS_DEGRADED
    assert states["openai"].status == health_pb2.PROVIDER_STATUS_HEALTHY
    assert seen.reason == "PROVIDER_CREDENTIALS_INVALID"
    assert counted.model == "openai/brand-new"


def test_later_pages_of_a_refreshed_list_ask_nobody() -> None:
    with world() as one:
        first = one.models.ListModels(model_pb2.ListModelsRequest(page_size=5, refresh=True), timeout=10)
        asked = len(one.provider.paths)
        one.models.ListModels(
            model_pb2.ListModelsRequest(page_size=5, page_token=first.next_page_token, refresh=True), timeout=10
        )

        assert len(one.provider.paths) == asked > 0
