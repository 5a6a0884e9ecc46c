"""No scenario is forgotten."""

from __future__ import annotations

import importlib
from pathlib import Path

from tests.integration.faults.scenarios import NOT_MET, SCENARIOS


def covered() -> set[int]:
    modules = (
        importlib.import_module(f"tests.integration.faults.{file.stem}")
        for file in Path(__file__).parent.glob("test_*.py")
    )
    return {number for module in modules for test in vars(module).values() for number in getattr(test, "scenarios", ())}


def test_every_scenario_has_a_test_or_a_reason_for_having_none() -> None:
    assert covered() | NOT_MET.keys() == SCENARIOS.keys()


def test_no_scenario_that_has_a_test_is_excused() -> None:
    assert covered() & NOT_MET.keys() == set()
