"""Embeddings against the aimock server, through a whole gateway."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from aimanager import AIManager
from tests.support.aimock import AimockServer, aimock, reason_to_skip
from tests.support.gateway import settings_with, started_gateway

pytestmark = pytest.mark.skipif(bool(reason_to_skip()), reason=reason_to_skip())


@pytest.fixture(scope="module")
def upstream() -> Iterator[AimockServer]:
    with aimock() as running:
        yield running


@pytest.fixture(scope="module")
def target(upstream: AimockServer) -> Iterator[str]:
    providers = {
        "openai": {"base_url": f"{upstream.url}/v1", "api_key": "sk-test-openai"},
        "gemini": {"base_url": f"{upstream.url}/v1beta", "api_key": "test-gemini"},
        "mistral": {"base_url": f"{upstream.url}/v1", "api_key": "test-mistral"},
    }
    with started_gateway(settings_with(providers=providers)) as address:
        yield address


@pytest.mark.parametrize(
    ("model", "path", "requests"),
    [
        ("openai/text-embedding-3-small", "/v1/embeddings", 1),
        ("mistral/mistral-embed", "/v1/embeddings", 2),
    ],
)
def test_vectors_are_in_the_order_of_the_inputs(
    upstream: AimockServer, target: str, model: str, path: str, requests: int
) -> None:
    texts = [f"text number {number}" for number in range(150)]
    before = len(upstream.requests())

    with AIManager.gateway(target) as ai:
        found = ai.embed(texts, model=model)
        again = ai.embed([texts[0], texts[149]], model=model)

    assert len(found) == 150
    assert [list(vector) for vector in again] == [list(found[0]), list(found[149])]
    assert f"{found.provider}/{found.model}" == model
    assert found.cost is not None
    sent = upstream.requests()[before:]
    assert [entry["path"].endswith(path) for entry in sent] == [True] * (requests + 1)


def test_gemini_returns_a_vector(upstream: AimockServer, target: str) -> None:
    with AIManager.gateway(target) as ai:
        found = ai.embed("text", model="gemini/gemini-embedding-2", purpose="query")

    last = upstream.requests()[-1]
    assert len(found) == 1
    assert found.usage.source in ("reported", "estimated")
    assert last["path"].endswith(":embedContent")
