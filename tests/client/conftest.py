"""A fake gateway, and clients connected to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from aimanager import AIManager, AsyncAIManager
from aimanager.v1 import health_pb2, model_pb2
from tests.support.console import CommandRunner, Terminal
from tests.support.fake_gateway.catalog import DOWN, LARGE, SMALL, UP
from tests.support.fake_gateway.messages import make_response, stream_events
from tests.support.fake_gateway.server import FakeGateway, Hang, serve
from tests.support.gateway import settings_with, started_gateway


@pytest.fixture
def fake() -> Iterator[FakeGateway]:
    """Responds `Hello.` by default."""
    gateway = FakeGateway()
    gateway.respond("Generate", make_response())
    gateway.respond("StreamGenerate", stream_events(make_response(), "Hel", "lo."))
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
def populated(fake: FakeGateway) -> FakeGateway:
    """Has two pages of models and a provider that goes down."""
    first = model_pb2.ListModelsResponse(models=[LARGE], next_page_token="2")  # no password
    fake.respond("ListModels", first, model_pb2.ListModelsResponse(models=[SMALL]))
    fake.respond("GetModel", model_pb2.GetModelResponse(model=LARGE))
    fake.respond("ListProviderHealth", health_pb2.ListProviderHealthResponse(providers=[DOWN]))
    changes = [health_pb2.WatchProviderHealthResponse(provider=state) for state in (UP, DOWN)]
    fake.respond("WatchProviderHealth", [*changes, Hang()])
    return fake


@pytest.fixture
def aimanager(fake: FakeGateway) -> CommandRunner:
    return CommandRunner(fake)


@pytest.fixture
def terminal(fake: FakeGateway) -> CommandRunner:
    return CommandRunner(fake, stdout=Terminal(), stderr=Terminal())


@pytest.fixture(scope="session")
def example_gateway() -> Iterator[str]:
    """A whole gateway with the mock provider."""
    with started_gateway(settings_with()) as target:
        yield target
