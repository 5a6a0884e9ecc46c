"""Turns texts into vectors: in batches that the provider takes, side by side, in order, all or nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from ..catalog.catalog import Catalogue, Model
from ..catalog.model import EmbeddingFacts
from ..core.attempts import UsageLedger
from ..core.embedding import EmbedCall, Embedder, EmbeddingBatch, EmbedResult
from ..core.errors import CapabilityUnsupported, GatewayError, ProviderProtocolError
from ..core.handler import Layer
from ..core.request import Call
from ..core.response import Finished
from ..core.usage import Usage, UsageSource
from ..pipeline.accounting import Price
from ..pipeline.quota import estimate_tokens
from .unary_adapter import behind, done

MOST_IN_FLIGHT = 10
"""Batches of one call that are asked at once."""

UNKNOWN = EmbeddingFacts(dimensions=0, max_inputs=96)
"""What is assumed of a model nobody knows: few servers take fewer inputs at once."""

BYTES_PER_TOKEN = 2
"""A token is seldom fewer bytes, so that batches stay within a provider's limit of tokens."""


class Embed:
    """Passes a call for vectors through the same layers as any other: `outer` around the whole, `inner` a batch."""

    def __init__(
        self,
        outer: Sequence[Layer],
        inner: Sequence[Layer],
        embedders: Mapping[str, Embedder],
        catalogue: Catalogue,
        price: Price,
    ) -> None:
        self._outer = tuple(outer)
        self._inner = tuple(inner)
        self._embedders = embedders
        self._catalogue = catalogue
        self._price = price

    async def __call__(self, call: EmbedCall) -> EmbedResult:
        """One vector for each input, in order. Raises the first GatewayError; its `usage` is what was spent on the others."""
        target = call.target

        def account(found: Sequence[EmbeddingBatch]) -> Finished:
            finished = done(total(each.usage for each in found))
            return replace(finished, cost=self._price(target.provider, target.model, finished.usage))

        found, finished = await behind(self._outer, call, lambda _: self._all(call), account)
        values = tuple(vector for each in found for vector in each.vectors)
        return EmbedResult(target.provider, target.model, values, finished.usage, finished.cost)

    async def _all(self, call: EmbedCall) -> list[EmbeddingBatch]:
        model = self._catalogue.find(call.target.provider, call.target.model)
        places = asyncio.Semaphore(MOST_IN_FLIGHT)

        async def ask(inputs: Sequence[str]) -> EmbeddingBatch:
            async with places:
                return await self._batch(replace(call.with_inputs(inputs), usage_ledger=UsageLedger(call.usage_ledger)))

        tasks = [asyncio.ensure_future(ask(inputs)) for inputs in batches(call.inputs, _facts(model))]
        try:
            return list(await asyncio.gather(*tasks))
        except GatewayError as fault:
            fault.usage = await _spent(tasks)
            raise
        finally:
            await _given_up(tasks)

    async def _batch(self, call: EmbedCall) -> EmbeddingBatch:
        async def ask(asked: Call) -> EmbeddingBatch:
            assert isinstance(asked, EmbedCall)  # a layer decides more about a call, such as its key; its kind stays
            vectors = await self._embedders[asked.target.provider].embed(asked)
            try:
                return _checked(asked, vectors)
            except GatewayError as fault:
                fault.usage = vectors.usage  # they cannot be used, but were paid for
                raise

        vectors, _ = await behind(self._inner, call, ask, lambda vectors: done(vectors.usage))
        return vectors


def batches(inputs: Sequence[str], facts: EmbeddingFacts) -> Iterator[tuple[str, ...]]:
    """The inputs in order, in batches that one exchange takes; an input that is too long alone goes alone.

    >>> list(batches(["aaaa", "bbbb", "cc"], EmbeddingFacts(dimensions=1, max_inputs=2, max_tokens=3)))
    [('aaaa',), ('bbbb', 'cc')]
    """
    batch: list[str] = []
    room = 0
    for text in inputs:
        size = len(text.encode("utf-8", "replace")) // BYTES_PER_TOKEN
        is_full = len(batch) == facts.max_inputs or (facts.max_tokens is not None and size > room)
        if batch and is_full:
            yield tuple(batch)
            batch = []
        if not batch:
            room = facts.max_tokens or 0
        batch.append(text)
        room -= size
    if batch:
        yield tuple(batch)


def total(usages: Iterator[Usage]) -> Usage:
    """What all of them took; estimated where one of them is."""
    every = list(usages)
    is_estimated = any(usage.source is UsageSource.ESTIMATED for usage in every)
    return Usage(
        input_tokens=sum(usage.input_tokens for usage in every),
        cache_read_tokens=sum(usage.cache_read_tokens for usage in every),
        cache_write_tokens=sum(usage.cache_write_tokens for usage in every),
        source=UsageSource.ESTIMATED if is_estimated else UsageSource.REPORTED,
    )


def _facts(model: Model | None) -> EmbeddingFacts:
    return UNKNOWN if model is None or model.embedding is None else model.embedding


def _checked(call: EmbedCall, vectors: EmbeddingBatch) -> EmbeddingBatch:
    """As many as there are inputs, as long as was asked for, and counted: by the gateway where nobody else did."""
    values = vectors.vectors
    if len(values) != len(call.inputs):
        raise ProviderProtocolError(f"The answer holds {len(values)} vectors for {len(call.inputs)} inputs.")
    lengths = {len(each) for each in values}
    if len(lengths) > 1:
        raise ProviderProtocolError(f"The answer holds vectors of {min(lengths)} and of {max(lengths)} components.")
    if call.dimensions is not None and lengths != {call.dimensions}:
        raise CapabilityUnsupported(
            f"The model made vectors of {max(lengths)} components where {call.dimensions} were asked for.",
            solution="Leave out dimensions: the model makes one length only.",
            provider=call.target.provider,
            model=call.target.model,
        )
    if vectors.usage.source is not UsageSource.MISSING:
        return vectors
    return replace(vectors, usage=Usage(estimate_tokens(call), source=UsageSource.ESTIMATED))


async def _given_up(tasks: Sequence[asyncio.Future[EmbeddingBatch]]) -> None:
    """Cancel what is still under way, and wait until it has let go of its connection."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _spent(tasks: Sequence[asyncio.Future[EmbeddingBatch]]) -> Usage | None:
    await _given_up(tasks)
    done = [task.result().usage for task in tasks if not task.cancelled() and task.exception() is None]
    return total(iter(done)) if done else None
