"""Resolve an embedding request into a call, without any I/O."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from ..catalog.catalog import Catalog
from ..catalog.model import Model
from ..config.providers import ProviderSettings
from ..config.restricted_options import RESTRICTED_EMBEDDING_OPTIONS
from ..config.settings import Limits
from ..core.content import ReasoningOptions
from ..core.embedding import EmbedCall, EmbedParams, inputs_as_message
from ..core.errors import FieldViolation, PayloadTooLarge
from ..core.request import Caller, Target
from ..validation.idempotency_key import idempotency_key_violations
from ..validation.native_options import NativeOptionsRules
from ..validation.request import below_minimum
from ..validation.violations import raise_violations
from .capabilities import Requirement, capability_error, meets_all
from .resolver import Resolver

NO_REASONING = ReasoningOptions()

BYTES_PER_COMPONENT = 4
"""Vectors are sent as single-precision floats."""


class EmbeddingResolver:
    """Resolve embedding requests. `embedders` are the providers that return embeddings."""

    def __init__(
        self,
        catalog: Catalog,
        resolver: Resolver,
        embedders: Collection[str],
        providers: Mapping[str, ProviderSettings],
        limits: Limits,
    ) -> None:
        self._catalog = catalog
        self._resolver = resolver
        self._embedders = embedders
        self._native_options = NativeOptionsRules(providers, RESTRICTED_EMBEDDING_OPTIONS, limits.max_json_depth)
        self._missing_keys = {name for name, provider in providers.items() if provider.lacks_api_key}
        self._limits = limits

    def resolve(
        self,
        params: EmbedParams,
        caller: Caller,
        *,
        id: str,  # noqa: A002 - the field of Call it becomes
        deadline: float,
        traceparent: str = "",
        hops: str = "",
    ) -> EmbedCall:
        """Return the call. `deadline` is in seconds on the event loop's clock.

        Raises InvalidRequest, PayloadTooLarge, ProviderNotFound, ModelNotFound or CapabilityUnsupported.
        """
        raise_violations(self._violations(params, caller), params.violations)
        resolved = self._resolver.resolve_model(params.model, caller)
        model = resolved.model
        requirements = list(self._requirements(params))
        if not meets_all(model, NO_REASONING, requirements):
            raise capability_error(model, NO_REASONING, requirements, self._catalog, self._embedders)
        self._check_response_size(params, model)
        return EmbedCall(
            id=id,
            caller=caller,
            requested_model=params.model,
            messages=(inputs_as_message(params.inputs),),
            targets=(Target(model.provider, resolved.id, options=params.provider_options.get(model.provider, {})),),
            deadline=deadline,
            traceparent=traceparent,
            hops=hops,
            idempotency_key=params.idempotency_key,
            dimensions=params.dimensions,
            purpose=params.purpose,
        )

    def _violations(self, params: EmbedParams, caller: Caller) -> Iterator[FieldViolation]:
        targets = self._resolver.route_targets(params.model)
        if params.model and len(targets) > 1:
            got = f"got a route with {len(targets)} targets, whose vectors differ"
            yield FieldViolation("model", f"must be a model, or a route with one target; {got}")
        if not params.model:
            names = ", ".join(f"{model.provider}/{model.id}" for model in self._suggested_models(caller))
            yield FieldViolation("model", f"must be an embedding model, such as {names}")
        if not params.inputs:
            yield FieldViolation("inputs", "must have at least one text")
        if len(params.inputs) > self._limits.max_embedding_inputs:
            description = f"must have at most {self._limits.max_embedding_inputs} items, got {len(params.inputs)}"
            yield FieldViolation("inputs", description)
            return
        for index, text in enumerate(params.inputs):
            if not text:
                yield FieldViolation(f"inputs[{index}]", "must not be empty")
        yield from below_minimum("dimensions", params.dimensions)
        if params.idempotency_key:
            yield from idempotency_key_violations(params.idempotency_key, caller)
        if params.provider_options:
            yield from self._native_options.violations(params.provider_options)

    def _requirements(self, params: EmbedParams) -> Iterator[Requirement]:
        yield Requirement(
            "model",
            "does not return embeddings",
            lambda model, _: model.provider in self._embedders and _may_return_embeddings(model),
        )
        dimensions = params.dimensions
        if dimensions is not None:
            yield Requirement(
                "dimensions",
                f"does not support vectors of {dimensions} dimensions",
                lambda model, _: model.embedding is None or model.embedding.supports_dimensions(dimensions),
            )

    def _check_response_size(self, params: EmbedParams, model: Model) -> None:
        """Reject a request whose response would exceed the message limit before it is billed."""
        dimensions = params.dimensions or (model.embedding.dimensions if model.embedding else 0)
        count, limit = len(params.inputs), self._limits.max_message_bytes
        size = count * dimensions * BYTES_PER_COMPONENT
        if size <= limit:
            return
        max_inputs = max(limit // (dimensions * BYTES_PER_COMPONENT), 1)
        description = (
            f"must have at most {max_inputs} items for vectors of {dimensions} dimensions, got {count}: "
            f"the response is limited to {limit} bytes"
        )
        raise PayloadTooLarge(
            f"inputs {description}.",
            solution="Send fewer inputs per request, or request fewer dimensions.",
            violations=(FieldViolation("inputs", description),),
            metadata={"limit": str(limit), "actual": str(size)},
        )

    def _suggested_models(self, caller: Caller) -> Sequence[Model]:
        """Return the embedding models of providers with a key, if any; the mock's only if there are no others."""
        models = self._catalog.capable_models(matches=self._is_served)
        callable_ones = [
            model for model in models if model.provider not in self._missing_keys - {*caller.provider_keys}
        ]
        return [model for model in callable_ones if model.provider != "mock"] or callable_ones or models

    def _is_served(self, model: Model) -> bool:
        return model.embedding is not None and model.provider in self._embedders


def _may_return_embeddings(model: Model) -> bool:
    return model.embedding is not None or not model.is_known
