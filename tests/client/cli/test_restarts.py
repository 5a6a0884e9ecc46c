"""`aimanager ask` with restarted streams and fallbacks."""

from __future__ import annotations

import grpc
import pytest

from aimanager.v1 import generation_pb2
from tests.support.console import CommandRunner, Terminal
from tests.support.fake_gateway.messages import error_status, make_response
from tests.support.fake_gateway.restarts import interrupted, one_stream, restarted
from tests.support.fake_gateway.server import FakeGateway

RESPONSE = make_response("Hello.", usage=None, cost=None, execution=None)
NOTICE = "stream restarted on mock/mock-large (mock/mock-small failed: PROVIDER_TIMEOUT); discard the output above\n"


@pytest.fixture
def restarting(fake: FakeGateway) -> FakeGateway:
    fake.respond("StreamGenerate", one_stream(interrupted("W", "rong"), restarted(RESPONSE, "Hel", "lo.")))
    return fake


def test_terminal_shows_notice_and_new_response(restarting: FakeGateway) -> None:
    screen = Terminal()
    command = CommandRunner(restarting, stdout=screen, stderr=screen)

    assert command("ask", "Hi") == 0

    assert command.out == f"Wrong\n{NOTICE}Hello.\nmock/mock-large · stop\n"


def test_terminal_shows_notice_if_stderr_is_redirected(restarting: FakeGateway) -> None:
    command = CommandRunner(restarting, stdout=Terminal())

    command("ask", "Hi")

    assert command.err == NOTICE
    assert command.out == f"Wrong\n--- {NOTICE.rstrip()} ---\nHello.\n"


def test_failed_restart_ends_its_line(terminal: CommandRunner) -> None:
    failure = error_status(grpc.StatusCode.ABORTED, "STREAM_INTERRUPTED", "All targets failed", solution="")
    terminal.fake.respond(
        "StreamGenerate", one_stream(interrupted("Wrong\n"), restarted(RESPONSE, "Hel")[:1], [failure])
    )

    assert terminal("ask", "Hi") == 1

    assert terminal.out == "Wrong\nHel\n"
    assert terminal.err == f"{NOTICE}aimanager: All targets failed.\n"


def test_notice_omits_unknown_failures(terminal: CommandRunner) -> None:
    execution = generation_pb2.Execution(provider="mock", model="mock-large")
    bare = generation_pb2.StreamGenerateResponse(restarted=generation_pb2.StreamRestarted(execution=execution))
    terminal.fake.respond("StreamGenerate", [bare, *restarted(RESPONSE, "Hello.")])

    terminal("ask", "Hi")

    assert terminal.out == "Hello.\n"
    assert terminal.err.startswith("stream restarted on mock/mock-large; discard the output above\n")


def execution_with(*attempts: tuple[str, str]) -> generation_pb2.Execution:
    rows = [generation_pb2.Attempt(provider="mock", model=model, error_reason=reason) for model, reason in attempts]
    return generation_pb2.Execution(provider="mock", model="mock-large", attempts=rows)


@pytest.mark.parametrize(
    ("attempts", "summary"),
    [
        ([("mock-large", "")], "mock/mock-large · stop"),
        ([("mock-large", "PROVIDER_TIMEOUT"), ("mock-large", "")], "mock/mock-large · stop · 2 attempts"),
        (
            [("a", "PROVIDER_TIMEOUT"), ("a", "PROVIDER_TIMEOUT"), ("b", "CIRCUIT_OPEN"), ("mock-large", "")],
            "mock/mock-large (fallback: mock/a failed: PROVIDER_TIMEOUT, mock/b failed: CIRCUIT_OPEN) · stop · "
            "4 attempts",
        ),
        ([("late", "CANCELLED"), ("mock-large", "")], "mock/mock-large · stop · 2 attempts"),
    ],
    ids=["first attempt", "retry", "fallback", "hedge"],
)
def test_summary_names_failures_before_a_fallback(
    aimanager: CommandRunner, attempts: list[tuple[str, str]], summary: str
) -> None:
    aimanager.respond(make_response(usage=None, cost=None, execution=execution_with(*attempts)))

    aimanager("ask", "Hi", "--verbose")

    assert aimanager.err == f"{summary}\n"
