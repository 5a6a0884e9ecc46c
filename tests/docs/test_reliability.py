"""docs/reliability.md: its failures have tests, its figures are the defaults, its example does what it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from aimanager_server.app import HEDGING_QUANTILE
from aimanager_server.config.settings import Settings
from aimanager_server.resilience.retry_budget import REFILL_PER_SECOND
from aimanager_server.resilience.retry_policy import SLOW_FAILURE_SECONDS
from tests.support.doc_blocks import DOCS, code_blocks, run_python
from tests.support.gateway import settings_with, started_gateway
from tests.support.paths import ROOT

PAGE = (DOCS / "reliability.md").read_text("utf-8")
PROSE = " ".join(PAGE.split())
TIMEOUT = re.compile(r"^\| [^|]+ \| (\d+) s \| `([\w.]+)` \|", re.MULTILINE)


@pytest.mark.parametrize(
    ("first_column", "folders"),
    [("failure", ("integration/faults",)), ("case", ("integration/faults", "resilience", "pipeline"))],
)
def test_every_row_of_a_table_names_existing_tests(first_column: str, folders: tuple[str, ...]) -> None:
    [table] = re.findall(rf"^\| {first_column} .*\n\|[-|]+\|\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    modules = [module for folder in folders for module in (ROOT / "tests" / folder).glob("test_*.py")]
    tests = "\n".join(map(Path.read_text, modules))
    existing = set(re.findall(r"^(?:async )?def (test_\w+)\(", tests, re.MULTILINE))

    named = {row: re.findall(r"`(test_\w+)`", row) for row in table.splitlines()}
    assert [row for row, tests in named.items() if not tests] == []
    assert {test for tests in named.values() for test in tests} - existing == set()


def test_the_timeouts_are_the_defaults() -> None:
    rows = TIMEOUT.findall(PAGE)

    assert len(rows) == PAGE.count(" s | `")
    assert {setting: float(seconds) for seconds, setting in rows} == {setting: default(setting) for _, setting in rows}
    assert set(Settings().stream_timeouts.model_dump()) == {
        name.removeprefix("stream_timeouts.") for _, name in rows if name.startswith("stream_timeouts.")
    }


def test_the_figures_are_the_defaults() -> None:
    settings = Settings()
    retry, breaker, hedging = settings.retry, settings.circuit_breaker, settings.hedging

    for sentence in (
        f"up to {retry.max_attempts} attempts per target, with a backoff of {retry.initial_backoff_seconds:g} s",
        f"failed after more than {SLOW_FAILURE_SECONDS:g} s",
        f"{retry.budget_ratio:.0%}".replace("%", " %")
        + f" of its calls, plus {retry.budget_burst}, plus one per second",
        f"After {breaker.failure_threshold} consecutive failures, or at {100 * breaker.failure_rate_threshold:g} % "
        f"failures of at least {breaker.minimum_calls} calls within {breaker.window_seconds:g} s",
        f"every {breaker.probe_interval_seconds:g} s",
        f"quarantined for {breaker.credentials_open_seconds:g} s",
        f"{100 * HEDGING_QUANTILE:g}th percentile",
        f"for at most {100 * hedging.max_ratio:g} % of the calls",
    ):
        assert sentence in PROSE
    assert (REFILL_PER_SECOND, hedging.enabled) == (1.0, False)


def test_the_example_shows_an_interruption_and_then_the_complete_answer() -> None:
    [block] = code_blocks("reliability.md", "python")

    with started_gateway(settings_with()) as target:
        output = run_python(block, target)

    assert re.search(r"^\[\('mock-large', ''\)\] 0\.\d+$", output, re.MULTILINE)
    _, interruption, complete = output.partition("--- mock failed ---\n")
    assert interruption
    assert " ".join(f"word{number}" for number in range(1, 21)) in complete


def default(setting: str) -> float:
    """Return the default of a setting; NAME is a provider."""
    value: object = Settings().model_dump()
    for part in setting.replace("NAME", "claude").split("."):
        assert isinstance(value, dict)
        value = value[part]
    assert isinstance(value, int | float)
    return float(value)
