"""What the README promises, run."""

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
from tests.support.aimock import aimock, missing
from tests.support.gateway import served, settings_with
from tests.support.paths import ROOT

README = (ROOT / "README.md").read_text("utf-8")
LOCAL = "127.0.0.1:50051"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def reflecting() -> Iterator[str]:
    with served(settings_with(server={"reflection": True})) as target:
        yield target


@pytest.mark.parametrize("number", range(len(blocks("python"))))
def test_its_python_runs(number: int, gateway: str) -> None:
    out = StringIO()

    with redirect_stdout(out):
        exec(compile(blocks("python")[number].replace(LOCAL, gateway), "README.md", "exec"), {})

    assert "mock" in out.getvalue()


def test_its_call_from_another_language_runs(reflecting: str) -> None:
    (command,) = (block for block in blocks("sh") if block.startswith("buf curl"))
    buf = str(Path(sys.executable).with_name("buf"))

    done = subprocess.run(
        [buf, *shlex.split(command.replace("\\\n", " ").replace(LOCAL, reflecting))[1:]],
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == 0, done.stderr
    assert '"finishReason": "FINISH_REASON_STOP"' in done.stdout


@pytest.mark.skipif(bool(missing()), reason=missing() or "-")
def test_its_transcript_is_what_happens() -> None:
    (transcript,) = blocks("console")
    asked = re.findall(r"^\$ aimanager (.*)\n(.*)$", transcript, re.MULTILINE)

    with aimock() as upstream:
        urls = {"claude": upstream.url, "openai": f"{upstream.url}/v1", "deepseek": f"{upstream.url}/v1"}
        providers = {name: {"base_url": url, "api_key": "sk-of-the-server"} for name, url in urls.items()}
        with served(settings_with(providers=providers)) as target:
            said = [
                subprocess.run(
                    [str(Path(sys.executable).with_name("aimanager")), *shlex.split(arguments), "--target", target],
                    capture_output=True,
                    text=True,
                    timeout=60,
                ).stdout.strip()
                for arguments, _ in asked
            ]
        paths = [request["path"] for request in upstream.requests()]

    assert said == [answer for _, answer in asked]
    assert len(asked) == 3
    assert paths == ["/v1/messages", "/v1/chat/completions", "/v1/chat/completions"]


def test_its_settings_load() -> None:
    settings = load(tomllib.loads("\n".join(blocks("toml"))), None, {}).settings

    assert settings.server.health_listen == "[::]:50052"
    assert settings.providers["my-vllm"].allow_any_model
    assert settings.providers["my-vllm"].key_variable == ""
    assert settings.routes["fast-chat"].weights == [3, 1]


def test_every_row_of_its_table_of_failures_is_a_test() -> None:
    (table,) = re.findall(r"^\| what fails .*\n\|[-|]+\|\n((?:\|.*\n)+)", README, re.MULTILINE)
    written = "\n".join(path.read_text("utf-8") for path in (ROOT / "tests" / "faults").glob("test_*.py"))

    for row in table.splitlines():
        named = re.findall(r"`(test_\w+)`", row)
        assert named, row
        for name in named:
            assert re.search(rf"^(async )?def {name}\(", written, re.MULTILINE), name


def test_its_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")

    for target in set(re.findall(r"`?make ([a-z-]+)", README)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_the_error_reference_is_that_of_the_code() -> None:
    assert (ROOT / "docs" / "errors.md").read_text("utf-8") == error_reference()


def test_its_table_of_providers_is_that_of_the_catalogue() -> None:
    within = runpy.run_path(str(ROOT / ".ci" / "providers_table.py"))["within"]

    assert within(README) == README, "run 'make providers-table'"
