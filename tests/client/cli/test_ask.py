"""The `aimanager` command: what it prints where, and its exit codes."""

from __future__ import annotations

import io
import json
from pathlib import Path

import grpc
import pytest
import trustme

from aimanager.v1 import generation_pb2
from tests.support.console import Command
from tests.support.fake_gateway.server import FakeGateway, answer, events, refusal, serve


def test_a_pipe_gets_the_whole_answer(aimanager: Command) -> None:
    code = aimanager("ask", "Hi")

    assert (code, aimanager.out, aimanager.err) == (0, "Hello.\n", "")
    assert [call.method for call in aimanager.fake.received] == ["Generate"]


def test_a_terminal_sees_the_answer_grow_and_the_account(terminal: Command) -> None:
    code = terminal("ask", "Hi")

    assert (code, terminal.out) == (0, "Hello.\n")
    assert terminal.err == (
        "answered by mock/mock-large after mock/mock-small failed: PROVIDER_OVERLOADED · stop · 3 in, 2 out · "
        "about $0.0025 · 1.50 s · 2 attempts\n"
    )
    assert [call.method for call in terminal.fake.received] == ["StreamGenerate"]


def test_an_answer_that_ends_its_line_gets_no_second_end(terminal: Command) -> None:
    terminal.fake.will("StreamGenerate", events(answer("Hello.\n"), "Hello.\n"))

    terminal("ask", "Hi")

    assert terminal.out == "Hello.\n"


def test_a_prompt_that_is_not_utf8_is_one_line(aimanager: Command) -> None:
    assert aimanager("ask", "\udcff") == 1

    assert aimanager.err.startswith("aimanager: The prompt is not UTF-8.")
    assert aimanager.fake.received == []


def test_no_stream_waits(terminal: Command) -> None:
    assert terminal("ask", "Hi", "--no-stream") == 0

    assert [call.method for call in terminal.fake.received] == ["Generate"]


def test_every_argument_of_ask_travels(aimanager: Command, tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("remember")

    aimanager(
        *("ask", "Hi", "--model", "mock/fast", "--system", "Be brief", "--attach", str(notes)),
        *("--reasoning", "low", "--timeout", "20", "--fallback", "openai/fast", "--fallback", "mock/mock-small"),
    )

    [call] = aimanager.fake.received
    assert (call.request.model, call.request.system_instruction) == ("mock/fast", "Be brief")
    assert call.request.messages[0].parts[0].attachment.data == b"remember"
    assert call.request.reasoning.effort == generation_pb2.REASONING_EFFORT_LOW
    assert call.request.fallback_models == ["openai/fast", "mock/mock-small"]
    assert call.seconds < 30


def test_a_dash_reads_the_prompt(aimanager: Command) -> None:
    aimanager.stdin.write("From a pipe")
    aimanager.stdin.seek(0)

    aimanager("ask", "-")

    assert aimanager.fake.received[0].request.messages[0].parts[0].text == "From a pipe"


def test_json_is_the_whole_answer(terminal: Command) -> None:
    terminal("ask", "Hi", "--json")

    assert json.loads(terminal.out)["message"]["parts"] == [{"text": "Hello."}]


def test_verbose_tells_the_account_to_a_pipe(aimanager: Command) -> None:
    bare = generation_pb2.GenerateResponse(message=answer().message, finish_reason=generation_pb2.FINISH_REASON_STOP)
    aimanager.fake.will("Generate", bare)

    aimanager("ask", "Hi", "--verbose")

    assert aimanager.err == "mock/mock-large · stop\n"


def test_warnings_are_told(aimanager: Command) -> None:
    warning = generation_pb2.Warning(field="reasoning.effort", message="taken as low")
    aimanager.fake.will("Generate", answer(warnings=[warning]))

    aimanager("ask", "Hi")

    assert aimanager.err == "warning: reasoning.effort: taken as low\n"


def test_a_failure_is_one_line_with_its_solution(aimanager: Command) -> None:
    aimanager.fake.will("Generate", refusal(grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND", "no model 'x'"))

    code = aimanager("ask", "Hi")

    assert (code, aimanager.out, aimanager.err) == (1, "", "aimanager: no model 'x'. Do it otherwise.\n")


def test_an_interrupted_answer_ends_its_line(terminal: Command) -> None:
    cut = refusal(grpc.StatusCode.ABORTED, "STREAM_INTERRUPTED", "cut off", solution="")
    terminal.fake.will("StreamGenerate", [*events(answer(), "Hel")[:2], cut])

    code = terminal("ask", "Hi")

    assert (code, terminal.out, terminal.err) == (1, "Hel\n", "aimanager: cut off.\n")


@pytest.mark.parametrize(
    "arguments", [["ask"], [], ["sing"], ["ask", "Hi", "--reasoning", "deep"], ["health", "--probe", "--assess"]]
)
def test_unusable_arguments_exit_with_2(
    aimanager: Command, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        aimanager(*arguments)

    assert stopped.value.code == 2
    assert "usage: aimanager" in capsys.readouterr().err


def test_the_token_comes_from_a_variable_or_an_argument(aimanager: Command) -> None:
    aimanager("ask", "Hi", AIMANAGER_TOKEN="one")
    aimanager("ask", "Hi", "--token-env", "MINE", MINE="two")
    aimanager("ask", "Hi", "--token", "three")
    aimanager("ask", "Hi")

    said = [call.metadata.get("authorization") for call in aimanager.fake.received]
    assert said == ["Bearer one", "Bearer two", "Bearer three", None]


def test_a_target_wins_over_its_variable(aimanager: Command) -> None:
    assert aimanager("ask", "Hi", "--target", aimanager.fake.target, AIMANAGER_TARGET="127.0.0.1:1") == 0


def test_an_own_authority_is_trusted(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    certificate = authority.issue_cert("localhost")
    pair = certificate.private_key_pem.bytes(), certificate.cert_chain_pems[0].bytes()
    fake = FakeGateway()
    fake.will("Generate", answer())
    server = serve(fake, grpc.ssl_server_credentials([pair]))
    fake.target = fake.target.replace("127.0.0.1", "localhost")

    code = Command(fake)("ask", "Hi", "--ca", str(tmp_path / "ca.pem"))
    server.stop(None).wait()

    assert code == 0


def test_an_authority_that_cannot_be_read_is_named(aimanager: Command) -> None:
    assert aimanager("ask", "Hi", "--ca", "/nowhere/ca.pem") == 1

    assert "'/nowhere/ca.pem'" in aimanager.err


class Interrupted(io.StringIO):
    """A prompt during which Ctrl-C is pressed."""

    def read(self, size: int | None = -1, /) -> str:
        raise KeyboardInterrupt


def test_ctrl_c_ends_quietly(fake: FakeGateway) -> None:
    command = Command(fake, stdin=Interrupted())

    assert (command("ask", "-"), command.err) == (130, "")
