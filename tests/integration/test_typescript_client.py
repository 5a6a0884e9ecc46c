"""The TypeScript client builds, streams a response from a real server and reads its errors."""

from __future__ import annotations

import asyncio
import json
import re
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
        pytest.skip("the TypeScript client needs node and npm, which are not installed")
    if not (CLIENT / "node_modules").is_dir():
        pytest.skip("the dependencies of clients/typescript are not installed: run 'make install'")
    build = subprocess.run(["npm", "run", "--silent", "build"], cwd=CLIENT, capture_output=True, text=True, check=False)
    assert build.returncode == 0, build.stdout + build.stderr
    return CLIENT / "dist/example.js"


async def run(example: Path, target: str, prompt: str, model: str) -> tuple[int | None, str, str]:
    """Run the example and return its exit code, stdout and stderr."""
    process = await asyncio.create_subprocess_exec(
        "node",
        str(example),
        f"http://{target}",
        prompt,
        model,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    stdout, stderr = await process.communicate()
    return process.returncode, stdout.decode(), stderr.decode()


async def test_the_typescript_client_streams_a_response(example: Path, gateway: str) -> None:
    code, stdout, stderr = await run(example, gateway, "[[reply: Hello there.]]", "mock/mock-small")

    text, usage = stdout.strip().rsplit("\n", 1)
    assert (code, stderr) == (0, "")
    assert text == "Hello there."
    assert usage.startswith("STOP: ")


async def test_the_typescript_client_reports_an_interrupted_stream(example: Path, gateway: str) -> None:
    code, stdout, stderr = await run(example, gateway, "[[reply: Hello there, you.]] [[cut: 2]]", "mock/mock-small")

    assert code == 1
    assert stdout.strip()
    assert "Hello there, you.".startswith(stdout.strip())
    assert stderr.startswith("STREAM_INTERRUPTED: ")
    assert stderr.splitlines()[-1] == "attempt: mock/mock-small STREAM_INTERRUPTED"


async def test_the_typescript_client_shows_reason_and_solution_of_an_error(example: Path, gateway: str) -> None:
    code, stdout, stderr = await run(example, gateway, "Say hello.", "mock/no-such")

    reason, solution = stderr.strip().split("\n", 1)
    assert (code, stdout) == (1, "")
    assert reason.startswith("MODEL_NOT_FOUND: ")
    assert "no-such" in reason
    assert solution


async def test_the_typescript_client_reports_an_unreachable_server(example: Path) -> None:
    code, stdout, stderr = await run(example, "127.0.0.1:1", "Say hello.", "")

    assert (code, stdout) == (1, "")
    assert stderr.startswith("Unavailable: ")


def test_the_typescript_client_exports_every_service(example: Path) -> None:
    protos = sorted((ROOT / "proto/aimanager/v1").glob("*.proto"))
    services = {name for proto in protos for name in re.findall(r"^service (\w+)", proto.read_text(), re.MULTILINE)}
    names = "Object.keys(client).filter((name) => client[name]?.kind === 'service')"
    index = json.dumps((example.parent / "index.js").as_uri())
    script = f"import * as client from {index}; console.log({names}.join())"

    shown = subprocess.run(
        ["node", "--input-type=module", "-e", script], capture_output=True, text=True, check=True
    ).stdout

    assert set(shown.strip().split(",")) == services
