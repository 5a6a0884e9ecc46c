"""The `aimanager` command: arguments, token, target, TLS and exit codes."""

from __future__ import annotations

import argparse
import io
from importlib.metadata import version
from pathlib import Path

import grpc
import pytest
import trustme

from aimanager.cli.arguments import embeds
from tests.support.console import CommandRunner
from tests.support.fake_gateway.messages import error_status, make_response, stream_events
from tests.support.fake_gateway.server import FakeGateway, serve


@pytest.mark.parametrize(
    "arguments",
    [["ask", "Hi", "--deep"], [], ["sing"], ["ask", "Hi", "--reasoning", "deep"], ["health", "--probe", "--assess"]],
)
def test_invalid_arguments_exit_with_2(
    aimanager: CommandRunner, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        aimanager(*arguments)

    assert stopped.value.code == 2
    assert "usage: aimanager" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["ask"], ["models"], ["health"], ["metrics"]])
def test_help_is_printed(aimanager: CommandRunner, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        aimanager(*arguments, "--help")

    assert stopped.value.code == 0
    assert "--help" in capsys.readouterr().out


def test_an_unknown_option_prints_the_usage_of_the_command(
    aimanager: CommandRunner, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        aimanager("models", "--deep")

    printed = capsys.readouterr().err
    assert printed.startswith("usage: aimanager models ")
    assert "aimanager models: error: unrecognized arguments: --deep" in printed


def test_a_solution_names_a_command(aimanager: CommandRunner) -> None:
    error = error_status(
        grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND", "No x.", solution="Use a model that ListModels returns."
    )
    aimanager.respond(error)

    assert aimanager("ask", "Hi") == 1

    assert aimanager.err == "aimanager: No x. Use a model that `aimanager models` lists.\n"


def test_version_is_printed(aimanager: CommandRunner, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        aimanager("--version")

    assert (stopped.value.code, capsys.readouterr().out) == (0, f"aimanager {version('aimanager')}\n")


@pytest.mark.parametrize(
    ("target", "given", "is_listening", "missing", "in_process"),
    [
        (None, {}, False, "", True),
        (None, {}, True, "", False),
        (None, {}, False, "httpx", False),
        ("127.0.0.1:1", {}, False, "", False),
        (None, {"token": "t"}, False, "", False),
        (None, {"tls": True}, False, "", False),
    ],
)
def test_without_target_and_gateway_the_server_runs_in_this_process(
    target: str | None, given: dict[str, object], is_listening: bool, missing: str, in_process: bool
) -> None:
    options = argparse.Namespace(**{"token": None, "tls": False, "ca": None, **given})

    assert embeds(target, options, lambda address: is_listening, lambda: missing) is in_process


@pytest.mark.parametrize(
    ("message", "printed"),
    [
        ("Model not found.", "Model not found. Ask."),
        ("Full", "Full. Ask."),
        ("Not found. Did you mean a?", "Not found. Did you mean a? Ask."),
    ],
)
def test_an_error_is_printed_as_sentences(aimanager: CommandRunner, message: str, printed: str) -> None:
    error = error_status(grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND", message, solution="Ask.")
    aimanager.respond(error)

    assert aimanager("ask", "Hi") == 1
    assert aimanager.err == f"aimanager: {printed}\n"


def test_token_comes_from_environment_or_argument(aimanager: CommandRunner) -> None:
    aimanager("ask", "Hi", AIMANAGER_TOKEN="one")
    aimanager("ask", "Hi", "--token-env", "MINE", MINE="two")
    aimanager("ask", "Hi", "--token", "three")
    aimanager("ask", "Hi")

    tokens = [call.metadata.get("authorization") for call in aimanager.fake.received]
    assert tokens == ["Bearer one", "Bearer two", "Bearer three", None]


def test_target_argument_overrides_environment(aimanager: CommandRunner) -> None:
    assert aimanager("ask", "Hi", "--target", aimanager.fake.target, AIMANAGER_TARGET="127.0.0.1:1") == 0


def test_ca_file_is_trusted(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    certificate = authority.issue_cert("localhost")
    pair = certificate.private_key_pem.bytes(), certificate.cert_chain_pems[0].bytes()
    fake = FakeGateway()
    fake.respond("StreamGenerate", stream_events(make_response(), "Hello."))
    server = serve(fake, grpc.ssl_server_credentials([pair]))
    fake.target = fake.target.replace("127.0.0.1", "localhost")

    code = CommandRunner(fake)("ask", "Hi", "--ca", str(tmp_path / "ca.pem"))
    server.stop(None).wait()

    assert code == 0


def test_unreadable_ca_file_is_an_error(aimanager: CommandRunner) -> None:
    assert aimanager("ask", "Hi", "--ca", "/nowhere/ca.pem") == 1

    assert "Cannot read '/nowhere/ca.pem'" in aimanager.err


class InterruptedInput(io.StringIO):
    """Standard input on which Ctrl-C is pressed."""

    def read(self, size: int | None = -1, /) -> str:
        raise KeyboardInterrupt


def test_ctrl_c_exits_with_130(fake: FakeGateway) -> None:
    command = CommandRunner(fake, stdin=InterruptedInput())

    assert (command("ask", "-"), command.err) == (130, "")
