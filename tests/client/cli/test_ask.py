"""`aimanager ask`: output, arguments, structured output and artifacts."""

from __future__ import annotations

import gc
import io
import json
import os
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
from google.protobuf.message import Message

from aimanager.cli import main
from aimanager.cli.console import Console
from aimanager.cli.prompt_text import has_input
from aimanager.v1 import content_pb2, generation_pb2, usage_pb2
from tests.support.console import CommandRunner
from tests.support.fake_gateway.messages import error_status, make_response, stream_events
from tests.support.fake_gateway.server import FakeGateway

SCRIPT = content_pb2.Artifact(
    id="artifact-1", name="app.py", mime_type="text/x-python", language="python", text="print('ü')\n"
)
DEEP_JSON = '{"items":' * 100_000 + "{}" + "}" * 100_000


def test_pipe_receives_whole_response(aimanager: CommandRunner) -> None:
    code = aimanager("ask", "Hi")

    assert (code, aimanager.out, aimanager.err) == (0, "Hello.\n", "")
    assert [call.method for call in aimanager.fake.received] == ["StreamGenerate"]


def test_terminal_receives_stream_and_summary(terminal: CommandRunner) -> None:
    code = terminal("ask", "Hi")

    assert (code, terminal.out) == (0, "Hello.\n")
    assert terminal.err == (
        "mock/mock-large (fallback: mock/mock-small failed: PROVIDER_OVERLOADED) · stop · "
        "3 input + 2 output tokens · ~$0.0025 · 1.50 s · 2 attempts\n"
    )
    assert [call.method for call in terminal.fake.received] == ["StreamGenerate"]


def test_final_newline_is_not_doubled(terminal: CommandRunner) -> None:
    terminal.fake.respond("StreamGenerate", stream_events(make_response("Hello.\n"), "Hello.\n"))

    terminal("ask", "Hi")

    assert terminal.out == "Hello.\n"


def test_prompt_must_be_utf8(aimanager: CommandRunner) -> None:
    assert aimanager("ask", "\udcff") == 1

    assert aimanager.err.startswith("aimanager: prompt must be valid UTF-8")
    assert aimanager.fake.received == []


def test_no_stream_sends_unary_request(terminal: CommandRunner) -> None:
    assert terminal("ask", "Hi", "--no-stream") == 0

    assert [call.method for call in terminal.fake.received] == ["Generate"]


