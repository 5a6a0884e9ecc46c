"""Embed texts in concurrent batches of the size that the provider accepts; all batches succeed or the call fails."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..catalog.catalog import Catalog
from ..catalog.model import EmbeddingSpec, Model
from ..core.attempts import AttemptLog
from ..core.embedding import EmbedCall, Embedder, EmbeddingBatch, EmbedResult
from ..core.errors import CapabilityUnsupported, GatewayError, ProviderProtocolError
from ..core.request import Attempt, Call
from ..core.response import CacheStatus, Finished
from ..core.token_estimate import estimate_tokens
from ..core.usage import CostFunction, Usage, UsageSource
from ..resilience.fingerprint import Fingerprints
from ..storage.idempotency import IdempotencyStore, store_key
from .unary_adapter import Layers, finished_with, run_through

OPERATION = "embed"

MAX_BATCHES_IN_FLIGHT = 10
"""Concurrent upstream requests of one call."""

DEFAULT_SPEC = EmbeddingSpec(dimensions=0, max_inputs=96)
"""Spec of a model that is not in the catalog. Few providers accept fewer inputs per request."""

BYTES_PER_TOKEN = 2
"""Lower bound that keeps batches within the provider's token limit; a token rarely has fewer bytes."""


class CreateEmbeddings:
    """Embed the inputs of a call: through `telemetry` in any case, through the other layers unless it is a replay.

    `call_layers` run once per call, `attempt_layers` for every attempt. The result of a call with an idempotency key is
    stored.
    """

    def __init__(
        self,
        telemetry: Layers[Call],
        store: IdempotencyStore,
        call_layers: Layers[Call],
        attempt_layers: Layers[Attempt[Any]],
        embedders: Mapping[str, Embedder],
        catalog: Catalog,
        cost_of: CostFunction,
    ) -> None:
        self._telemetry = telemetry
        self._store = store
        self._call_layers = call_layers
        self._attempt_layers = attempt_layers
        self._embedders = embedders
        self._catalog = catalog
        self._cost_of = cost_of
        self._fingerprints = Fingerprints()

    async def __call__(self, call: EmbedCall) -> EmbedResult:
        """Return one vector per input, in order. Raises the first GatewayError."""
        result, _ = await run_through(
            self._telemetry,
            call,
            lambda _: self._once(call) if call.idempotency_key else self._embed(call),
            lambda result: replace(finished_with(result.usage), cost=result.cost),
            lambda result: result.cache_status,
        )
        return result

    async def _once(self, call: EmbedCall) -> EmbedResult:
        key, digest = store_key(OPERATION, call), await self._digest(call)
        stored = await self._store.claim(key, digest, call)
        if isinstance(stored, EmbedResult):
            return replace(stored, cache_status=CacheStatus.IDEMPOTENT_REPLAY)
        try:
            result = await self._embed(call)
            await self._store.put(key, digest, result)
        finally:
            self._store.release(key)
        return result

    async def _digest(self, call: EmbedCall) -> bytes:
        """Return the digest of what determines the vectors."""
        target = call.target
        return await self._fingerprints.digest(target.key, target.options, call.inputs, call.dimensions, call.purpose)

    async def _embed(self, call: EmbedCall) -> EmbedResult:
        provider, model = call.target.key

        def to_finished(batches: Sequence[EmbeddingBatch]) -> Finished:
            finished = finished_with(total_usage(batch.usage for batch in batches))
            return replace(finished, cost=self._cost_of(provider, model, finished.usage))

        async def embed(changed: Call) -> list[EmbeddingBatch]:
            assert isinstance(changed, EmbedCall)
            return await self._embed_all(changed)

        batches, finished = await run_through(self._call_layers, call, embed, to_finished)
        vectors = tuple(vector for batch in batches for vector in batch.vectors)
        return EmbedResult(provider, model, vectors, finished.usage, finished.cost)

    async def _embed_all(self, call: EmbedCall) -> list[EmbeddingBatch]:
        model = self._catalog.find(*call.target.key)
        semaphore = asyncio.Semaphore(MAX_BATCHES_IN_FLIGHT)

        async def embed(inputs: Sequence[str]) -> EmbeddingBatch:
            async with semaphore:
                return await self._embed_batch(replace(call.with_inputs(inputs), attempts=AttemptLog(call.attempts)))

        tasks = [asyncio.ensure_future(embed(inputs)) for inputs in split_into_batches(call.inputs, _spec(model))]
        try:
            return list(await asyncio.gather(*tasks))
        finally:
            await _cancel(tasks)

    async def _embed_batch(self, call: EmbedCall) -> EmbeddingBatch:
        async def embed(attempt: Attempt[Any]) -> EmbeddingBatch:
            batch = await self._embedders[attempt.target.provider].embed(attempt)
            try:
                return _checked(call, batch)
            except GatewayError as error:
                raise error.replace(usage=batch.usage) from None  # the provider bills unusable vectors too

        batch, _ = await run_through(self._attempt_layers, call, embed, lambda batch: finished_with(batch.usage))
        return batch


