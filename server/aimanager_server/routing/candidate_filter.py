"""Remove the candidates that cannot serve a request, and warn about fallbacks that the caller named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..core.content import Message, PromptOptimization, turn_starts
from ..core.request import GenerateParams
from ..core.response import SettingWarning
from ..core.token_estimate import estimate_tokens
from .candidates import Candidate, CandidateGroup
from .capabilities import Requirement, meets_all, unmet_reason

Suitable = tuple[CandidateGroup, Sequence[Candidate]]
"""A group, and those of its candidates that can serve the request."""


def filter_candidates(
    groups: Sequence[CandidateGroup], params: GenerateParams, requirements: Sequence[Requirement]
) -> tuple[Sequence[Suitable], Sequence[SettingWarning]]:
    """Return the suitable candidates of each group that has any, and the warnings about skipped fallbacks.

    Nothing is suitable if the model the caller named first, or every target of the route, does not meet the
    requirements. A candidate is also removed if the estimated prompt exceeds its context window. Since that is an
    estimate, it never removes the model the caller named first, nor the targets of the route if nothing else is left.
    """
    required = _required_messages(params)
    prompt_tokens = estimate_tokens(params if required is params.messages else replace(params, messages=required))
    first, *fallbacks = groups
    capable, fitting = _split(first, requirements, prompt_tokens)
    if first.policy is None:
        if not capable:
            return (), ()
        fitting = capable
    suitable: list[Suitable] = [(first, fitting)] if fitting else []
    warnings: list[SettingWarning] = []
    for group in fallbacks:
        _, fitting = _split(group, requirements, prompt_tokens)
        if fitting:
            suitable.append((group, fitting))
        elif group.field:
            warnings.append(SettingWarning(group.field, _removal_reason(group, requirements, prompt_tokens)))
    if not suitable and capable:
        suitable = [(first, capable)]
    return suitable, warnings


def _required_messages(params: GenerateParams) -> tuple[Message, ...]:
    """Return the messages without history that is left out if a prompt would be too long."""
    if params.turn is not None:
        return params.new_messages
    if PromptOptimization.HISTORY in params.optimizations:
        return params.messages[turn_starts(params.messages)[-1] :]
    return params.messages


def _split(
    group: CandidateGroup, requirements: Sequence[Requirement], prompt_tokens: int
) -> tuple[list[Candidate], list[Candidate]]:
    """Return the candidates that meet the requirements, and those of them whose context window fits the prompt."""
    capable = [one for one in group.candidates if meets_all(one.resolved.model, one.reasoning, requirements)]
    return capable, [candidate for candidate in capable if prompt_tokens <= _input_limit(candidate)]


def _removal_reason(group: CandidateGroup, requirements: Sequence[Requirement], prompt_tokens: int) -> str:
    """Return why no candidate of a group is left."""
    if group.policy is not None:
        return f"No model of route {group.name!r} supports this request; the fallback is skipped."
    candidate = group.candidates[0]
    model = candidate.resolved.model
    limit = f"accepts {_input_limit(candidate):.0f} input tokens, fewer than the estimated {prompt_tokens}"
    reason = unmet_reason(model, candidate.reasoning, requirements) or limit
    return f"{model.provider}/{model.id} {reason}; the fallback is skipped."


def _input_limit(candidate: Candidate) -> float:
    model = candidate.resolved.model
    return model.max_input_tokens or model.context_window or float("inf")
