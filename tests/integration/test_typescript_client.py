"""The TypeScript client builds, streams an answer from the real server and reads its errors."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.paths import ROOT

CLIENT = ROOT / "clients/typescript"


@pytest.fixture(scope="module")
def example() -> Path:
    """The compiled example."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("node and npm are not here: the TypeScript client is not tested")
    if not (CLIENT / "node_modules").is_dir():
        pytest.skip("clients/typescript is not installed: run `make install`")
    build = subprocess.run(["npm", "run", "--silent", "build"], cwd=CLIENT, capture_output=True, text=True, check=False)
    assert build.returncode == 0, build.stdout + build.stderr
    return CLIENT / "dist/example.js"


async def run(example: Path, target: str, question: str, model: str) -> tuple[int | None, str, str]:
    """Exit code, output and errors of the example."""
    process = await asyncio.create_subprocess_exec(
        "node",
        str(example),
        f"http://{target}",
        question,
        model,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    return process.returncode, output.decode(), errors.decode()


async def test_the_typescript_client_streams_an_answer(example: Path, gateway: str) -> None:
    code, output, errors = await run(example, gateway, "[[reply: Hello there.]]", "mock/mock-small")

    text, usage = output.strip().rsplit("\n", 1)
    assert (code, errors) == (0, "")
    assert text == "Hello there."
    assert usage.startswith("STOP: ")


async def test_the_typescript_client_shows_no_second_answer_after_a_cut(example: Path, gateway: str) -> None:
    code, output, errors = await run(example, gateway, "[[reply: Hello there, you.]] [[cut: 2]]", "mock/mock-small")

    assert code == 1
    assert output.strip()
    assert "Hello there, you.".startswith(output.strip())
    assert errors.startswith("STREAM_INTERRUPTED: ")


async def test_the_typescript_client_reads_reason_and_solution(example: Path, gateway: str) -> None:
    code, output, errors = await run(example, gateway, "Say hello.", "mock/no-such")

    reason, solution = errors.strip().split("\n", 1)
    assert (code, output) == (1, "")
    assert reason.startswith("MODEL_NOT_FOUND: ")
    assert "no-such" in reason
    assert solution
