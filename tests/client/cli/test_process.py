"""The `aimanager` command as a process: signals and pipes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from aimanager.cli import main
from aimanager.cli.console import Console
from aimanager.v1 import health_pb2
from tests.support.console import CommandRunner
from tests.support.fake_gateway.catalog import UP
from tests.support.fake_gateway.messages import make_response, stream_events
from tests.support.fake_gateway.server import FakeGateway, Hang

CLIENT = str(Path(__file__).parents[3] / "clients/python")


def start_process(fake: FakeGateway, *arguments: str) -> subprocess.Popen[str]:
    environment = os.environ | {"AIMANAGER_TARGET": fake.target, "PYTHONPATH": CLIENT}
    run = "import sys; from aimanager.cli import main; sys.exit(main())"
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", run, *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_process_prints_response(fake: FakeGateway) -> None:
    process = start_process(fake, "ask", "Hi")

    out, err = process.communicate(timeout=30)

    assert (process.returncode, out, err) == (0, "Hello.\n", "")


def test_without_a_target_an_answer_comes_from_this_machine() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AIMANAGER_")}
    run = "import sys; from aimanager.cli import main; sys.exit(main(['ask', '-m', 'mock/mock-large', 'Hi']))"

    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", run],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("This is mock-large")


def test_ctrl_c_says_that_the_answer_is_incomplete(fake: FakeGateway) -> None:
    fake.respond("StreamGenerate", [*stream_events(make_response(), "Hel")[:2], Hang()])
    process = start_process(fake, "ask", "Hi")
    assert process.stdout is not None
    assert process.stdout.read(3) == "Hel"

    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)

    assert (process.returncode, out) == (130, "\n")
    assert err == "aimanager: Interrupted. The answer is incomplete.\n"


def test_closed_pipe_exits_with_141(fake: FakeGateway) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = CommandRunner(fake)

    with open(writer, "w") as pipe:
        code = main(["ask", "Hi", "--target", fake.target], Console(command.stdin, pipe, command.stderr), {})

    assert (code, command.err) == (141, "")


def test_reader_that_closes_the_pipe_ends_watch_quietly(fake: FakeGateway) -> None:
    changes = [health_pb2.WatchProviderHealthResponse(provider=UP)] * 10_000
    fake.respond("WatchProviderHealth", changes)
    process = start_process(fake, "health", "--watch")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()

    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()

    assert (process.wait(30), err) == (141, "")
