"""Report the settings of a caller that a wire changes or cannot send.

Routing reports what the catalog knows of a model. A wire reports the rest: its API has no field for a setting, or not
this value, whatever the model.
"""

from __future__ import annotations

from ...core.content import Effort, ReasoningOptions
from ...core.request import Target
from ...core.response import SettingWarning

EFFORT, BUDGET, INCLUDE = "reasoning.effort", "reasoning.budget_tokens", "reasoning.include"


class SettingChanges:
    """The changes to the settings of one target. Those of the operator or of an alias are changed without a warning."""

    __slots__ = ("_target", "warnings")

    def __init__(self, target: Target) -> None:
        self._target = target
        self.warnings: list[SettingWarning] = []

    def remove(self, field: str, reason: str) -> None:
        """Report that the setting was removed; `reason` is a clause about the API or the model."""
        self.report(field, f"{reason}; {field.rpartition('.')[2]} was removed.")

    def report(self, field: str, message: str) -> None:
        """Report the setting unless it is not the caller's."""
        if field not in self._target.defaulted_fields:
            self.warnings.append(SettingWarning(field, message))


def budget_as_effort(
    reasoning: ReasoningOptions, changes: SettingChanges, api: str, *, has_efforts: bool
) -> Effort | None:
    """Return the effort for an API without budgets: the requested one, else the one nearest to the budget."""
    if reasoning.budget_tokens is None:
        return reasoning.effort
    effort = reasoning.effort or (Effort.for_budget(reasoning.budget_tokens) if has_efforts else None)
    used = f"effort {effort.label} is used instead" if effort is not None else "it was removed"
    changes.report(BUDGET, f"{api} has no reasoning budget; {used}.")
    return effort
