"""Find every model that a request names, including its fallbacks and routes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..config.routes import RouteSettings, RoutingPolicy
from ..core.content import ReasoningOptions
from ..core.errors import FieldViolation, GatewayError, ModelNotFound, ProviderNotFound
from ..core.request import Caller, GenerateParams
from ..core.value import dataclass
from .model_names import ModelNameResolver, ResolvedModel
from .reasoning import requested_reasoning


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model that may serve the request. `reasoning` holds the options as requested, before normalization."""

    resolved: ResolvedModel
    reasoning: ReasoningOptions
    weight: int = 1


@dataclass(frozen=True, slots=True)
class CandidateGroup:
    """The candidates of one name: a model, or the targets of a route in configured order.

    `policy` is None for a model. `field` is the request field of a fallback the caller named, else empty.
    """

    name: str
    candidates: Sequence[Candidate]
    policy: RoutingPolicy | None = None
    field: str = ""


class CandidateFinder:
    """Find the candidates of requests. `default_model` is the model or route of requests that name none."""

    def __init__(self, names: ModelNameResolver, routes: Mapping[str, RouteSettings], default_model: str) -> None:
        self._names = names
        self._routes = routes
        self._default_model = default_model

    def find_only(self, params: GenerateParams, caller: Caller) -> Candidate | None:
        """Return the candidate of a request without fallbacks for a model; None if the request may have several.

        Raises InvalidRequest, ProviderNotFound or ModelNotFound.
        """
        if params.fallback_models or (params.model or self._default_model) in self._routes:
            return None
        resolved = self._names.resolve(params.model, caller)
        return Candidate(resolved, requested_reasoning(resolved.alias, params.reasoning))

    def find(self, params: GenerateParams, caller: Caller) -> Sequence[CandidateGroup]:
        """Return the candidates of the requested model, then of the caller's fallbacks, then of the route's fallbacks.

        Each model is returned once. Raises the errors of `find_only`; for a fallback, with its field.
        """
        collector = _GroupCollector(self._names, self._routes, params.reasoning, caller)
        name = params.model or self._default_model
        collector.add(name)
        for index, fallback in enumerate(params.fallback_models):
            collector.add_fallback(fallback, f"fallback_models[{index}]")
        route = self._routes.get(name)
        for fallback in route.fallback_models if route is not None else ():
            collector.add_if_known(fallback)
        return collector.groups


class _GroupCollector:
    """Collect the groups of one request."""

    def __init__(
        self,
        names: ModelNameResolver,
        routes: Mapping[str, RouteSettings],
        reasoning: ReasoningOptions,
        caller: Caller,
    ) -> None:
        self._names = names
        self._routes = routes
        self._reasoning = reasoning
        self._caller = caller
        self._seen: set[tuple[str, str]] = set()
        self.groups: list[CandidateGroup] = []

    def add(self, name: str, field: str = "") -> None:
        route = self._routes.get(name)
        if route is None:
            resolved = self._names.resolve(name, self._caller)
            if self._is_new(resolved):
                self.groups.append(CandidateGroup(name, (self._candidate(resolved),), field=field))
            return
        targets = self._route_targets(route)
        candidates = [self._candidate(resolved, weight) for resolved, weight in targets if self._is_new(resolved)]
        if candidates:
            self.groups.append(CandidateGroup(name, candidates, route.policy, field))

    def add_fallback(self, name: str, field: str) -> None:
        try:
            self.add(name, field)
        except GatewayError as error:
            raise _with_field(error, field) from error

    def add_if_known(self, name: str) -> None:
        try:
            self.add(name)
        except (ModelNotFound, ProviderNotFound):
            return  # The model of a plug-in may become known later.

    def _route_targets(self, route: RouteSettings) -> Sequence[tuple[ResolvedModel, int]]:
        """Return the known targets with their weights. Raises the first error if none is known.

        A target of a plug-in can become known later.
        """
        known: list[tuple[ResolvedModel, int]] = []
        errors: list[GatewayError] = []
        for name, weight in zip(route.targets, route.weights or [1] * len(route.targets), strict=True):
            try:
                known.append((self._names.resolve(name, self._caller), weight))
            except (ModelNotFound, ProviderNotFound) as error:
                errors.append(error)
        if not known:
            raise errors[0]
        return known

    def _candidate(self, resolved: ResolvedModel, weight: int = 1) -> Candidate:
        return Candidate(resolved, requested_reasoning(resolved.alias, self._reasoning), weight)

    def _is_new(self, resolved: ResolvedModel) -> bool:
        key = (resolved.model.provider, resolved.id)
        is_new = key not in self._seen
        self._seen.add(key)
        return is_new


def _with_field(error: GatewayError, field: str) -> GatewayError:
    """Return the error of an unknown model as one of this request field."""
    return type(error)(
        error.message,
        solution=error.solution,
        provider=error.provider,
        model=error.model,
        violations=(FieldViolation(field, error.message),),
        metadata=error.metadata,
    )
