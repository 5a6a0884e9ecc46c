"""`aimanager chat` without a terminal, with a server that keeps no conversations: the history is sent each time."""

from __future__ import annotations

import io
import json
import stat
from pathlib import Path

import grpc
import pytest

from aimanager import AIManager
from aimanager._transport.conversation_file import read_conversation
from aimanager.cli.chat.markdown_blocks import MarkdownBlocks
from aimanager.cli.chat.screen import rich_screen
from aimanager.cli.chat.state_files import state_folder
from aimanager.cli.console import Console
from tests.support.console import CommandRunner, Terminal
from tests.support.fake_gateway.messages import error_status, make_response, stream_events
from tests.support.fake_gateway.restarts import interrupted, one_stream, restarted
from tests.support.fake_gateway.server import FakeGateway
from tests.support.terminal import needs_cli_extra, plain


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path / "aimanager"


def chat(command: CommandRunner, *lines: str, arguments: tuple[str, ...] = ()) -> int:
    command.stdin.seek(0)
    command.stdin.truncate()
    command.stdin.write("".join(f"{line}\n" for line in lines))
    command.stdin.seek(0)
    return command("chat", *arguments)


def texts(command: CommandRunner) -> list[str]:
    return ["".join(part.text for part in message.parts) for message in command.sent.messages]


def test_messages_are_sent_with_what_was_said_before(aimanager: CommandRunner) -> None:
    code = chat(aimanager, "Hi", "", "And\\", "then?", arguments=("-s", "Be brief", "-t", "0.5"))

    assert (code, aimanager.out) == (0, "Hello.\nHello.\n")
    assert texts(aimanager) == ["Hi", "Hello.", "And\nthen?"]
    assert (aimanager.sent.system_instruction, aimanager.sent.sampling.temperature) == ("Be brief", 0.5)


def test_a_conversation_is_kept_for_its_owner_alone_and_continued(aimanager: CommandRunner, state: Path) -> None:
    chat(aimanager, "Hi", arguments=("-m", "mock/fast", "-s", "Be brief"))
    chat(aimanager, "More", arguments=("-c",))

    file = state / "chat.json"
    assert texts(aimanager) == ["Hi", "Hello.", "More"]
    assert (aimanager.sent.model, aimanager.sent.system_instruction) == ("mock/fast", "Be brief")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert json.loads(file.read_text())["version"] == 1
    assert [path.name for path in state.iterdir()] == ["chat.json"]


def test_commands(aimanager: CommandRunner, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("remember")

    code = chat(
        aimanager,
        *("/model", "/model mock/mock-small", f"/attach {tmp_path}/notes.txt", "Read it", "And again"),
        *(f"/save {tmp_path}/chat.md", f"/save {tmp_path}/copy.json", "/help", "/quit", "never sent"),
    )

    assert code == 0
    assert "model: the default of the gateway\nmodel: mock/mock-small\n" in aimanager.err
    assert "attached: notes.txt (text/plain), sent with the next message\n" in aimanager.err
    assert "/attach PATH" in aimanager.err
    assert aimanager.sent.model == "mock/mock-small"
    first, _, last = aimanager.sent.messages
    assert ([part.attachment.data for part in first.parts][1], len(last.parts)) == (b"remember", 1)
    assert (tmp_path / "chat.md").read_text().startswith("## You\n\nRead it\n\n[notes.txt]\n\n## mock-large\n\nHello.")
    assert [len(turn.messages) for turn in read_conversation(tmp_path / "copy.json").turns] == [2, 2]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("/modell x", "/modell is not a command. /help lists the commands."),
        ("/attach", "/attach needs a path. For example: /attach photo.png"),
        ("/attach /nowhere/x.png", "Cannot read attachment '/nowhere/x.png'"),
        ("/save .", "exists already. Save under another name."),
        ("/save nowhere/chat.md", "Cannot write 'nowhere/chat.md'"),
    ],
)
def test_a_command_that_fails_says_why(aimanager: CommandRunner, line: str, message: str) -> None:
    assert chat(aimanager, line) == 1

    assert message in aimanager.err


def test_a_message_that_fails_is_not_part_of_the_conversation(aimanager: CommandRunner) -> None:
    answer = aimanager.fake
    chat(aimanager, "/etc/hosts is a file")
    aimanager.respond(error_status(grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND", "Unknown model."))

    code = chat(aimanager, "Hi", arguments=("-c",))

    assert code == 1
    assert aimanager.err.endswith("aimanager: Unknown model. Try another way.\n")
    assert len(answer.received) == 2
    assert chat(aimanager, arguments=("-c",)) == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no conversation to continue"),
        ("{", "it is no JSON"),
        ('{"version": 2}', "it has no format"),
        ('{"version": 1, "model": null, "system": null, "messages": [{"role": "owner"}]}', "must be 'user' or 'assis"),
    ],
)
def test_an_unusable_conversation_is_not_continued(
    aimanager: CommandRunner, tmp_path: Path, content: str | None, message: str
) -> None:
    file = tmp_path / "other.json"
    if content is not None:
        file.write_text(content)

    assert chat(aimanager, "Hi", arguments=("-c", str(file))) == 1

    assert message in aimanager.err
    assert aimanager.fake.received == []


