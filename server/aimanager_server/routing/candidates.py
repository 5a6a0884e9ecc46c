"""Finds every model that a question names, its fallbacks included, and settles each by itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..catalog.catalog import Model
from ..core.content import ReasoningOptions
from ..core.errors import FieldViolation, GatewayError, ModelNotFound, ProviderNotFound
from ..core.request import Caller, GenerateParams, Target
from .model_names import Chosen, Names
from .options import asked_reasoning, settle
from .timeouts import Patiences

if TYPE_CHECKING:
    from ..config.resilience import Policy
    from ..config.settings import ProviderSettings, RouteSettings


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model that may be asked. `reasoning` is what is asked of it, before that was settled into the target."""

    model: Model
    reasoning: ReasoningOptions
    target: Target
    weight: int = 1


@dataclass(frozen=True, slots=True)
class Group:
    """What one name leads to: a model, or the targets of a route in the order in which they are listed.

    `policy` is None for a model. `field` is the caller's where it named a fallback, else empty.
    """

    name: str
    candidates: tuple[Candidate, ...]
    policy: Policy | None = None
    field: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """Who may be asked, in order, each model once. `is_whole`: no target of a route is unknown for now."""

    groups: tuple[Group, ...]
    is_whole: bool = True

    @property
    def is_single(self) -> bool:
        """Whether there is nothing to choose from."""
        return len(self.groups) == 1 and len(self.groups[0].candidates) == 1


class Planner:
    """Makes plans. `default_model` is what is asked where the question names nothing; it may be a route too."""

    def __init__(
        self,
        names: Names,
        routes: Mapping[str, RouteSettings],
        default_model: str,
        providers: Mapping[str, ProviderSettings],
        patience: Patiences,
    ) -> None:
        self._names = names
        self._routes = routes
        self._default_model = default_model
        self._providers = providers
        self._patience = patience

    def plan(self, ask: GenerateParams, caller: Caller) -> Plan:
        """What the question's model leads to; then its fallbacks; then those of its route.

        Raises InvalidRequest, UnknownProvider or ModelNotFound, for a fallback with its field.
        """
        draft = _Draft(self._names, self._routes, caller, lambda chosen, weight: self._candidate(chosen, ask, weight))
        name = ask.model or self._default_model
        draft.add(name)
        for index, fallback in enumerate(ask.fallback_models):
            draft.add_fallback(fallback, f"fallback_models[{index}]")
        route = self._routes.get(name)
        for fallback in route.fallback_models if route is not None else ():
            draft.add_if_known(fallback)
        return Plan(tuple(draft.groups), draft.is_whole)

    def _candidate(self, chosen: Chosen, ask: GenerateParams, weight: int) -> Candidate:
        target = settle(chosen, ask, self._providers[chosen.model.provider], self._patience)
        return Candidate(chosen.model, asked_reasoning(chosen, ask), target, weight)


class _Draft:
    """The groups found so far; `settled` makes a candidate of a model and its weight."""

    def __init__(
        self,
        names: Names,
        routes: Mapping[str, RouteSettings],
        caller: Caller,
        settled: Callable[[Chosen, int], Candidate],
    ) -> None:
        self._names = names
        self._routes = routes
        self._caller = caller
        self._settled = settled
        self._seen: set[tuple[str, str]] = set()
        self.groups: list[Group] = []
        self.is_whole = True

    def add(self, name: str, field: str = "") -> None:
        route = self._routes.get(name)
        found = [(self._names.choose(name, self._caller), 1)] if route is None else self._members(route)
        candidates = tuple(self._settled(chosen, weight) for chosen, weight in found if self._is_new(chosen))
        if candidates:
            self.groups.append(Group(name, candidates, None if route is None else route.policy, field))

    def add_fallback(self, name: str, field: str) -> None:
        try:
            self.add(name, field)
        except GatewayError as fault:
            fault.violations = (FieldViolation(field, fault.message),)
            raise

    def add_if_known(self, name: str) -> None:
        try:
            self.add(name)
        except (ModelNotFound, ProviderNotFound):
            self.is_whole = False

    def _members(self, route: RouteSettings) -> Sequence[tuple[Chosen, int]]:
        """The targets that are known: a plug-in's may become so later. Raises where none is."""
        known: list[tuple[Chosen, int]] = []
        unknown: list[GatewayError] = []
        for name, weight in zip(route.targets, route.weights or [1] * len(route.targets), strict=True):
            try:
                known.append((self._names.choose(name, self._caller), weight))
            except (ModelNotFound, ProviderNotFound) as fault:
                unknown.append(fault)
        if not known:
            raise unknown[0]
        self.is_whole = self.is_whole and not unknown
        return known

    def _is_new(self, chosen: Chosen) -> bool:
        place = (chosen.model.provider, chosen.id)
        is_new = place not in self._seen
        self._seen.add(place)
        return is_new
