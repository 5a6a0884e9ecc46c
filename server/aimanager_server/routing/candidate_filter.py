"""Leaves out of a plan the models that cannot answer the question, and says so where the caller named them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from ..core.content import ReasoningOptions
from ..core.request import GenerateParams, Target
from ..core.response import SettingWarning
from ..pipeline.quota import estimate_tokens
from .candidates import Candidate, Group
from .capabilities import Need, lacks
from .load_balancing import Order

Needs = Callable[[ReasoningOptions], Sequence[Need]]
"""What the question needs of a model that is asked to think so much."""


def shortlisted(groups: Sequence[Group], ask: GenerateParams, needs: Needs, order: Order) -> tuple[Target, ...]:
    """The targets in the order in which they are asked; none where no model can do what is needed.

    A prompt that seems too long for a model keeps it out, but never the model that the caller named first, and not a
    route's where nobody else is left: that is a guess.
    """
    judge = _Judge(ask, needs)
    first, *fallbacks = groups
    able = judge.able(first)
    kept = [(first, judge.fitting(able) if first.policy is not None else able)]
    told: list[SettingWarning] = []
    for group in fallbacks:
        left = judge.fitting(judge.able(group))
        kept.append((group, left))
        if group.field and not left:
            told.append(SettingWarning(group.field, judge.why(group)))
    if not any(left for _, left in kept):
        kept = [(first, able)]
    targets = [target for group, left in kept if left for target in _ordered(group, left, order)]
    return tuple(replace(target, warnings=(*target.warnings, *told)) for target in targets) if told else tuple(targets)


def _ordered(group: Group, left: Sequence[Candidate], order: Order) -> Sequence[Target]:
    if group.policy is None:
        return [candidate.target for candidate in left]
    return order(group.name, group.policy, [(candidate.target, candidate.weight) for candidate in left])


class _Judge:
    """Tells which models can answer. What the question needs is found out once for each way of thinking."""

    def __init__(self, ask: GenerateParams, needs: Needs) -> None:
        self._needs = needs
        self._known: dict[ReasoningOptions, Sequence[Need]] = {}
        self._tokens = estimate_tokens(ask)

    def able(self, group: Group) -> list[Candidate]:
        return [candidate for candidate in group.candidates if not self._lacks(candidate)]

    def fitting(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        return [candidate for candidate in candidates if self._tokens <= _room(candidate)]

    def why(self, group: Group) -> str:
        """Why nothing is left of a group."""
        if group.policy is not None:
            return f"No model of the route {group.name} can answer this; it is not asked."
        candidate = group.candidates[0]
        tight = f"takes {_room(candidate):.0f} tokens, fewer than the {self._tokens} or so of the prompt"
        return f"{candidate.model.provider}/{candidate.model.id} {self._lacks(candidate) or tight}; it is not asked."

    def _lacks(self, candidate: Candidate) -> str:
        needs = self._known.get(candidate.reasoning)
        if needs is None:
            needs = self._known[candidate.reasoning] = self._needs(candidate.reasoning)
        return lacks(candidate.model, needs)


def _room(candidate: Candidate) -> float:
    """The most tokens of a prompt."""
    return candidate.model.max_input or candidate.model.context_window or float("inf")
