"""Resolve a generation request into a `Call`: validate, resolve names, filter and order targets, normalize options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ..catalog.catalog import Catalog
from ..config.settings import Settings
from ..core.errors import CapabilityUnsupported
from ..core.request import Call, Caller, GenerateParams, Target
from ..core.response import SettingWarning
from ..validation.request import RequestValidator
from .cache_policy import resolve_cache_policy
from .candidate_filter import filter_candidates
from .candidates import Candidate, CandidateFinder, CandidateGroup
from .capabilities import Requirement, RequirementFinder, capability_error, meets_all
from .load_balancing import TargetOrder
from .model_names import ModelNameResolver, ResolvedModel
from .options import OptionsNormalizer
from .routes import RouteTable
from .timeouts import StreamTimeoutsResolver


class Resolver:
    """Resolve requests without I/O. Equal requests have equal targets; only the order within a route may differ."""

    def __init__(self, catalog: Catalog, settings: Settings, target_order: TargetOrder) -> None:
        self._catalog = catalog
        self._settings = settings
        self._target_order = target_order
        server, providers, routes = settings.server, settings.providers, settings.routes
        self._validate = RequestValidator(settings.limits, providers, server.stream_timeout_seconds)
        self._wires = {name: provider.wire for name, provider in providers.items() if provider.enabled}
        self._names = ModelNameResolver(catalog, providers, self.route_targets(server.default_model)[0], routes)
        self._route_table = RouteTable(routes, self._names, catalog, providers)
        timeouts = StreamTimeoutsResolver(settings.stream_timeouts, settings.models, catalog)
        self._candidates = CandidateFinder(self._names, routes, server.default_model)
        self._requirements = RequirementFinder(self._wires, fetch_attachments=server.fetch_attachments)
        self._normalize = OptionsNormalizer(providers, timeouts)

    def resolve(
        self,
        params: GenerateParams,
        caller: Caller,
        *,
        id: str,  # noqa: A002 - the field of Call it becomes
        deadline: float,
        streaming: bool,
        traceparent: str = "",
        hops: str = "",
    ) -> Call:
        """Return the call. `deadline` is in seconds on the event loop's clock.

        Raises InvalidRequest, PayloadTooLarge, ProviderNotFound, ModelNotFound or CapabilityUnsupported.
        """
        self._validate(params, caller)
        cache_policy, warnings = resolve_cache_policy(params.cache_policy, caller, self._settings.response_cache)
        targets = self._targets(params, caller, warnings, streaming=streaming)
        return Call(
            id=id,
            caller=caller,
            requested_model=params.model,
            messages=params.messages,
            targets=targets,
            deadline=deadline,
            streaming=streaming,
            restart_on_interruption=params.restart_on_interruption,
            system_instruction=params.system_instruction,
            tools=params.tools,
            tool_choice=params.tool_choice,
            output_format=params.output_format,
            extract_artifacts=params.extract_artifacts,
            optimizations=params.optimizations,
            idempotency_key=params.idempotency_key,
            labels=params.labels,
            traceparent=traceparent,
            hops=hops,
            turn=params.turn,
            cache_policy=cache_policy,
            params=params,
            cache_hint=params.cache_hint,
        )

    def resolve_changed(self, call: Call, params: GenerateParams) -> Call:
        """Return the call with a changed request for the same models, in the order that was decided for it.

        Raises the errors of `resolve`.
        """
        changed = self.resolve(
            params, call.caller, id=call.id, deadline=call.deadline, streaming=call.streaming,
            traceparent=call.traceparent, hops=call.hops,
        )  # fmt: skip
        order = [target.key for target in call.targets]
        return replace(
            changed,
            targets=tuple(sorted(changed.targets, key=lambda target: _position(target.key, order))),
            upstream_timer=call.upstream_timer,
            attempts=call.attempts,
        )

    def resolve_model(self, name: str, caller: Caller | None = None) -> ResolvedModel:
        """Return the model of a name, for a route that of its first target. Raises the errors of `resolve`."""
        return self._names.resolve(self.route_targets(name)[0], caller or Caller())

    def route_targets(self, name: str) -> Sequence[str]:
        """Return the targets of a route in configured order, or the name itself. An empty name means the default."""
        route = self._settings.routes.get(name or self._settings.server.default_model)
        return (name,) if route is None else route.targets

    def validate_routes(self) -> None:
        """Raise InvalidRequest, naming the setting, if a route hides a model, or a configured model does not exist."""
        self._route_table.validate(self._settings.server.default_model)

    def routes_by_model(self) -> Mapping[tuple[str, str], Sequence[str]]:
        """Return the names of the routes that may lead to each model, by provider and id."""
        return self._route_table.routes_by_model()

    def _targets(
        self, params: GenerateParams, caller: Caller, warnings: Sequence[SettingWarning], *, streaming: bool
    ) -> tuple[Target, ...]:
        """Return the targets in order.

        Raises CapabilityUnsupported if the requested model, or every target of the requested route, is unsuitable.
        """
        only = self._candidates.find_only(params, caller)
        if only is None:
            groups = self._candidates.find(params, caller)
            return self._targets_of_groups(groups, params, warnings, streaming=streaming)
        requirements = self._requirements(params, streaming=streaming)
        if not meets_all(only.resolved.model, only.reasoning, requirements):
            raise self._capability_error(only, requirements)
        return (self._normalize(only, params, warnings),)

    def _targets_of_groups(
        self,
        groups: Sequence[CandidateGroup],
        params: GenerateParams,
        warnings: Sequence[SettingWarning],
        *,
        streaming: bool,
    ) -> tuple[Target, ...]:
        requirements = self._requirements(params, streaming=streaming)
        suitable, skipped = filter_candidates(groups, params, requirements)
        if not suitable:
            raise self._capability_error(groups[0].candidates[0], requirements)
        targets: list[Target] = []
        for group, candidates in suitable:
            targets += [self._normalize(one, params, (*skipped, *warnings)) for one in self._ordered(group, candidates)]
        return tuple(targets)

    def _ordered(self, group: CandidateGroup, candidates: Sequence[Candidate]) -> Sequence[Candidate]:
        if group.policy is None or len(candidates) == 1:
            return candidates
        return self._target_order(group.name, group.policy, candidates)

    def _capability_error(self, candidate: Candidate, requirements: Sequence[Requirement]) -> CapabilityUnsupported:
        return capability_error(candidate.resolved.model, candidate.reasoning, requirements, self._catalog, self._wires)


def _position(key: tuple[str, str], order: Sequence[tuple[str, str]]) -> int:
    """Return the position of a target; one that was not among the targets comes last."""
    return order.index(key) if key in order else len(order)
