"""Batches, their order, and what becomes of a call for vectors when one of them fails."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from aimanager_server.catalog.catalog import Catalogue
from aimanager_server.catalog.model import EmbeddingFacts
from aimanager_server.core.embedding import EmbedCall, Embedder, EmbeddingBatch
from aimanager_server.core.errors import CapabilityUnsupported, GatewayError, ProviderProtocolError
from aimanager_server.core.errors import ProviderRejectedRequest as Rejected
from aimanager_server.core.usage import Cost, Usage, UsageSource
from aimanager_server.operations.embed import MOST_IN_FLIGHT, Embed, batches, total
from tests.support.embeddings import Lengths, embed_call

CATALOGUE = Catalogue.load()
MODEL: dict[str, Any] = {"provider": "mock", "model": "mock-embedding"}
"""Takes 16 inputs at once."""


def price(provider: str, model: str, usage: Usage) -> Cost:
    return Cost(usage.input_tokens, 0)


def plain(embedder: Embedder) -> Embed:
    return Embed((), (), {"mock": embedder}, CATALOGUE, price)


def texts(count: int) -> tuple[str, ...]:
    return tuple("x" * (number + 1) for number in range(count))


async def test_vectors_come_in_the_order_of_the_texts() -> None:
    embedder = Lengths()

    embedded = await plain(embedder)(embed_call(*texts(50), **MODEL))

    assert [vector[0] for vector in embedded.vectors] == [float(number + 1) for number in range(50)]
    assert sorted(len(batch) for batch in embedder.asked) == [2, 16, 16, 16]
    assert (embedded.usage, embedded.cost) == (Usage(50, source=UsageSource.REPORTED), Cost(50, 0))


@pytest.mark.parametrize(
    ("facts", "sizes"),
    [
        (EmbeddingFacts(1, max_inputs=2), [2, 2, 1]),
        (EmbeddingFacts(1, max_inputs=9), [5]),
        (EmbeddingFacts(1, max_inputs=9, max_tokens=10), [2, 2, 1]),
        (EmbeddingFacts(1, max_inputs=9, max_tokens=1), [1, 1, 1, 1, 1]),
    ],
)
def test_a_batch_holds_what_one_exchange_takes(facts: EmbeddingFacts, sizes: list[int]) -> None:
    found = list(batches(["0123456789"] * 5, facts))

    assert [len(batch) for batch in found] == sizes


def test_signs_beyond_ascii_count_for_more() -> None:
    facts = EmbeddingFacts(1, max_inputs=9, max_tokens=10)

    assert len(list(batches(["x" * 10, "x" * 10], facts))) == 1
    assert len(list(batches(["字" * 10, "字" * 10], facts))) == 2


async def test_no_more_than_ten_batches_are_under_way_at_once() -> None:
    now, most = 0, 0

    class Counting(Lengths):
        async def embed(self, call: EmbedCall) -> EmbeddingBatch:
            nonlocal now, most
            now += 1
            most = max(most, now)
            await asyncio.sleep(0)
            now -= 1
            return await super().embed(call)

    await plain(Counting())(embed_call(*texts(16 * 25), **MODEL))

    assert most == MOST_IN_FLIGHT


async def test_one_failure_fails_all_and_says_what_the_others_took() -> None:
    def refuse(inputs: tuple[str, ...]) -> GatewayError | None:
        return Rejected("No.") if "x" * 17 in inputs else None

    with pytest.raises(Rejected) as caught:
        await plain(Lengths(refuse))(embed_call(*texts(20), **MODEL))

    assert caught.value.usage == Usage(16, source=UsageSource.REPORTED)


async def test_a_failure_that_nobody_paid_for_says_nothing_of_usage() -> None:
    with pytest.raises(Rejected) as caught:
        await plain(Lengths(lambda inputs: Rejected("No.")))(embed_call("a", **MODEL))

    assert caught.value.usage is None


async def test_a_failure_ends_what_is_still_under_way() -> None:
    ended: list[str] = []

    class Slow(Lengths):
        async def embed(self, call: EmbedCall) -> EmbeddingBatch:
            if len(call.inputs) == 4:
                raise Rejected("No.")
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(call.inputs[0])
            raise AssertionError

    with pytest.raises(Rejected):
        await plain(Slow())(embed_call(*texts(20), **MODEL))

    assert ended == ["x"]


async def test_cancelling_ends_every_batch() -> None:
    begun, ended = asyncio.Event(), []

    class Slow(Lengths):
        async def embed(self, call: EmbedCall) -> EmbeddingBatch:
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(len(call.inputs))
            raise AssertionError

    task = asyncio.ensure_future(plain(Slow())(embed_call(*texts(20), **MODEL)))
    await begun.wait()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert sorted(ended) == [4, 16]


class Fixed:
    """An embedder that always gives the same."""

    def __init__(self, vectors: EmbeddingBatch) -> None:
        self._vectors = vectors

    async def embed(self, call: EmbedCall) -> EmbeddingBatch:
        return self._vectors


@pytest.mark.parametrize("values", [((1.0,),), ((1.0,), (1.0,), (1.0,)), ((1.0,), (1.0, 2.0))])
async def test_what_is_not_one_vector_a_text_of_one_length_is_refused(values: tuple[tuple[float, ...], ...]) -> None:
    with pytest.raises(ProviderProtocolError):
        await plain(Fixed(EmbeddingBatch(values)))(embed_call("a", "b", **MODEL))


async def test_another_length_than_was_asked_for_is_refused_and_not_asked_again() -> None:
    with pytest.raises(CapabilityUnsupported, match="2 components where 1"):
        await plain(Fixed(EmbeddingBatch(((1.0, 2.0),))))(embed_call("a", dimensions=1, **MODEL))


async def test_what_nobody_counted_is_estimated_and_says_so() -> None:
    embedded = await plain(Fixed(EmbeddingBatch(((1.0,),))))(embed_call("x" * 40, **MODEL))

    assert embedded.usage == Usage(11, source=UsageSource.ESTIMATED)


def test_a_sum_is_reported_only_where_all_of_it_is() -> None:
    reported, estimated = Usage(1, source=UsageSource.REPORTED), Usage(2, source=UsageSource.ESTIMATED)

    assert total(iter([reported, reported])) == Usage(2, source=UsageSource.REPORTED)
    assert total(iter([reported, estimated])) == Usage(3, source=UsageSource.ESTIMATED)
