"""The programs and commands of docs/languages.md work against a real gateway, and its numbers are those of the code."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from aimanager_server.config.settings import Limits, ServerSettings
from aimanager_server.rpc import deadlines, interceptor_chain, server
from aimanager_server.rpc.services import generation
from tests.docs.language_reader import LANGUAGES, PAGE, Output, Reader, blocks_below, require
from tests.support.doc_blocks import LOCAL_TARGET, code_blocks, commands
from tests.support.gateway import settings_with, started_gateway
from tests.support.paths import ROOT
from tests.support.tokens import callers, token_of

RUNS = {
    ("languages.md", "go"): "test_go_programs_print_the_response",
    ("languages.md", "ts"): "test_typescript_program_prints_the_response",
    ("languages.md", "java"): "test_java_program_prints_the_response_and_errors",
    ("languages.md", "rust"): "test_rust_program_prints_the_response_and_errors",
    ("languages.md", "toml"): "test_rust_program_prints_the_response_and_errors",
    ("languages.md", "yaml"): "test_buf_generates_go_below_an_own_import_path",
    ("languages.md", "sh"): "test_every_command_has_a_test",
}

PROGRAMS = ("Go", "TypeScript", "Java", "Rust", "In your own repository")
"""Sections that a Reader follows completely."""

TOOLS = "Tools that need no stubs"
ECHO = 'You said: "Say hello.".'
MIB = 1024 * 1024
BLOCKED = ["reason: CONTENT_BLOCKED", "solution: Change the prompt to comply with the provider's usage policy."]
UNKNOWN_MODEL = ["reason: MODEL_NOT_FOUND", "solution: Use a model that ListModels returns."]


@pytest.fixture(scope="session")
def reflecting_gateway() -> Iterator[str]:
    with started_gateway(settings_with(server={"reflection": True})) as target:
        yield target


@pytest.fixture(scope="session")
def private_gateway() -> Iterator[str]:
    """Return the address of a gateway that requires the token of ann."""
    with started_gateway(settings_with(callers=callers("ann"))) as target:
        yield target


@contextmanager
def gateway_that_answers(script: str) -> Iterator[str]:
    """Yield the address of a gateway whose mock provider answers every prompt with a script."""
    options = {"scripts": [{"match": "", "answer": script}], "max_answer_length": 2 * len(script)}
    with started_gateway(settings_with(providers={"mock": {"options": options}})) as target:
        yield target


@pytest.fixture
def failing_gateway() -> Iterator[str]:
    """Return the address of a gateway whose provider rejects each call until a time beyond its deadline."""
    with gateway_that_answers("[[error: PROVIDER_RATE_LIMITED retry_after=500]]") as target:
        yield target


@pytest.fixture(scope="module")
def go(tmp_path_factory: pytest.TempPathFactory, gateway: str) -> Reader:
    require("go", "go")
    return Reader(tmp_path_factory.mktemp("go"), {"AIMANAGER_TARGET": gateway})


@pytest.fixture(scope="module")
def go_outputs(go: Reader) -> list[str]:
    """Return the output of each command of the section on Go. The last program is then compiled as `hello`."""
    outputs = go.follow("Go")
    assert go.run("go", "build", "-o", "hello", ".").code == 0
    return outputs


@pytest.fixture(scope="module")
def typescript(tmp_path_factory: pytest.TempPathFactory, gateway: str) -> Reader:
    require("typescript", "node", "npm")
    return Reader(tmp_path_factory.mktemp("typescript"), {"AIMANAGER_TARGET": gateway})


@pytest.fixture(scope="module")
def typescript_output(typescript: Reader) -> str:
    """Return the output of the program in the section on TypeScript, compiled first for Node.js before 22.18."""
    tools = LANGUAGES / "tools/typescript/node_modules"
    flags = f"--strict --module nodenext --target es2022 --erasableSyntaxOnly --types node --typeRoots {tools}/@types"
    compiled = f"{tools}/.bin/tsc {flags} stream.ts\nnode stream.js"
    return typescript.follow("TypeScript", {"node stream.ts": compiled})[-1]


def stderr_lines(output: Output) -> list[str]:
    """Return what a failed program printed, without the escape sequences that Maven adds."""
    assert output.code == 1, output
    return re.sub(r"\x1b\[\d*m", "", output.stderr).splitlines()


def test_go_programs_print_the_response(go_outputs: list[str]) -> None:
    _, first, complete = go_outputs

    assert ECHO in first
    assert "output_tokens:27" in first
    assert complete.count(ECHO) == 2
    assert re.search(r"^mock/mock-large: 2 tokens in, 27 out\n(.|\n)*^mock/mock-small: ", complete, re.MULTILINE)


@pytest.mark.usefixtures("go_outputs")
def test_go_program_explains_errors(go: Reader, failing_gateway: str) -> None:
    unknown = go.run("./hello", "-model", "mock/none", "Hi")
    failed = go.run("./hello", "-target", failing_gateway, "-stream", "Hi")

    assert stderr_lines(unknown)[1:] == UNKNOWN_MODEL
    assert stderr_lines(failed)[1] == "reason: PROVIDER_RATE_LIMITED"
    assert stderr_lines(failed)[3:] == ["retry after: 8m20s", "attempt: mock/mock-large PROVIDER_RATE_LIMITED"]


@pytest.mark.usefixtures("go_outputs")
def test_go_program_ends_at_its_deadline(go: Reader) -> None:
    output = go.run("./hello", "-timeout", "500ms", "[[latency: 60]]")

    assert stderr_lines(output)[0].startswith("DeadlineExceeded: ")


@pytest.mark.usefixtures("go_outputs")
def test_go_program_cancels_its_call_when_interrupted(go: Reader) -> None:
    process = go.start("./hello", "-stream", "[[stall: 2]]")

    assert_interrupted(process, "Canceled: context canceled\n")


@pytest.mark.usefixtures("go_outputs")
def test_go_program_receives_more_than_grpcs_default_limit(go: Reader) -> None:
    with gateway_that_answers(f"[[reply: {'x' * 5 * MIB}]]") as target:
        output = go.run("./hello", "-target", target, "Hi")

    assert output.code == 0, output.stderr
    assert len(output.stdout) > 5 * MIB


@pytest.mark.usefixtures("go_outputs")
def test_go_program_retries_as_the_server_permits(go: Reader) -> None:
    output = go.run("./hello", "[[error: OVERLOADED retry_after=0.1 times=1]] Say hello.")

    assert output.code == 0, output.stderr


@pytest.mark.usefixtures("go_outputs")
def test_go_program_sends_its_token(go: Reader, private_gateway: str) -> None:
    rejected = go.run("./hello", "-target", private_gateway, "Hi")
    accepted = go.run("./hello", "-target", private_gateway, "Hi", environment={"AIMANAGER_TOKEN": token_of("ann")})

    assert stderr_lines(rejected)[1] == "reason: API_KEY_INVALID"
    assert accepted.code == 0, accepted.stderr


@pytest.mark.usefixtures("go_outputs")
def test_go_program_accepts_round_robin(go: Reader, gateway: str) -> None:
    file = go.folder / "service_config.json"
    policy = re.findall(r'`("loadBalancingConfig": .+?)`', PAGE.read_text("utf-8"))[0]
    original = file.read_text("utf-8")
    file.write_text(json.dumps({**json.loads(original), **json.loads(f"{{{policy}}}")}), "utf-8")

    output = go.run("go", "run", ".", "-target", f"dns:///{gateway}", "Say hello.")

    file.write_text(original, "utf-8")
    assert ECHO in output.stdout, output.stderr


def test_typescript_program_prints_the_response(typescript_output: str) -> None:
    assert ECHO in typescript_output
    assert "mock/mock-large: 27 tokens\n" in typescript_output


@pytest.mark.usefixtures("typescript_output")
def test_typescript_program_explains_errors(typescript: Reader, failing_gateway: str) -> None:
    unknown = typescript.run("node", "stream.js", "Hi", "mock/none")
    failed = typescript.run("node", "stream.js", "Hi", environment={"AIMANAGER_TARGET": failing_gateway})

    assert stderr_lines(unknown)[1:] == UNKNOWN_MODEL
    assert stderr_lines(failed)[1] == "reason: PROVIDER_RATE_LIMITED"
    assert stderr_lines(failed)[-1] == "attempt: mock/mock-large PROVIDER_RATE_LIMITED"


@pytest.mark.usefixtures("typescript_output")
def test_typescript_program_ends_at_its_deadline(typescript: Reader) -> None:
    output = typescript.run("node", "stream.js", "[[latency: 60]]", "", "0.5")

    assert stderr_lines(output)[0].startswith("DeadlineExceeded: ")


@pytest.mark.usefixtures("typescript_output")
def test_typescript_program_cancels_its_call_when_interrupted(typescript: Reader) -> None:
    process = typescript.start("node", "stream.js", "[[stall: 2]]")

    assert_interrupted(process, "Canceled: This operation was aborted\n")


@pytest.mark.usefixtures("typescript_output")
def test_typescript_program_sends_its_token(typescript: Reader, private_gateway: str) -> None:
    target = {"AIMANAGER_TARGET": private_gateway}

    rejected = typescript.run("node", "stream.js", "Hi", environment=target)
    accepted = typescript.run("node", "stream.js", "Hi", environment={**target, "AIMANAGER_TOKEN": token_of("ann")})

    assert stderr_lines(rejected)[1] == "reason: API_KEY_INVALID"
    assert accepted.code == 0, accepted.stderr


def test_java_program_prints_the_response_and_errors(tmp_path: Path, gateway: str) -> None:
    require("java", "mvn", "javac", slow=True)
    reader = Reader(tmp_path, {"AIMANAGER_TARGET": gateway})

    output = reader.follow("Java")[-1]
    arguments = ["-Dexec.mainClass=Stream", "-Dexec.args='[[error: CONTENT_BLOCKED]]'"]
    failed = reader.run("mvn", "-q", "exec:java", *arguments)

    assert ECHO in output
    assert "output_tokens: 27" in output
    assert stderr_lines(failed)[1:] == BLOCKED


def test_rust_program_prints_the_response_and_errors(tmp_path: Path, gateway: str) -> None:
    require("rust", "cargo", slow=True)
    reader = Reader(tmp_path, {"AIMANAGER_TARGET": gateway})

    output = reader.follow("Rust")[-1]
    failed = reader.run("cargo", "run", "-q", "--", "[[error: CONTENT_BLOCKED]]")

    assert ECHO in output
    assert "output_tokens: 27" in output
    assert stderr_lines(failed)[1:] == BLOCKED


def test_buf_generates_go_below_an_own_import_path(tmp_path: Path) -> None:
    require("go", "go")
    reader = Reader(tmp_path, {})

    reader.follow("In your own repository")
    for command in ("go mod init example.com/hello", "go mod tidy", "go build ./..."):
        done = reader.run(*command.split())
        assert done.code == 0, done.stderr

    assert "package aimanagerv1" in (reader.folder / "aimanager/v1/generation_grpc.pb.go").read_text("utf-8")


@pytest.mark.parametrize("command", [each for block in blocks_below(TOOLS) for each in commands(block)])
def test_tool_calls_the_server_through_reflection(command: str, reflecting_gateway: str, tmp_path: Path) -> None:
    reader = Reader(tmp_path, {})
    tool = command.split()[0]
    if shutil.which(tool) is None and tool != "buf":
        pytest.skip(f"{tool} is not installed")

    output = reader.run("sh", "-c", command.replace(LOCAL_TARGET, reflecting_gateway))

    assert output.code == 0, output.stderr
    assert re.search(r'"completed"|SERVING|\[OK\] +50 responses', output.stdout)


def test_every_command_has_a_test() -> None:
    followed = {block.line for heading in (*PROGRAMS, TOOLS) for block in blocks_below(heading)}

    others = [command for block in code_blocks(PAGE, "sh") if block.line not in followed for command in commands(block)]

    assert others == ["make run", "make proto-languages ARGS=go"]


def test_versions_are_those_that_the_stubs_are_built_with() -> None:
    text = PAGE.read_text("utf-8")
    go_tools = (ROOT / ".ci/languages/packaged.py").read_text("utf-8")
    node_packages = json.loads((ROOT / "clients/typescript/package.json").read_text("utf-8"))["dependencies"]
    crate = (ROOT / ".ci/languages/packages/rust/stubs/Cargo.toml").read_text("utf-8")

    assert all(f'"{plugin}"' in go_tools for plugin in re.findall(r"^go install (\S+)$", text, re.MULTILINE))
    assert all(node_packages[name] == version for name, version in re.findall(r" (@[\w/-]+)@([\d.]+)", text))
    assert [
        f'version = "={version}"' in crate for version in re.findall(r'^tonic = "([\d.]+)', text, re.MULTILINE)
    ] == [True]


def test_numbers_are_those_of_the_code() -> None:
    text = PAGE.read_text("utf-8")
    options = (ROOT / "server/aimanager_server/rpc/server.py").read_text("utf-8")
    facts = {
        "up to 0.5 s earlier": deadlines.RESPONSE_MARGIN_SECONDS == 0.5,
        "ends `Generate` after 10 minutes": ServerSettings().unary_timeout_seconds == 600,
        "and a stream after 20": ServerSettings().stream_timeout_seconds == 1200,
        "after 15 s without another event": generation.HEARTBEAT_SECONDS == 15,
        "(at least 1 s)": generation.MIN_HEARTBEAT_SECONDS == 1,
        "at most 32 MiB": Limits().max_message_bytes == 32 * MIB,
        "receive limit to 36 MiB": server.MIN_GRPC_LIMIT_BYTES == 36 * MIB,
        "above 8 KiB": interceptor_chain.COMPRESSION_THRESHOLD_BYTES == 8 * 1024,
        "closes a connection after 30 minutes": '"grpc.max_connection_age_ms", 1_800_000' in options,
        "more often than every 20 s": '"grpc.http2.min_ping_interval_without_data_ms", 20_000' in options,
    }

    assert [fact for fact, holds in facts.items() if fact not in text or not holds] == []


def assert_interrupted(process: subprocess.Popen[str], stderr: str) -> None:
    """Interrupt a program once it has printed something, and check that it fails with this error."""
    assert process.stdout is not None
    assert process.stdout.read(1)

    process.send_signal(signal.SIGINT)
    _, printed = process.communicate()

    assert (process.returncode, printed) == (1, stderr)
