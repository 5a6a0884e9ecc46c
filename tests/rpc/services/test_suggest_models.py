"""CountTokens, SuggestModels and refreshed model lists through a complete gateway and a fake provider server."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from aimanager.v1 import health_pb2, model_pb2, usage_pb2
from tests.support.rpc_operations import RunningGateway, running_gateway, sync_failure_of


@pytest.fixture(scope="module")
def gateway() -> Iterator[RunningGateway]:
    with running_gateway() as running:
        yield running


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("claude/latest", "/v1/messages/count_tokens"),
        ("openai/latest", "/v1/responses/input_tokens"),
        ("gemini/latest", "/v1beta/models/gemini-4-argon:countTokens"),
    ],
)
def test_the_providers_token_count_is_reported(gateway: RunningGateway, model: str, path: str) -> None:
    response = gateway.count_tokens(model)

    assert gateway.upstream.paths[-1] == path
    assert (response.input_tokens, response.source) == (42, usage_pb2.USAGE_SOURCE_REPORTED)
    assert response.provider == model.partition("/")[0]


def test_tokens_are_estimated_for_a_provider_that_does_not_count(gateway: RunningGateway) -> None:
    response = gateway.count_tokens("deepseek/latest")

    assert (response.input_tokens, response.source) == (11, usage_pb2.USAGE_SOURCE_ESTIMATED)
    assert (response.provider, response.model) == ("deepseek", "deepseek-v4-pro")


def test_tokens_of_an_invalid_request_are_not_counted(gateway: RunningGateway) -> None:
    failure = sync_failure_of(lambda: gateway.models.CountTokens(model_pb2.CountTokensRequest(), timeout=10))

    assert list(failure.fields) == ["request.messages"]


def test_suggested_models_meet_the_requirements(gateway: RunningGateway) -> None:
    request = model_pb2.SuggestModelsRequest(
        required=[model_pb2.CAPABILITY_IMAGE_INPUT],
        preferred=[model_pb2.CAPABILITY_REASONING],
        objective=model_pb2.OBJECTIVE_COST,
        providers=["claude", "openai"],
        min_context_window_tokens=300_000,
    )

    suggestions = gateway.models.SuggestModels(request, timeout=10).suggestions

    assert len(suggestions) == 3
    assert {one.model.provider for one in suggestions} <= {"claude", "openai"}
    assert all(one.model.context_window_tokens >= 300_000 and one.model.available for one in suggestions)
    assert all(one.reasons for one in suggestions)
    assert [one.score for one in suggestions] == sorted((one.score for one in suggestions), reverse=True)


def test_an_invalid_requirement_is_named(gateway: RunningGateway) -> None:
    invalid: list[tuple[str, dict[str, Any]]] = [
        ("required[0]", {"required": [99]}),
        ("preferred[1]", {"preferred": [1, 0]}),
        ("objective", {"objective": 9}),
        ("min_context_window_tokens", {"min_context_window_tokens": -1}),
        ("max_results", {"max_results": -1}),
    ]

    failures = [
        sync_failure_of(partial(gateway.models.SuggestModels, model_pb2.SuggestModelsRequest(**fields), timeout=10))
        for _, fields in invalid
    ]

    assert [list(failure.fields) for failure in failures] == [[path] for path, _ in invalid]


def test_suggestions_of_an_unknown_provider_are_not_found(gateway: RunningGateway) -> None:
    request = model_pb2.SuggestModelsRequest(providers=["nobody"])

    failure = sync_failure_of(lambda: gateway.models.SuggestModels(request, timeout=10))

    assert failure.reason == "PROVIDER_NOT_FOUND"


def test_refresh_adds_models_from_the_providers_lists_and_tolerates_one_that_fails() -> None:
    with running_gateway() as gateway:
        gateway.upstream.broken.add("/v1beta/models")
        before = gateway.models.ListModels(model_pb2.ListModelsRequest(page_size=500), timeout=10)
        after = gateway.models.ListModels(model_pb2.ListModelsRequest(page_size=500, refresh=True), timeout=10)
        health = gateway.health.ListProviderHealth(health_pb2.ListProviderHealthRequest())
        only_gemini = model_pb2.ListModelsRequest(provider="gemini", refresh=True)
        failure = sync_failure_of(lambda: gateway.models.ListModels(only_gemini, timeout=10))
        counted = gateway.count_tokens("openai/brand-new")

    added = {model.id for model in after.models} - {model.id for model in before.models}
    assert added == {"openai/brand-new", "claude/brand-new", "deepseek/brand-new"}
    assert next(model for model in after.models if model.id == "openai/brand-new") == model_pb2.Model(
        id="openai/brand-new", provider="openai", model="brand-new", display_name="brand-new", available=True
    )
    statuses = {report.provider: report.status for report in health.providers}
    assert statuses["gemini"] == health_pb2.PROVIDER_STATUS_DEGRADED
    assert statuses["openai"] == health_pb2.PROVIDER_STATUS_HEALTHY
    assert failure.reason == "PROVIDER_CREDENTIALS_INVALID"
    assert (counted.provider, counted.model) == ("openai", "brand-new")


def test_only_the_first_page_of_a_refreshed_list_calls_the_providers() -> None:
    with running_gateway() as gateway:
        first = gateway.models.ListModels(model_pb2.ListModelsRequest(page_size=5, refresh=True), timeout=10)
        requests = len(gateway.upstream.paths)
        gateway.models.ListModels(
            model_pb2.ListModelsRequest(page_size=5, page_token=first.next_page_token, refresh=True), timeout=10
        )

        assert len(gateway.upstream.paths) == requests > 0