def test_commands_without_conversations(aimanager: CommandRunner, tmp_path: Path, state: Path) -> None:
    file = tmp_path / "copy.json"
    code = chat(
        aimanager,
        *("/history", "Hi", "/rename Trip", "/system Be brief.", f"/save {file}", "And", "/history", "/fork", "/list"),
        *(f"/load {file}", "/history", "/open conv_x"),
    )
    again = chat(aimanager, "More", arguments=("-c", str(file)))

    kept = state / "chat.json"
    _, err = aimanager.err.split("no messages so far\n")
    no_conversations = "aimanager: This server keeps no conversations. Use /save FILE.json, and /load it later.\n"
    assert (code, again) == (1, 0)
    assert err == (
        f"aimanager: This server keeps no conversations. The history is sent with each message. It is kept in {kept}.\n"
        f"title: Trip\nsystem: Be brief.\nsaved: {file}\n"
        "--- turn 0\nuser: Hi\nassistant: Hello.\n\n--- turn 1\nuser: And\nassistant: Hello.\n"
        f"{no_conversations * 2}"
        "loaded: Trip, 1 turn\n--- turn 0\nuser: Hi\nassistant: Hello.\n"
        f"{no_conversations}"
        "continued: Trip, 1 turn. This server keeps no conversations. The history is sent with each message.\n"
    )
    assert texts(aimanager) == ["Hi", "Hello.", "More"]
    assert aimanager.sent.system_instruction == "Be brief."


def test_a_conversation_of_another_server_needs_that_server(aimanager: CommandRunner) -> None:
    assert chat(aimanager, "Hi", arguments=("--conversation", "conv_x")) == 1

    assert "This server keeps no conversations. Conversation 'conv_x' was used with" in aimanager.err
    assert aimanager.fake.received == []


def test_the_text_of_an_interrupted_answer_is_kept(aimanager: CommandRunner, state: Path) -> None:
    answer = make_response("Hello.", usage=None, cost=None, execution=None)
    *events, _ = stream_events(answer, "Hel", "lo.")
    failed = error_status(grpc.StatusCode.ABORTED, "STREAM_INTERRUPTED", "The stream was interrupted.")
    aimanager.fake.respond("StreamGenerate", [*events, failed])

    code = chat(aimanager, "Hi", "/history")

    assert code == 1
    assert "aimanager: The conversation keeps the answer so far.\n" in aimanager.err
    assert aimanager.err.endswith("--- turn 0, interrupted\nuser: Hi\nassistant: Hello.\n")
    assert json.loads((state / "chat.json").read_text())["turns"][0]["interrupted"]


def test_chat_prints_no_json(aimanager: CommandRunner) -> None:
    assert chat(aimanager, "Hi", arguments=("--json",)) == 1

    assert "Use ask --json" in aimanager.err


def test_a_state_folder_that_cannot_be_made_is_an_error(aimanager: CommandRunner, state: Path) -> None:
    state.write_text("a file")

    assert chat(aimanager, "Hi") == 1

    assert "Cannot create" in aimanager.err


def test_the_state_folder_follows_the_xdg_specification(tmp_path: Path) -> None:
    assert state_folder({"XDG_STATE_HOME": str(tmp_path)}) == tmp_path / "aimanager"
    for value in ({}, {"XDG_STATE_HOME": ""}, {"XDG_STATE_HOME": "relative"}):
        assert state_folder(value) == Path.home() / ".local/state/aimanager"


def blocks(*pieces: str) -> list[str]:
    collected = MarkdownBlocks()
    return [block for piece in pieces for block in collected.add(piece)] + collected.end()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\nb\n\nc", ["a\nb\n", "c\n"]),
        ("```py\nx = 1\n\ny = 2\n```\n\nend", ["```py\nx = 1\n\ny = 2\n```\n", "end\n"]),
        ("~~~~\n```\n\n~~~\n~~~~\n\nend\n", ["~~~~\n```\n\n~~~\n~~~~\n", "end\n"]),
        ("- item\n\n  more of it\n\nend", ["- item\n\n  more of it\n", "end\n"]),
        ("\n\n\n", []),
        ("```\nopen\n\nstill", ["```\nopen\n\nstill\n"]),
    ],
    ids=["paragraphs", "fence", "nested fences", "list item", "empty", "unclosed fence"],
)
def test_markdown_is_split_into_blocks_however_it_arrives(text: str, expected: list[str]) -> None:
    assert blocks(text) == expected
    assert blocks(*text) == expected


@needs_cli_extra
def test_a_terminal_shows_reasoning_markdown_and_restarts(fake: FakeGateway, ai: AIManager) -> None:
    answer = make_response("**New** words.", usage=None, cost=None, execution=None)
    fake.respond("StreamGenerate", one_stream(interrupted("Wrong"), restarted(answer, "**New**", " words.\n\nEnd")))
    out = Terminal()

    response = rich_screen(Console(io.StringIO(), out, Terminal()), show_reasoning=True)(ai.stream("Hi"))

    shown = plain(out.getvalue())
    assert response.content == "**New** words."
    assert shown.index("Wrong") < shown.index("stream restarted on mock/mock-large") < shown.index("New words.")
    assert shown.index("New words.") < shown.index("End")