def split_into_batches(inputs: Sequence[str], spec: EmbeddingSpec) -> Iterator[tuple[str, ...]]:
    """Yield the inputs in order, in batches within the limits of one request. An oversized input is a separate batch.

    >>> list(split_into_batches(["aaaa", "bbbb", "cc"], EmbeddingSpec(dimensions=1, max_inputs=2, max_tokens=3)))
    [('aaaa',), ('bbbb', 'cc')]
    """
    batch: list[str] = []
    tokens_left = 0
    for text in inputs:
        tokens = len(text.encode("utf-8", "replace")) // BYTES_PER_TOKEN
        is_full = len(batch) == spec.max_inputs or (spec.max_tokens is not None and tokens > tokens_left)
        if batch and is_full:
            yield tuple(batch)
            batch = []
        if not batch:
            tokens_left = spec.max_tokens or 0
        batch.append(text)
        tokens_left -= tokens
    if batch:
        yield tuple(batch)


def total_usage(usages: Iterable[Usage]) -> Usage:
    """Return the sum; it is estimated if one of the usages is."""
    items = list(usages)
    is_estimated = any(usage.source is UsageSource.ESTIMATED for usage in items)
    return Usage(
        input_tokens=sum(usage.input_tokens for usage in items),
        cache_read_tokens=sum(usage.cache_read_tokens for usage in items),
        cache_write_tokens=sum(usage.cache_write_tokens for usage in items),
        long_cache_write_tokens=sum(usage.long_cache_write_tokens for usage in items),
        source=UsageSource.ESTIMATED if is_estimated else UsageSource.REPORTED,
    )


def _spec(model: Model | None) -> EmbeddingSpec:
    return DEFAULT_SPEC if model is None or model.embedding is None else model.embedding


def _checked(call: EmbedCall, batch: EmbeddingBatch) -> EmbeddingBatch:
    """Check number and length of the vectors, and estimate the usage if the provider does not report it."""
    vectors = batch.vectors
    if len(vectors) != len(call.inputs):
        raise ProviderProtocolError(f"Expected {len(call.inputs)} vectors, one per input, got {len(vectors)}.")
    lengths = {len(vector) for vector in vectors}
    if len(lengths) > 1:
        raise ProviderProtocolError(
            f"Expected vectors of equal length, got {min(lengths)} and {max(lengths)} dimensions."
        )
    if call.dimensions is not None and lengths != {call.dimensions}:
        provider, model = call.target.key
        raise CapabilityUnsupported(
            f"Model {model!r} returned vectors of {max(lengths)} dimensions, expected {call.dimensions}.",
            solution="Omit dimensions: the model has a fixed vector length.",
            provider=provider,
            model=model,
        )
    if batch.usage.source is not UsageSource.MISSING:
        return batch
    return replace(batch, usage=Usage(estimate_tokens(call), source=UsageSource.ESTIMATED))


async def _cancel(tasks: Sequence[asyncio.Future[EmbeddingBatch]]) -> None:
    """Cancel the tasks in flight and wait until they have released their connections."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
