"""ListModels and GetModel over the catalogue that comes with the server."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from aimanager.v1 import content_pb2, generation_pb2, model_pb2
from aimanager_server.catalog.catalog import Catalogue
from aimanager_server.catalog.model import Level
from tests.support.rpc import build, serving, settings
from tests.support.rpc_errors import refusal

ROWS = [model for model in Catalogue.load().models() if model.provider in settings().providers]


def names(page: model_pb2.ListModelsResponse) -> list[str]:
    return [model.id for model in page.models]


async def test_pages_together_hold_every_model_once_and_in_order() -> None:
    found: list[str] = []
    async with serving(build()) as world:
        token = ""
        while True:
            page = await world.models.ListModels(model_pb2.ListModelsRequest(page_size=4, page_token=token))
            found += names(page)
            token = page.next_page_token
            if not token:
                break
            assert len(page.models) == 4

    assert found == [f"{model.provider}/{model.id}" for model in ROWS]


async def test_the_last_page_has_no_token_even_when_it_is_full() -> None:
    mock = [model for model in ROWS if model.provider == "mock"]
    async with serving(build()) as world:
        page = await world.models.ListModels(model_pb2.ListModelsRequest(page_size=len(mock), provider="mock"))

    assert (len(page.models), page.next_page_token) == (len(mock), "")


async def test_a_page_holds_fifty_models_unless_asked_and_never_more_than_five_hundred() -> None:
    many = {"local": {"wire": "mock", "models": [f"m{number}" for number in range(600)]}}
    async with serving(build(chosen=settings(providers=many))) as world:
        default = await world.models.ListModels(model_pb2.ListModelsRequest(provider="local"))
        largest = await world.models.ListModels(model_pb2.ListModelsRequest(provider="local", page_size=10_000))

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
async def test_what_cannot_be_listed_is_named(path: str, request_: model_pb2.ListModelsRequest) -> None:
    async with serving(build()) as world:
        seen = await refusal(world.models.ListModels(request_))

    assert seen.code is grpc.StatusCode.INVALID_ARGUMENT
    assert list(seen.fields) == [path]


async def test_an_unknown_provider_is_not_found() -> None:
    async with serving(build()) as world:
        seen = await refusal(world.models.ListModels(model_pb2.ListModelsRequest(provider="nobody")))

    assert (seen.code, seen.reason) == (grpc.StatusCode.NOT_FOUND, "PROVIDER_NOT_FOUND")


async def test_only_models_with_every_capability_are_listed() -> None:
    wanted = [model_pb2.CAPABILITY_REASONING, model_pb2.CAPABILITY_IMAGE_INPUT]
    async with serving(build()) as world:
        page = await world.models.ListModels(model_pb2.ListModelsRequest(capabilities=wanted, page_size=500))

    able = {
        capability.capability
        for model in page.models
        for capability in model.capabilities
        if capability.level == model_pb2.SUPPORT_LEVEL_NONE
    }
    assert 0 < len(page.models) < len(ROWS)
    assert not able & set(wanted)


async def test_only_models_that_can_be_called_now_are_listed() -> None:
    async with serving(build(available=lambda provider, model: provider == "mock")) as world:
        page = await world.models.ListModels(model_pb2.ListModelsRequest(available_only=True))
        everything = await world.models.ListModels(model_pb2.ListModelsRequest(page_size=500))

    assert {model.provider for model in page.models} == {"mock"}
    assert {model.provider for model in everything.models if model.available} == {"mock"}


async def test_an_alias_is_resolved_to_its_model_with_all_that_is_known_of_it() -> None:
    async with serving(build()) as world:
        answer = await world.models.GetModel(model_pb2.GetModelRequest(model="mock/latest"))

    row = next(model for model in ROWS if model.provider == "mock" and "latest" in model.aliases)
    model = answer.model
    assert (model.id, model.provider, model.display_name) == (f"mock/{row.id}", "mock", row.name)
    assert "latest" in model.aliases
    assert (model.context_window_tokens, model.max_output_tokens) == (row.context_window, row.max_output)
    assert row.prices is not None
    assert model.pricing.output_nanos_per_mtok == row.prices.standard.output
    assert model.pricing.currency_code == "USD"
    assert model.release_time.ToDatetime().date() == row.released
    assert not model.HasField("retire_time")
    levels = {support.level for support in row.capabilities.values()}
    assert levels == {Level.NATIVE}
    assert {support.level for support in model.capabilities} == {model_pb2.SUPPORT_LEVEL_NATIVE}
    assert len(model.capabilities) == len(row.capabilities)


async def test_a_model_of_which_nothing_is_known_says_nothing() -> None:
    own = {"local": {"wire": "mock", "models": ["mine"]}}
    async with serving(build(chosen=settings(providers=own))) as world:
        answer = await world.models.GetModel(model_pb2.GetModelRequest(model="local/mine"))

    assert answer.model == model_pb2.Model(id="local/mine", provider="local", display_name="mine", available=True)


async def test_no_name_is_the_model_that_answers_by_default() -> None:
    async with serving(build()) as world:
        answer = await world.models.GetModel(model_pb2.GetModelRequest())

    assert answer.model.id


async def test_a_retired_model_is_not_found_and_its_successor_named() -> None:
    catalogue = Catalogue.load()
    async with serving(build()) as world:
        seen = await refusal(world.models.GetModel(model_pb2.GetModelRequest(model="claude/claude-2.1")))

    retired = catalogue.retired("claude", "claude-2.1")
    assert (seen.code, seen.reason) == (grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND")
    assert retired is not None
    assert seen.metadata["replacement"] == f"claude/{retired.replacement}"


ROUTES: dict[str, Any] = {
    "chat": {"targets": ["mock/mock-small", "mock/mock-large"]},
    "deep": {"targets": ["mock/mock-thinker"], "fallback_models": ["mock/mock-large"]},
}


async def test_a_model_has_the_routes_that_may_lead_to_it() -> None:
    async with serving(build(chosen=settings(routes=ROUTES))) as world:
        page = await world.models.ListModels(model_pb2.ListModelsRequest(provider="mock"))

    routes = {model.id: list(model.routes) for model in page.models if model.routes}
    assert routes == {
        "mock/mock-large": ["chat", "deep"],
        "mock/mock-small": ["chat"],
        "mock/mock-thinker": ["deep"],
    }


async def test_a_route_is_told_as_its_first_target() -> None:
    async with serving(build(chosen=settings(routes=ROUTES))) as world:
        answer = await world.models.GetModel(model_pb2.GetModelRequest(model="chat"))

    assert (answer.model.id, list(answer.model.routes)) == ("mock/mock-small", ["chat"])


async def test_tokens_of_a_route_are_counted_for_its_first_target() -> None:
    turn = content_pb2.Message(role=content_pb2.ROLE_USER, parts=[content_pb2.Part(text="Hi")])
    question = generation_pb2.GenerateRequest(model="chat", messages=[turn])
    async with serving(build(chosen=settings(routes=ROUTES))) as world:
        answer = await world.models.CountTokens(model_pb2.CountTokensRequest(request=question))

    assert answer.model == "mock/mock-small"
