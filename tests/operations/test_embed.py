"""Batching of embedding calls, and the outcome if a batch fails."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest

from aimanager_server.catalog.catalog import Catalog
from aimanager_server.catalog.model import EmbeddingSpec
from aimanager_server.core.embedding import EmbedCall, Embedder, EmbeddingBatch
from aimanager_server.core.errors import (
    CapabilityUnsupported,
    GatewayError,
    ProviderOverloaded,
    ProviderProtocolError,
    ProviderRejectedRequest,
)
from aimanager_server.core.handler import AttemptHandler, CallHandler, compose
from aimanager_server.core.request import Attempt
from aimanager_server.core.response import CacheStatus
from aimanager_server.core.usage import Cost, Usage, UsageSource
from aimanager_server.operations.embed import MAX_BATCHES_IN_FLIGHT, CreateEmbeddings, split_into_batches, total_usage
from tests.support.embeddings import LengthEmbedder, embed_call, idempotency_store
from tests.support.layers import accounting_layer, single_attempt

CATALOG = Catalog.load()
MODEL: dict[str, Any] = {"provider": "mock", "model": "mock-embedding"}
"""Accepts 16 inputs per request."""


def price(provider: str, model: str, usage: Usage) -> Cost:
    return Cost(usage.input_tokens, 0)


def without_retries(embedder: Embedder) -> CreateEmbeddings:
    """Return the operation with one attempt per batch, which accounting records."""

    def once(embed: AttemptHandler) -> CallHandler:
        return single_attempt(compose((accounting_layer(price),), embed))

    no_layers = partial(compose, ())
    return CreateEmbeddings(no_layers, idempotency_store(), no_layers, once, {"mock": embedder}, CATALOG, price)


def texts(count: int) -> tuple[str, ...]:
    return tuple("x" * (number + 1) for number in range(count))


async def test_vectors_are_in_input_order() -> None:
    embedder = LengthEmbedder()

    embedded = await without_retries(embedder)(embed_call(*texts(50), **MODEL))

    assert [vector[0] for vector in embedded.vectors] == [float(number + 1) for number in range(50)]
    assert sorted(len(batch) for batch in embedder.batches) == [2, 16, 16, 16]
    assert (embedded.usage, embedded.cost) == (Usage(50, source=UsageSource.REPORTED), Cost(50, 0))


@pytest.mark.parametrize(
    ("spec", "sizes"),
    [
        (EmbeddingSpec(1, max_inputs=2), [2, 2, 1]),
        (EmbeddingSpec(1, max_inputs=9), [5]),
        (EmbeddingSpec(1, max_inputs=9, max_tokens=10), [2, 2, 1]),
        (EmbeddingSpec(1, max_inputs=9, max_tokens=1), [1, 1, 1, 1, 1]),
    ],
)
def test_batches_stay_within_provider_limits(spec: EmbeddingSpec, sizes: list[int]) -> None:
    found = list(split_into_batches(["0123456789"] * 5, spec))

    assert [len(batch) for batch in found] == sizes


def test_non_ascii_characters_count_as_more_tokens() -> None:
    spec = EmbeddingSpec(1, max_inputs=9, max_tokens=10)

    assert len(list(split_into_batches(["x" * 10, "x" * 10], spec))) == 1
    assert len(list(split_into_batches(["字" * 10, "字" * 10], spec))) == 2


async def test_batches_in_flight_are_limited() -> None:
    in_flight, peak = 0, 0

    class Counting(LengthEmbedder):
        async def embed(self, attempt: Attempt[EmbedCall]) -> EmbeddingBatch:
            nonlocal in_flight, peak
            in_flight += 1
            peak = max(peak, in_flight)
            await asyncio.sleep(0)
            in_flight -= 1
            return await super().embed(attempt)

    await without_retries(Counting())(embed_call(*texts(16 * 25), **MODEL))

    assert peak == MAX_BATCHES_IN_FLIGHT


async def test_failed_batch_fails_the_call_with_the_usage_of_the_others() -> None:
    def error_for(inputs: tuple[str, ...]) -> GatewayError | None:
        return ProviderRejectedRequest("No.") if "x" * 17 in inputs else None

    call = embed_call(*texts(20), **MODEL)

    with pytest.raises(ProviderRejectedRequest) as raised:
        await without_retries(LengthEmbedder(error_for))(call)

    error = raised.value.with_attempts(call.attempts)
    assert (error.usage, error.cost) == (Usage(16, source=UsageSource.REPORTED), Cost(16, 0))
    assert [record.error_reason for record in error.attempts] == ["", "PROVIDER_REJECTED_REQUEST"]


async def test_failed_call_without_completed_batch_has_no_usage() -> None:
    call = embed_call("a", **MODEL)

    with pytest.raises(ProviderRejectedRequest) as raised:
        await without_retries(LengthEmbedder(lambda inputs: ProviderRejectedRequest("No.")))(call)

    assert raised.value.with_attempts(call.attempts).usage is None


async def test_failed_batch_cancels_the_others() -> None:
    ended: list[str] = []

    class Slow(LengthEmbedder):
        async def embed(self, attempt: Attempt[EmbedCall]) -> EmbeddingBatch:
            if len(attempt.call.inputs) == 4:
                raise ProviderRejectedRequest("No.")
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(attempt.call.inputs[0])
            raise AssertionError

    with pytest.raises(ProviderRejectedRequest):
        await without_retries(Slow())(embed_call(*texts(20), **MODEL))

    assert ended == ["x"]


async def test_cancelled_call_cancels_every_batch() -> None:
    started, ended = asyncio.Event(), []

    class Slow(LengthEmbedder):
        async def embed(self, attempt: Attempt[EmbedCall]) -> EmbeddingBatch:
            started.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(len(attempt.call.inputs))
            raise AssertionError

    task = asyncio.ensure_future(without_retries(Slow())(embed_call(*texts(20), **MODEL)))
    await started.wait()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert sorted(ended) == [4, 16]


class Fixed:
    """Returns the same batch for every call."""

    def __init__(self, vectors: EmbeddingBatch) -> None:
        self._vectors = vectors

    async def embed(self, attempt: Attempt[EmbedCall]) -> EmbeddingBatch:
        return self._vectors


@pytest.mark.parametrize("vectors", [((1.0,),), ((1.0,), (1.0,), (1.0,)), ((1.0,), (1.0, 2.0))])
async def test_wrong_number_or_length_of_vectors_is_a_protocol_error(vectors: tuple[tuple[float, ...], ...]) -> None:
    with pytest.raises(ProviderProtocolError):
        await without_retries(Fixed(EmbeddingBatch(vectors)))(embed_call("a", "b", **MODEL))


async def test_unusable_vectors_are_charged() -> None:
    usage, call = Usage(7, source=UsageSource.REPORTED), embed_call("a", "b", **MODEL)

    with pytest.raises(ProviderProtocolError) as raised:
        await without_retries(Fixed(EmbeddingBatch(((1.0,),), usage)))(call)

    error = raised.value.with_attempts(call.attempts)
    assert (error.usage, error.cost) == (usage, Cost(7, 0))


async def test_other_dimensions_than_requested_are_rejected() -> None:
    with pytest.raises(CapabilityUnsupported, match="2 dimensions, expected 1"):
        await without_retries(Fixed(EmbeddingBatch(((1.0, 2.0),))))(embed_call("a", dimensions=1, **MODEL))


async def test_missing_usage_is_estimated() -> None:
    embedded = await without_retries(Fixed(EmbeddingBatch(((1.0,),))))(embed_call("x" * 40, **MODEL))

    assert embedded.usage == Usage(11, source=UsageSource.ESTIMATED)


def test_total_usage_is_estimated_if_one_part_is() -> None:
    reported, estimated = Usage(1, source=UsageSource.REPORTED), Usage(2, source=UsageSource.ESTIMATED)

    assert total_usage([reported, reported]) == Usage(2, source=UsageSource.REPORTED)
    assert total_usage([reported, estimated]) == Usage(3, source=UsageSource.ESTIMATED)


async def test_a_failed_call_releases_its_idempotency_key() -> None:
    failures: list[GatewayError] = [ProviderOverloaded("busy")]
    create_embeddings = without_retries(LengthEmbedder(lambda inputs: failures.pop() if failures else None))
    call = embed_call("a", **MODEL, idempotency_key="once")

    with pytest.raises(ProviderOverloaded):
        await create_embeddings(call)
    embedded, replayed = await create_embeddings(call), await create_embeddings(call)

    assert (embedded.cache_status, replayed.cache_status) == (CacheStatus.MISS, CacheStatus.IDEMPOTENT_REPLAY)
    assert replayed.vectors == embedded.vectors
