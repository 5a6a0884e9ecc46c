"""Turns what a client asked into a Call: everything that can be decided before a provider is asked is decided here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from ..catalog.catalog import Catalogue
from ..config.resilience import PatienceSettings
from ..core.request import Call, Caller, GenerateParams, Target
from ..validation.request import check
from .candidate_filter import shortlisted
from .candidates import Candidate, Plan, Planner
from .capabilities import Need, needs_of, require
from .load_balancing import Order, as_listed
from .model_names import Chosen, Names
from .routes import Routes
from .timeouts import Patiences

if TYPE_CHECKING:
    from ..config.settings import Limits, ModelSettings, ProviderSettings, RouteSettings
    from ..core.content import ReasoningOptions


MOST_REMEMBERED = 1000

NO_ROUTES: Mapping[str, RouteSettings] = MappingProxyType({})
NO_MODELS: Mapping[str, ModelSettings] = MappingProxyType({})


class Resolver:
    """Decides about questions. Nothing is awaited; the same question gets the same answer, but for a route's order.

    `has_key` says whether the server can open a provider; where it is None, the providers' settings are asked.
    Where the gateway `fetches` files, no model has to take an address. `models` are the operator's words for single
    models, `longest` the seconds that any call may take, and `order` says who of a route is asked first.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        providers: Mapping[str, ProviderSettings],
        limits: Limits,
        default_model: str = "",
        has_key: Callable[[str], bool] | None = None,
        *,
        fetches: bool = False,
        routes: Mapping[str, RouteSettings] = NO_ROUTES,
        models: Mapping[str, ModelSettings] = NO_MODELS,
        patience: PatienceSettings | None = None,
        longest: float = 1200.0,
        order: Order = as_listed,
    ) -> None:
        self._catalogue = catalogue
        self._providers = providers
        self._limits = limits
        self._fetches = fetches
        self._longest = longest
        self._order = order
        self._given_routes = routes
        self._default_model = default_model
        self._wires = {name: settings.wire for name, settings in providers.items() if settings.enabled}
        home, has_key = self.leads_to(default_model)[0], has_key or self._is_configured
        self._names = Names(catalogue, providers, home, has_key, routes)
        self._routes = Routes(routes, self._names, catalogue, providers)
        patiences = Patiences(patience or PatienceSettings(), models, catalogue)
        self._planner = Planner(self._names, routes, default_model, providers, patiences)
        self._memory: dict[object, Plan] = {}

    def resolve(
        self,
        ask: GenerateParams,
        caller: Caller,
        *,
        id: str,  # noqa: A002 - the field of Call it becomes
        deadline: float,
        streaming: bool,
        trace: str = "",
    ) -> Call:
        """The call to make. `deadline` is on the event loop's clock.

        Raises InvalidRequest, PayloadTooLarge, UnknownProvider, ModelNotFound or CapabilityUnsupported.
        """
        check(ask, self._limits, self._providers, self._longest)
        targets = self._targets(self._plan(ask, caller), ask, streaming=streaming)
        return Call(
            id=id,
            caller=caller,
            requested_model=ask.model,
            messages=ask.messages,
            targets=targets,
            deadline=deadline,
            streaming=streaming,
            restart_on_interruption=ask.restart_on_interruption,
            system_instruction=ask.system_instruction,
            tools=ask.tools,
            tool_choice=ask.tool_choice,
            output_format=ask.output_format,
            idempotency_key=ask.idempotency_key,
            labels=ask.labels,
            traceparent=trace,
        )

    def model(self, name: str, caller: Caller | None = None) -> Chosen:
        """What a model name means: the model with its facts, and the alias that led to it. Raises as `resolve` does.

        The name of a route means its first target.
        """
        return self._names.choose(self.leads_to(name)[0], caller or Caller())

    def leads_to(self, name: str) -> Sequence[str]:
        """The targets of a route, as they are listed, of the default model's where no name is given; else the name."""
        route = self._given_routes.get(name or self._default_model)
        return (name,) if route is None else route.targets

    def check_routes(self) -> None:
        """Raises InvalidRequest, naming the setting, where a route hides a model, or a name leads to none."""
        self._routes.check(self._default_model)

    def routes(self) -> Mapping[tuple[str, str], Sequence[str]]:
        """The names of the routes that may lead to each model, by provider and id."""
        return self._routes.by_model()

    def _plan(self, ask: GenerateParams, caller: Caller) -> Plan:
        """The same every time for the same options, so remembered where no caller's key or native option plays in."""
        if caller.provider_keys or ask.provider_options:
            return self._planner.plan(ask, caller)
        key = (
            ask.model,
            ask.sampling,
            ask.reasoning,
            bool(ask.tools),
            ask.fallback_models,
            ask.first_token_timeout,
            ask.idle_timeout,
        )
        plan = self._memory.get(key)
        if plan is None:
            plan = self._planner.plan(ask, caller)
            if len(self._memory) >= MOST_REMEMBERED:
                self._memory.clear()
            if plan.is_whole:
                self._memory[key] = plan
        return plan

    def _targets(self, plan: Plan, ask: GenerateParams, *, streaming: bool) -> tuple[Target, ...]:
        """Who is asked, in order. Raises CapabilityUnsupported where the first, or all of a route, cannot answer."""
        first = plan.groups[0]
        if first.policy is None:
            self._require(first.candidates[0], ask, streaming=streaming)
            if plan.is_single:
                return (first.candidates[0].target,)

        def needs(reasoning: ReasoningOptions) -> list[Need]:
            return list(needs_of(ask, reasoning, self._wires, streaming=streaming, fetches=self._fetches))

        targets = shortlisted(plan.groups, ask, needs, self._order)
        if not targets:
            self._require(first.candidates[0], ask, streaming=streaming)
        return targets

    def _require(self, candidate: Candidate, ask: GenerateParams, *, streaming: bool) -> None:
        rules = (self._catalogue, self._wires)
        require(candidate.model, ask, candidate.reasoning, *rules, streaming=streaming, fetches=self._fetches)

    def _is_configured(self, provider: str) -> bool:
        return bool(self._providers[provider].credentials())
