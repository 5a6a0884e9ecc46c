"""A fake gateway, and clients for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from aimanager import AIManager, AsyncAIManager
from aimanager.v1 import health_pb2, model_pb2
from tests.support.console import Command, Terminal
from tests.support.fake_gateway.catalog import DOWN, LARGE, SMALL, UP
from tests.support.fake_gateway.server import FakeGateway, Silence, answer, events, serve


@pytest.fixture
def fake() -> Iterator[FakeGateway]:
    """Answers Hello. unless told otherwise."""
    gateway = FakeGateway()
    gateway.will("Generate", answer())
    gateway.will("StreamGenerate", events(answer(), "Hel", "lo."))
    server = serve(gateway)
    yield gateway
    server.stop(None).wait()


@pytest.fixture
def ai(fake: FakeGateway) -> Iterator[AIManager]:
    with AIManager("s3cret-key", provider="mock", target=fake.target) as client:
        yield client


@pytest.fixture
async def async_ai(fake: FakeGateway) -> AsyncIterator[AsyncAIManager]:
    async with AsyncAIManager("s3cret-key", provider="mock", target=fake.target) as client:
        yield client


@pytest.fixture
def stocked(fake: FakeGateway) -> FakeGateway:
    """Two pages of models, and a provider that went down."""
    first = model_pb2.ListModelsResponse(models=[LARGE], next_page_token="2")  # no password
    fake.will("ListModels", first, model_pb2.ListModelsResponse(models=[SMALL]))
    fake.will("GetModel", model_pb2.GetModelResponse(model=LARGE))
    fake.will("ListProviderHealth", health_pb2.ListProviderHealthResponse(providers=[DOWN]))
    changes = [health_pb2.WatchProviderHealthResponse(provider=state) for state in (UP, DOWN)]
    fake.will("WatchProviderHealth", [*changes, Silence()])
    return fake


@pytest.fixture
def aimanager(fake: FakeGateway) -> Command:
    return Command(fake)


@pytest.fixture
def terminal(fake: FakeGateway) -> Command:
    return Command(fake, stdout=Terminal(), stderr=Terminal())
