"""The `aimanager` command as a process of its own: signals and pipes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from aimanager.cli import main
from aimanager.cli.console import Console
from aimanager.v1 import health_pb2
from tests.support.console import Command
from tests.support.fake_gateway.catalog import UP
from tests.support.fake_gateway.server import FakeGateway, Silence

CLIENT = str(Path(__file__).parents[3] / "clients/python")


def started(fake: FakeGateway, *arguments: str) -> subprocess.Popen[str]:
    environment = os.environ | {"AIMANAGER_TARGET": fake.target, "PYTHONPATH": CLIENT}
    run = "import sys; from aimanager.cli import main; sys.exit(main())"
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", run, *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_command_runs_as_a_process(fake: FakeGateway) -> None:
    process = started(fake, "ask", "Hi")

    out, err = process.communicate(timeout=30)

    assert (process.returncode, out, err) == (0, "Hello.\n", "")


def test_ctrl_c_during_a_call_ends_quietly(fake: FakeGateway) -> None:
    fake.will("Generate", [Silence()])
    process = started(fake, "ask", "Hi")
    fake.silenced.wait(30)

    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)

    assert (process.returncode, out, err) == (130, "", "")


def test_a_closed_pipe_is_no_failure_of_ours(fake: FakeGateway) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = Command(fake)

    with open(writer, "w") as pipe:
        code = main(["ask", "Hi", "--target", fake.target], Console(command.stdin, pipe, command.stderr), {})

    assert (code, command.err) == (141, "")


def test_a_reader_that_leaves_ends_it_quietly(fake: FakeGateway) -> None:
    states = [health_pb2.WatchProviderHealthResponse(provider=UP)] * 10_000
    fake.will("WatchProviderHealth", states)
    process = started(fake, "health", "--watch")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()

    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()

    assert (process.wait(30), err) == (141, "")
