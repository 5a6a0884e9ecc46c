"""The README: its examples run, its promises have tests, and it stays short."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

from tests.docs.test_code_blocks import is_executable, run
from tests.support.doc_blocks import LOCAL_TARGET, CodeBlock, code_blocks, commands
from tests.support.gateway import settings_with, started_gateway
from tests.support.paths import ROOT

PATH = ROOT / "README.md"
README = PATH.read_text("utf-8")
MAX_LINES = 150
COMMANDS = [command for block in code_blocks(PATH, "sh") for command in commands(block)]

PROMISES = {
    "A stream is complete only if the provider completed it.": (
        "test_an_interrupted_stream_is_aborted_with_its_usage",
        "test_idle_timeout_interrupts_a_stalled_stream",
        "test_an_interrupted_stream_restarts_if_the_caller_permits_it",
        "test_restart_is_the_default_policy",
    ),
    "Failures before the first content are invisible.": (
        "test_a_single_server_error_is_retried",
        "test_the_next_key_is_used_at_once_if_a_key_is_rate_limited",
        "test_overload_falls_back_after_retries",
        "test_retry_after_beyond_the_deadline_fails_the_call_at_once",
    ),
    "Usage is inclusive and normalized.": (
        "test_token_counts_are_inclusive",
        "test_output_includes_reasoning_and_input_includes_cached_tokens",
        "test_costs_match_the_golden_table",
        "test_an_unknown_cost_is_unset",
    ),
    "Long conversations stay cheap.": ("test_every_turn_reads_all_that_the_turn_before_wrote",),
    "No setting is ignored silently.": (
        "test_unsupported_options_are_removed_with_a_warning",
        "test_image_for_a_model_without_image_input_is_rejected",
        "test_a_provider_without_embeddings_names_models_that_have_them",
    ),
    "Repeated calls are billed once.": (
        "test_repeated_key_replays_the_first_response",
        "test_a_repeated_idempotency_key_returns_the_first_vectors",
        "test_each_request_has_its_own_idempotency_key",
        "test_embedding_is_retried_with_the_same_idempotency_key",
    ),
    "Errors say what to do.": (
        "test_every_error_has_its_code_reason_solution_and_pushback",
        "test_the_first_error_is_reported_with_every_attempt",
    ),
    "Secrets and personal data can be kept from providers.": (
        "test_no_operation_sends_to_a_provider_what_is_filtered",
        "test_any_division_of_a_text_gives_the_same_result",
    ),
    "Keys are not disclosed.": (
        "test_prompts_answers_tokens_and_keys_are_in_no_log_line_and_no_metric",
        "test_a_key_quoted_by_the_provider_is_redacted",
        "test_a_callers_key_reaches_only_its_provider_and_only_in_its_call",
        "test_clients_follow_no_redirects_and_keep_no_cookies",
    ),
}
"""The tests of each promise."""


@pytest.fixture(scope="module")
def gateway_with_reflection() -> Iterator[str]:
    with started_gateway(settings_with(server={"reflection": True})) as target:
        yield target


def test_it_is_short() -> None:
    assert len(README.splitlines()) <= MAX_LINES


@pytest.mark.parametrize("block", code_blocks(PATH, "python"), ids=str)
def test_python_example_runs(block: CodeBlock, gateway: str) -> None:
    out = StringIO()

    with redirect_stdout(out):
        exec(compile(block.text.replace(LOCAL_TARGET, gateway), block.page, "exec"), {})

    assert "mock" in out.getvalue()


@pytest.mark.parametrize("command", [command for command in COMMANDS if not command.startswith(("make ", ". "))])
def test_command_runs(command: str, gateway_with_reflection: str, tmp_path: Path) -> None:
    if command.startswith("buf "):
        call_with_buf(command, gateway_with_reflection)
        return
    assert is_executable(command)
    run(command, gateway_with_reflection, tmp_path)


def call_with_buf(command: str, target: str) -> None:
    arguments = shlex.split(command.replace(LOCAL_TARGET, target))[1:]
    buf = str(Path(sys.executable).with_name("buf"))

    done = subprocess.run([buf, *arguments], capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 0, done.stderr
    assert '"finishReason": "FINISH_REASON_STOP"' in done.stdout


def test_every_promise_has_tests_that_exist() -> None:
    section = README.partition("## What you can rely on")[2].partition("\n## ")[0]
    sources = (path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    existing = set(re.findall(r"^(?:async )?def (test_\w+)\(", "\n".join(sources), re.MULTILINE))

    assert re.findall(r"^- \*\*(.*?)\*\*", section, re.MULTILINE) == list(PROMISES)
    assert {test for tests in PROMISES.values() for test in tests} - existing == set()


def test_every_promised_extra_exists() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]

    assert set(re.findall(r"\.\[(\w+)\]", README)) <= project["optional-dependencies"].keys()


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))

    assert set(re.findall(r"`?make ([a-z-]+)", README)) - targets == set()