def test_arguments_become_request_fields(aimanager: CommandRunner, tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("remember")

    aimanager(
        *("ask", "Hi", "--model", "mock/fast", "--system", "Be brief", "--attach", str(notes)),
        *("--reasoning", "low", "--timeout", "20", "--fallback", "openai/fast", "--fallback", "mock/mock-small"),
        *("--cache", "use"),
    )

    [call] = aimanager.fake.received
    sent = aimanager.sent
    assert (sent.model, sent.system_instruction) == ("mock/fast", "Be brief")
    assert sent.messages[0].parts[0].attachment.data == b"remember"
    assert sent.reasoning.effort == generation_pb2.REASONING_EFFORT_LOW
    assert sent.fallback_models == ["openai/fast", "mock/mock-small"]
    assert sent.cache_policy == generation_pb2.CachePolicy(mode=generation_pb2.CACHE_MODE_USE)
    assert call.timeout < 30


def test_dash_reads_prompt_from_stdin(aimanager: CommandRunner) -> None:
    aimanager.stdin.write("From a pipe")
    aimanager.stdin.seek(0)

    aimanager("ask", "-")

    assert aimanager.sent.messages[0].parts[0].text == "From a pipe"


def test_json_prints_whole_response(terminal: CommandRunner) -> None:
    terminal("ask", "Hi", "--json")

    response = json.loads(terminal.out)
    assert [(part["text"], part["providerState"]) for part in response["message"]["parts"]] == [("Hello.", "")]
    assert response["usage"]["cacheReadTokens"] == 0
    assert response["warnings"] == []


def test_json_is_printed_on_errors_too(aimanager: CommandRunner) -> None:
    error = error_status(grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND", "Unknown model 'x'.")
    aimanager.respond(error)

    code = aimanager("ask", "Hi", "--json")

    shown = json.loads(aimanager.out)["error"]
    assert (code, shown["message"], shown["reason"], shown["solution"], shown["retryAfter"], shown["fields"]) == (
        *(1, "Unknown model 'x'.", "MODEL_NOT_FOUND", "Try another way.", None),
        [],
    )
    assert aimanager.err.startswith("aimanager: Unknown model 'x'.")


def type_into(command: CommandRunner, text: str) -> None:
    command.stdin.write(text)
    command.stdin.seek(0)


@pytest.mark.parametrize(
    ("piped", "arguments", "prompt"),
    [
        ("line 1\nline 2\n", ["Explain this"], "line 1\nline 2\n\nExplain this"),
        ("only piped\n", [], "only piped\n"),
        ("", ["Why", "is", "-t", "0", "the", "sky", "-v", "blue?"], "Why is the sky blue?"),
        ("piped", ["-", "Why?"], "piped\n\nWhy?"),
    ],
    ids=["both", "standard input", "words", "dash"],
)
def test_prompt_is_what_is_piped_and_typed(
    aimanager: CommandRunner, piped: str, arguments: list[str], prompt: str
) -> None:
    type_into(aimanager, piped)

    assert aimanager("ask", *arguments) == 0

    assert aimanager.sent.messages[0].parts[0].text == prompt


def test_empty_prompt_is_an_error_with_examples(aimanager: CommandRunner) -> None:
    assert aimanager("ask") == 1

    assert aimanager.err.startswith("aimanager: The prompt is empty. Pass it: aimanager ask")
    assert aimanager.fake.received == []


def test_sampling_arguments_are_sent(aimanager: CommandRunner) -> None:
    aimanager("ask", "Hi", "-m", "mock/fast", "-s", "Be brief", "--temperature", "0", "--max-tokens", "9")

    sent = aimanager.sent
    assert (sent.model, sent.system_instruction) == ("mock/fast", "Be brief")
    assert (sent.sampling.temperature, sent.sampling.HasField("temperature")) == (0, True)
    assert sent.sampling.max_output_tokens == 9
    assert not sent.HasField("reasoning")


@pytest.mark.parametrize("arguments", [[], ["--no-stream"]])
def test_reasoning_is_shown_on_stderr(aimanager: CommandRunner, arguments: list[str]) -> None:
    response = make_response("Blue.")
    response.message.parts.insert(0, content_pb2.Part(reasoning=content_pb2.Reasoning(text="Thinking it over.")))
    aimanager.fake.respond("Generate", response)
    aimanager.fake.respond("StreamGenerate", stream_parts(response))

    aimanager("ask", "Hi", "--show-reasoning", *arguments)

    assert aimanager.sent.reasoning.effort == generation_pb2.REASONING_EFFORT_MEDIUM
    assert aimanager.out == "Blue.\n"
    assert aimanager.err.split("\n")[0] == "Thinking it over."


def stream_parts(response: generation_pb2.GenerateResponse) -> list[Message]:
    """Stream whole parts, without previews."""
    started, *_, completed = stream_events(response, "")
    parts = [
        generation_pb2.StreamGenerateResponse(part_completed=generation_pb2.PartCompleted(index=index, part=part))
        for index, part in enumerate(response.message.parts)
    ]
    return [started, *parts, completed]


def test_an_interruption_in_a_pipe_is_an_error(aimanager: CommandRunner) -> None:
    aimanager("ask", "Hi")

    [call] = aimanager.fake.received
    assert call.request.on_interruption == generation_pb2.INTERRUPTION_POLICY_FAIL


def test_control_characters_reach_a_pipe_but_no_terminal(aimanager: CommandRunner, terminal: CommandRunner) -> None:
    hostile = make_response("a\x1b[2Jb\x07\u202ec\x9b1m")
    for command in (aimanager, terminal):
        command.respond(hostile)

    aimanager("ask", "Hi")
    terminal("ask", "Hi")

    assert aimanager.out == "a\x1b[2Jb\x07\u202ec\x9b1m\n"
    assert terminal.out == "a␛[2Jb␇\ufffdc\ufffd1m\n"


def test_estimated_counts_are_marked(aimanager: CommandRunner) -> None:
    usage = usage_pb2.Usage(input_tokens=3, output_tokens=2, source=usage_pb2.USAGE_SOURCE_ESTIMATED)
    aimanager.respond(make_response(usage=usage, cost=None, execution=None))

    aimanager("ask", "Hi", "-v")

    assert aimanager.err == "mock/mock-large · stop · ~3 input + ~2 output tokens\n"


def test_verbose_prints_summary_without_terminal(aimanager: CommandRunner) -> None:
    bare = generation_pb2.GenerateResponse(
        message=make_response().message, finish_reason=generation_pb2.FINISH_REASON_STOP
    )
    aimanager.respond(bare)

    aimanager("ask", "Hi", "--verbose")

    assert aimanager.err == "mock/mock-large · stop\n"


def test_warnings_name_the_parameter(aimanager: CommandRunner) -> None:
    warning = generation_pb2.Warning(field="reasoning.effort", message="lowered to low")
    aimanager.respond(make_response(warnings=[warning]))

    aimanager("ask", "Hi")

    assert aimanager.err == "warning: reasoning: lowered to low\n"


def test_error_is_one_line_with_solution(aimanager: CommandRunner) -> None:
    aimanager.respond(error_status(grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND", "Unknown model 'x'."))

    code = aimanager("ask", "Hi")

    assert (code, aimanager.out, aimanager.err) == (1, "", "aimanager: Unknown model 'x'. Try another way.\n")


def test_interrupted_stream_ends_its_line(terminal: CommandRunner) -> None:
    interruption = error_status(grpc.StatusCode.ABORTED, "STREAM_INTERRUPTED", "Stream interrupted", solution="")
    terminal.fake.respond("StreamGenerate", [*stream_events(make_response(), "Hel")[:2], interruption])

    code = terminal("ask", "Hi")

    assert (code, terminal.out, terminal.err) == (1, "Hel\n", "aimanager: Stream interrupted.\n")


def test_artifacts_are_saved(aimanager: CommandRunner, tmp_path: Path) -> None:
    aimanager.respond(make_response(artifacts=[SCRIPT]))

    code = aimanager("ask", "Hi", "--save-artifacts", str(tmp_path))

    assert code == 0
    assert (tmp_path / "app.py").read_text() == "print('ü')\n"
    assert f"saved {tmp_path / 'app.py'}" in aimanager.err


@pytest.mark.parametrize(
    ("arguments", "requested"), [([], False), (["--json"], True), (["--save-artifacts", "FOLDER"], True)]
)
def test_artifacts_are_requested_only_if_saved_or_printed(
    aimanager: CommandRunner, arguments: list[str], requested: bool
) -> None:
    aimanager("ask", "Hi", *arguments)

    assert aimanager.sent.extract_artifacts is requested


def test_unwritable_artifact_folder_is_an_error(aimanager: CommandRunner, tmp_path: Path) -> None:
    aimanager.respond(make_response(artifacts=[SCRIPT]))
    (tmp_path / "file").touch()

    code = aimanager("ask", "Hi", "--save-artifacts", str(tmp_path / "file"))

    assert code == 1
    assert "Cannot save 'app.py'" in aimanager.err


def test_schema_file_becomes_output_format(fake: FakeGateway, aimanager: CommandRunner, tmp_path: Path) -> None:
    (tmp_path / "schema.json").write_text('{"title": "city"}')

    assert aimanager("ask", "Hi", "--schema", str(tmp_path / "schema.json")) == 0

    assert aimanager.sent.output_format.json_schema.name == "city"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not valid JSON"),
        ("[]", "must contain a JSON object, got list"),
        (DEEP_JSON, "is not valid JSON"),
        (None, "Cannot read"),
    ],
    ids=["invalid", "list", "deep", "missing"],
)
def test_unusable_schema_file_is_an_error(
    aimanager: CommandRunner, tmp_path: Path, text: str | None, message: str
) -> None:
    if text is not None:
        (tmp_path / "schema.json").write_text(text)
    gc.collect()  # a finalizer that runs at the greatest depth of the parser would fail

    code = aimanager("ask", "Hi", "--schema", str(tmp_path / "schema.json"))

    assert code == 1
    assert message in aimanager.err


def test_standard_input_that_never_ends_is_noticed() -> None:
    reading, writing = os.pipe()
    with open(reading) as stdin, open(writing, "w") as other:
        assert not has_input(stdin, 0)
        other.write("x")
        other.flush()
        assert has_input(stdin, 0)
    assert has_input(io.StringIO(), 0)


def test_ask_says_that_it_waits_for_standard_input(aimanager: CommandRunner) -> None:
    reading, writing = os.pipe()
    err = Notice(lambda: os.close(writing))
    with open(reading) as stdin:
        code = main(["ask", "Hi"], Console(stdin, io.StringIO(), err), {"AIMANAGER_TARGET": aimanager.fake.target})

    assert code == 0
    assert err.getvalue().startswith("aimanager: Waiting for the end of standard input")
    assert aimanager.sent.messages[0].parts[0].text == "Hi"


class Notice(io.StringIO):
    """A stream that calls back when it is written to first."""

    def __init__(self, call: Callable[[], None]) -> None:
        super().__init__()
        self._calls = [call]

    def write(self, text: str) -> int:
        while self._calls:
            self._calls.pop()()
        return super().write(text)
