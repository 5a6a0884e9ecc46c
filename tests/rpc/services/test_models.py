"""ListModels and GetModel over the built-in catalog."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from aimanager.v1 import content_pb2, generation_pb2, model_pb2
from aimanager_server.catalog.catalog import Catalog
from aimanager_server.catalog.model import SupportLevel
from tests.support.rpc import build_server, running, server_settings
from tests.support.rpc_errors import failure_of

CATALOG_MODELS = [model for model in Catalog.load().models() if model.provider in server_settings().providers]


def names(page: model_pb2.ListModelsResponse) -> list[str]:
    return [model.id for model in page.models]


async def test_pages_contain_every_model_once_and_in_order() -> None:
    ids: list[str] = []
    async with running(build_server()) as gateway:
        token = ""
        while True:
            page = await gateway.models.ListModels(model_pb2.ListModelsRequest(page_size=4, page_token=token))
            ids += names(page)
            token = page.next_page_token
            if not token:
                break
            assert len(page.models) == 4

    assert ids == [f"{model.provider}/{model.id}" for model in CATALOG_MODELS]


async def test_aliases_are_described() -> None:
    async with running(build_server()) as gateway:
        page = await gateway.models.ListModels(model_pb2.ListModelsRequest(provider="mock"))

    descriptions = {name: text for model in page.models for name, text in model.alias_descriptions.items()}
    assert sorted(descriptions) == ["current", "fast", "latest", "reasoning"]
    assert descriptions["latest"].startswith("The flagship")
    assert all(sorted(model.alias_descriptions) == sorted(model.aliases) for model in page.models)


async def test_a_full_last_page_has_no_next_page_token() -> None:
    mock = [model for model in CATALOG_MODELS if model.provider == "mock"]
    async with running(build_server()) as gateway:
        page = await gateway.models.ListModels(model_pb2.ListModelsRequest(page_size=len(mock), provider="mock"))

    assert (len(page.models), page.next_page_token) == (len(mock), "")


async def test_a_page_has_50_models_by_default_and_at_most_500() -> None:
    many = {"local": {"wire": "mock", "models": [f"m{number}" for number in range(600)]}}
    async with running(build_server(settings=server_settings(providers=many))) as gateway:
        default = await gateway.models.ListModels(model_pb2.ListModelsRequest(provider="local"))
        largest = await gateway.models.ListModels(model_pb2.ListModelsRequest(provider="local", page_size=10_000))

    assert (len(default.models), len(largest.models)) == (50, 500)


UNKNOWN: Any = 0
FUTURE: Any = 99


@pytest.mark.parametrize(
    ("path", "request_"),
    [
        ("page_size", model_pb2.ListModelsRequest(page_size=-1)),
        ("page_token", model_pb2.ListModelsRequest(page_token="nonsense")),
        ("page_token", model_pb2.ListModelsRequest(page_token="\u00fc")),
        ("capabilities[0]", model_pb2.ListModelsRequest(capabilities=[UNKNOWN])),
        ("capabilities[1]", model_pb2.ListModelsRequest(capabilities=[model_pb2.CAPABILITY_STREAMING, FUTURE])),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_an_invalid_field_is_named(path: str, request_: model_pb2.ListModelsRequest) -> None:
    async with running(build_server()) as gateway:
        failure = await failure_of(gateway.models.ListModels(request_))

    assert failure.code is grpc.StatusCode.INVALID_ARGUMENT
    assert list(failure.fields) == [path]


async def test_an_unknown_provider_is_not_found() -> None:
    async with running(build_server()) as gateway:
        failure = await failure_of(gateway.models.ListModels(model_pb2.ListModelsRequest(provider="nobody")))

    assert (failure.code, failure.reason) == (grpc.StatusCode.NOT_FOUND, "PROVIDER_NOT_FOUND")


async def test_listed_models_have_every_required_capability() -> None:
    required = [model_pb2.CAPABILITY_REASONING, model_pb2.CAPABILITY_IMAGE_INPUT]
    async with running(build_server()) as gateway:
        page = await gateway.models.ListModels(model_pb2.ListModelsRequest(capabilities=required, page_size=500))

    unsupported = {
        capability.capability
        for model in page.models
        for capability in model.capabilities
        if capability.level == model_pb2.SUPPORT_LEVEL_NONE
    }
    assert 0 < len(page.models) < len(CATALOG_MODELS)
    assert not unsupported & set(required)


async def test_available_only_lists_models_that_can_be_called_now() -> None:
    async with running(build_server(is_available=lambda provider, model: provider == "mock")) as gateway:
        page = await gateway.models.ListModels(model_pb2.ListModelsRequest(available_only=True))
        everything = await gateway.models.ListModels(model_pb2.ListModelsRequest(page_size=500))

    assert {model.provider for model in page.models} == {"mock"}
    assert {model.provider for model in everything.models if model.available} == {"mock"}


async def test_an_alias_returns_its_model_with_all_catalog_data() -> None:
    async with running(build_server()) as gateway:
        response = await gateway.models.GetModel(model_pb2.GetModelRequest(model="mock/latest"))

    row = next(model for model in CATALOG_MODELS if model.provider == "mock" and "latest" in model.aliases)
    model = response.model
    assert (model.id, model.provider, model.display_name) == (f"mock/{row.id}", "mock", row.name)
    assert "latest" in model.aliases
    assert (model.context_window_tokens, model.max_output_tokens) == (row.context_window, row.max_output_tokens)
    assert row.prices is not None
    assert model.pricing.output_nanos_per_million_tokens == row.prices.standard.output
    assert model.pricing.currency_code == "USD"
    assert model.release_time.ToDatetime().date() == row.released
    assert not model.HasField("retire_time")
    levels = {support.level for support in row.capabilities.values()}
    assert levels == {SupportLevel.NATIVE}
    assert {support.level for support in model.capabilities} == {model_pb2.SUPPORT_LEVEL_NATIVE}
    assert len(model.capabilities) == len(row.capabilities)


async def test_unknown_model_data_is_unset() -> None:
    providers = {"local": {"wire": "mock", "models": ["mine"]}}
    async with running(build_server(settings=server_settings(providers=providers))) as gateway:
        response = await gateway.models.GetModel(model_pb2.GetModelRequest(model="local/mine"))

    assert response.model == model_pb2.Model(
        id="local/mine", provider="local", model="mine", display_name="mine", available=True
    )


async def test_an_empty_name_returns_the_default_model() -> None:
    async with running(build_server()) as gateway:
        response = await gateway.models.GetModel(model_pb2.GetModelRequest())

    assert response.model.id


async def test_a_retired_model_is_not_found_and_names_its_replacement() -> None:
    async with running(build_server()) as gateway:
        failure = await failure_of(gateway.models.GetModel(model_pb2.GetModelRequest(model="claude/claude-2.1")))

    retired = Catalog.load().retired("claude", "claude-2.1")
    assert (failure.code, failure.reason) == (grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND")
    assert retired is not None
    assert failure.metadata["replacement"] == f"claude/{retired.replacement}"


ROUTES: dict[str, Any] = {
    "chat": {"targets": ["mock/mock-small", "mock/mock-large"]},
    "deep": {"targets": ["mock/mock-thinker"], "fallback_models": ["mock/mock-large"]},
}


async def test_a_model_lists_the_routes_that_target_it() -> None:
    async with running(build_server(settings=server_settings(routes=ROUTES))) as gateway:
        page = await gateway.models.ListModels(model_pb2.ListModelsRequest(provider="mock"))

    routes = {model.id: list(model.routes) for model in page.models if model.routes}
    assert routes == {
        "mock/mock-large": ["chat", "deep"],
        "mock/mock-small": ["chat"],
        "mock/mock-thinker": ["deep"],
    }


async def test_a_route_returns_its_first_target() -> None:
    async with running(build_server(settings=server_settings(routes=ROUTES))) as gateway:
        response = await gateway.models.GetModel(model_pb2.GetModelRequest(model="chat"))

    assert (response.model.id, list(response.model.routes)) == ("mock/mock-small", ["chat"])


async def test_tokens_of_a_route_are_counted_for_its_first_target() -> None:
    message = content_pb2.Message(role=content_pb2.ROLE_USER, parts=[content_pb2.Part(text="Hi")])
    request = generation_pb2.GenerateRequest(model="chat", messages=[message])
    async with running(build_server(settings=server_settings(routes=ROUTES))) as gateway:
        response = await gateway.models.CountTokens(model_pb2.CountTokensRequest(request=request))

    assert (response.provider, response.model) == ("mock", "mock-small")
