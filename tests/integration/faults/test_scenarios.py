"""Every scenario is covered."""

from __future__ import annotations

import importlib
from pathlib import Path

from tests.integration.faults.scenarios import NOT_APPLICABLE, SCENARIOS


def covered_scenarios() -> set[int]:
    modules = (
        importlib.import_module(f"tests.integration.faults.{file.stem}")
        for file in Path(__file__).parent.glob("test_*.py")
    )
    return {number for module in modules for test in vars(module).values() for number in getattr(test, "scenarios", ())}


def test_every_scenario_has_either_a_test_or_a_reason_why_it_cannot_occur() -> None:
    covered = covered_scenarios()

    assert covered | NOT_APPLICABLE.keys() == SCENARIOS.keys()
    assert covered & NOT_APPLICABLE.keys() == set()
