"""Turns what a client wants embedded into a call: everything is decided here before a provider is asked."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from pydantic_core import to_json

from ..catalog.catalog import Catalogue, Model
from ..core.embedding import EmbedCall, EmbedParams, message_of_inputs
from ..core.errors import FieldViolation, InvalidRequest, PayloadTooLarge
from ..core.request import Caller, Target
from ..validation.json_depth import is_deeper
from ..validation.request import MOST_TOLD
from .capabilities import Need, demand
from .resolver import Resolver

if TYPE_CHECKING:
    from ..config.settings import Limits

COMPONENT_BYTES = 4


class EmbedResolver:
    """Decides about texts to embed. Pure. `embedders` are the providers that can."""

    def __init__(
        self,
        catalogue: Catalogue,
        names: Resolver,
        embedders: Collection[str],
        providers: Collection[str],
        limits: Limits,
    ) -> None:
        self._catalogue = catalogue
        self._names = names
        self._embedders = embedders
        self._providers = providers
        self._limits = limits

    def resolve(
        self,
        ask: EmbedParams,
        caller: Caller,
        *,
        id: str,  # noqa: A002 - the field of Call it becomes
        deadline: float,
        trace: str = "",
    ) -> EmbedCall:
        """The call to make. `deadline` is on the event loop's clock.

        Raises InvalidRequest, PayloadTooLarge, UnknownProvider, ModelNotFound or CapabilityUnsupported.
        """
        self._check(ask)
        chosen = self._names.model(ask.model, caller)
        model = chosen.model
        demand(model, list(self._needs(ask)), self._catalogue, self._embedders)
        self._check_size(ask, model)
        return EmbedCall(
            id=id,
            caller=caller,
            requested_model=ask.model,
            messages=(message_of_inputs(ask.inputs),),
            targets=(Target(model.provider, chosen.id, options=ask.provider_options.get(model.provider, {})),),
            deadline=deadline,
            traceparent=trace,
            dimensions=ask.dimensions,
            purpose=ask.purpose,
        )

    def _check(self, ask: EmbedParams) -> None:
        flaws = tuple(self._flaws(ask))
        if flaws:
            more = f" {len(flaws)} fields cannot be used." if len(flaws) > 1 else ""
            raise InvalidRequest(f"{flaws[0].field}: {flaws[0].description}.{more}", violations=flaws[:MOST_TOLD])

    def _flaws(self, ask: EmbedParams) -> Iterator[FieldViolation]:
        targets = self._names.leads_to(ask.model)
        if ask.model and len(targets) > 1:
            problem = (
                f"is a route of {len(targets)} targets, whose vectors differ; accepted is a model, or a route of one"
            )
            yield FieldViolation("model", problem)
        if not ask.model:
            models = self._catalogue.able(suits=self._is_served)
            named = ", ".join(f"{model.provider}/{model.id}" for model in models)
            yield FieldViolation("model", f"is empty; accepted is a model that makes vectors, such as {named}")
        if not ask.inputs:
            yield FieldViolation("inputs", "is empty; accepted is at least one text")
        if len(ask.inputs) > self._limits.embedding_inputs:
            most = self._limits.embedding_inputs
            yield FieldViolation("inputs", f"there are {len(ask.inputs)}, at most {most} are taken")
            return
        for index, text in enumerate(ask.inputs):
            if not text:
                yield FieldViolation(f"inputs[{index}]", "is empty")
        if ask.dimensions is not None and ask.dimensions < 1:
            yield FieldViolation("dimensions", f"{ask.dimensions!r} is below 1")
        yield from self._option_flaws(ask)

    def _option_flaws(self, ask: EmbedParams) -> Iterator[FieldViolation]:
        for name, options in ask.provider_options.items():
            field = f"provider_options_json[{to_json(name[:64]).decode()}]"
            if name not in self._providers:
                yield FieldViolation(
                    field, f"there is no such provider; there are {', '.join(sorted(self._providers))}"
                )
            elif is_deeper(dict(options), self._limits.json_depth):
                yield FieldViolation(field, f"is nested deeper than {self._limits.json_depth} levels")

    def _needs(self, ask: EmbedParams) -> Iterator[Need]:
        yield Need("model", "makes no vectors", lambda model: model.provider in self._embedders and _may_embed(model))
        dimensions = ask.dimensions
        if dimensions is not None:
            lack = f"makes no vectors of {dimensions} components"
            yield Need(
                "dimensions", lack, lambda model: model.embedding is None or model.embedding.can_make(dimensions)
            )

    def _check_size(self, ask: EmbedParams, model: Model) -> None:
        """Refuse what could not be sent back: it would be paid for and lost."""
        each = ask.dimensions or (model.embedding.dimensions if model.embedding else 0)
        size, most = len(ask.inputs) * each * COMPONENT_BYTES, self._limits.message_bytes
        if size <= most:
            return
        fit = max(most // (each * COMPONENT_BYTES), 1)
        problem = f"{len(ask.inputs)} vectors of {each} components do not fit into one answer; {fit} do"
        raise PayloadTooLarge(
            f"inputs: {problem}.",
            solution="Send fewer inputs at a time, or ask for shorter vectors.",
            violations=(FieldViolation("inputs", problem),),
            metadata={"limit": str(most), "actual": str(size)},
        )

    def _is_served(self, model: Model) -> bool:
        return model.embedding is not None and model.provider in self._embedders and model.provider != "mock"


def _may_embed(model: Model) -> bool:
    return model.embedding is not None or not model.is_known
