"""Keep nothing in the state of a provider that is masked elsewhere."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from ..core.content import Part
from .filter_run import FilterRun

AnyPart = TypeVar("AnyPart", bound=Part)


def with_safe_state(run: FilterRun, field: str, part: AnyPart) -> AnyPart:
    """Return the part without the provider's state, if something that is masked can be read in it. Raises Blocked."""
    if part.provider_state and _contains(run, field, part.provider_state):
        return replace(part, provider_state=b"")
    return part


def _contains(run: FilterRun, field: str, state: bytes) -> bool:
    """Return whether something that would be masked is in the state of a provider. Raises Blocked."""
    for _, _, rule in run.find(field, state.decode("ascii", "replace")):
        run.masked[field, rule.name] += 1
        return True
    return False
