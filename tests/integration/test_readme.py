"""The examples and tables of the README, executed and checked."""

from __future__ import annotations

import re
import runpy
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

from aimanager_server.commands.error_reference import error_reference
from aimanager_server.config.loader import load
from tests.support.aimock import aimock, reason_to_skip
from tests.support.gateway import settings_with, started_gateway
from tests.support.paths import ROOT

README = (ROOT / "README.md").read_text("utf-8")
LOCAL_TARGET = "127.0.0.1:50051"


def code_blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def gateway_with_reflection() -> Iterator[str]:
    with started_gateway(settings_with(server={"reflection": True})) as target:
        yield target


@pytest.mark.parametrize("number", range(len(code_blocks("python"))))
def test_python_example_runs(number: int, gateway: str) -> None:
    code = code_blocks("python")[number].replace(LOCAL_TARGET, gateway)
    out = StringIO()

    with redirect_stdout(out):
        exec(compile(code, "README.md", "exec"), {})

    assert "mock" in out.getvalue()


def test_call_with_buf_curl_runs(gateway_with_reflection: str) -> None:
    (command,) = (block for block in code_blocks("sh") if block.startswith("buf curl"))
    arguments = shlex.split(command.replace("\\\n", " ").replace(LOCAL_TARGET, gateway_with_reflection))[1:]
    buf = str(Path(sys.executable).with_name("buf"))

    done = subprocess.run([buf, *arguments], capture_output=True, text=True, timeout=60)

    assert done.returncode == 0, done.stderr
    assert '"finishReason": "FINISH_REASON_STOP"' in done.stdout


@pytest.mark.skipif(bool(reason_to_skip()), reason=reason_to_skip() or "-")
def test_console_transcript_is_reproducible() -> None:
    (transcript,) = code_blocks("console")
    commands = re.findall(r"^\$ aimanager (.*)\n(.*)$", transcript, re.MULTILINE)
    aimanager = str(Path(sys.executable).with_name("aimanager"))

    with aimock() as upstream:
        urls = {"claude": upstream.url, "openai": f"{upstream.url}/v1", "deepseek": f"{upstream.url}/v1"}
        providers = {name: {"base_url": url, "api_key": "sk-of-the-server"} for name, url in urls.items()}
        with started_gateway(settings_with(providers=providers)) as target:
            processes = [
                subprocess.Popen(
                    [aimanager, *shlex.split(arguments), "--target", target], stdout=subprocess.PIPE, text=True
                )
                for arguments, _ in commands
            ]
            outputs = [process.communicate(timeout=60)[0].strip() for process in processes]
        paths = [request["path"] for request in upstream.requests()]

    assert outputs == [output for _, output in commands]
    assert sorted(paths) == ["/v1/chat/completions", "/v1/chat/completions", "/v1/messages"]


def test_toml_examples_are_valid_settings() -> None:
    settings = load(tomllib.loads("\n".join(code_blocks("toml"))), None, {}).settings

    assert settings.server.health_listen == "[::]:50052"
    assert settings.providers["my-vllm"].allow_any_model
    assert settings.providers["my-vllm"].api_key_env == ""
    assert settings.routes["fast-chat"].weights == [3, 1]


def test_every_row_of_the_failure_table_names_existing_tests() -> None:
    (table,) = re.findall(r"^\| failure .*\n\|[-|]+\|\n((?:\|.*\n)+)", README, re.MULTILINE)
    fault_tests = (ROOT / "tests" / "integration" / "faults").glob("test_*.py")
    existing = set(re.findall(r"^def (test_\w+)\(", "\n".join(map(Path.read_text, fault_tests)), re.MULTILINE))

    named = {row: re.findall(r"`(test_\w+)`", row) for row in table.splitlines()}
    assert [row for row, tests in named.items() if not tests] == []
    assert {test for tests in named.values() for test in tests} - existing == set()


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))

    assert set(re.findall(r"`?make ([a-z-]+)", README)) - targets == set()


def test_error_reference_is_up_to_date() -> None:
    assert (ROOT / "docs" / "errors.md").read_text("utf-8") == error_reference()


def test_provider_table_is_up_to_date() -> None:
    with_provider_table = runpy.run_path(str(ROOT / ".ci" / "providers_table.py"))["with_provider_table"]

    assert with_provider_table(README) == README, "run 'make providers-table'"
