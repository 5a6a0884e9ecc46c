"""`aimanager ask` where models fail: an answer that begins again, and who answered in the end."""

from __future__ import annotations

import grpc
import pytest

from aimanager.v1 import generation_pb2
from tests.support.console import Command, Terminal
from tests.support.fake_gateway.restarts import begun_again, cut, numbered
from tests.support.fake_gateway.server import FakeGateway, answer, refusal

WHOLE = answer("Hello.", usage=None, cost=None, route=None)
TOLD = (
    "the answer began again, discard what is above: mock/mock-small failed: PROVIDER_TIMEOUT; "
    "mock/mock-large answers now\n"
)


@pytest.fixture
def restarting(fake: FakeGateway) -> FakeGateway:
    fake.will("StreamGenerate", numbered(cut("W", "rong"), begun_again(WHOLE, "Hel", "lo.")))
    return fake


def test_a_terminal_is_told_and_sees_the_whole_new_answer(restarting: FakeGateway) -> None:
    screen = Terminal()
    command = Command(restarting, stdout=screen, stderr=screen)

    assert command("ask", "Hi") == 0

    assert command.out == f"Wrong\n{TOLD}Hello.\nmock/mock-large · stop\n"


def test_a_terminal_is_told_even_where_errors_go_elsewhere(restarting: FakeGateway) -> None:
    command = Command(restarting, stdout=Terminal())

    command("ask", "Hi")

    assert command.err == TOLD
    assert command.out == f"Wrong\n--- {TOLD.rstrip()} ---\nHello.\n"


def test_an_answer_that_is_cut_for_good_ends_its_line(terminal: Command) -> None:
    gone = refusal(grpc.StatusCode.ABORTED, "STREAM_INTERRUPTED", "Nobody is left", solution="")
    terminal.fake.will("StreamGenerate", numbered(cut("Wrong\n"), begun_again(WHOLE, "Hel")[:1], [gone]))

    assert terminal("ask", "Hi") == 1

    assert terminal.out == "Wrong\nHel\n"
    assert terminal.err == f"{TOLD}aimanager: Nobody is left.\n"


def test_a_restart_without_reasons_is_told(terminal: Command) -> None:
    route = generation_pb2.Route(provider="mock", model="mock-large")
    bare = generation_pb2.StreamGenerateResponse(restarted=generation_pb2.StreamRestarted(route=route))
    terminal.fake.will("StreamGenerate", [bare, *begun_again(WHOLE, "Hello.")])

    terminal("ask", "Hi")

    assert terminal.out == "Hello.\n"
    assert terminal.err.startswith(
        "the answer began again, discard what is above: the provider failed; mock/mock-large"
    )


def tried(*attempts: tuple[str, str]) -> generation_pb2.Route:
    rows = [generation_pb2.Attempt(provider="mock", model=model, error_reason=reason) for model, reason in attempts]
    return generation_pb2.Route(provider="mock", model="mock-large", attempts=rows)


@pytest.mark.parametrize(
    ("attempts", "said"),
    [
        ([("mock-large", "")], "mock/mock-large · stop"),
        ([("mock-large", "PROVIDER_TIMEOUT"), ("mock-large", "")], "mock/mock-large · stop · 2 attempts"),
        (
            [("a", "PROVIDER_TIMEOUT"), ("a", "PROVIDER_TIMEOUT"), ("b", "CIRCUIT_OPEN"), ("mock-large", "")],
            "answered by mock/mock-large after mock/a failed: PROVIDER_TIMEOUT, mock/b failed: CIRCUIT_OPEN · stop · "
            "4 attempts",
        ),
        ([("mock-large", ""), ("late", "CANCELLED")], "mock/mock-large · stop · 2 attempts"),
    ],
    ids=["at once", "again", "fallback", "race"],
)
def test_the_account_says_when_a_fallback_answered(
    aimanager: Command, attempts: list[tuple[str, str]], said: str
) -> None:
    aimanager.fake.will("Generate", answer(usage=None, cost=None, route=tried(*attempts)))

    aimanager("ask", "Hi", "--verbose")

    assert aimanager.err == f"{said}\n"
