"""`aimanager chat` with conversations that a real server keeps."""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import NamedTuple

import pytest

from aimanager import AIManager, ConfigurationError, Conversation
from aimanager.cli import main
from aimanager.cli.chat import add_chat_arguments
from aimanager.cli.chat import chat as run_chat
from aimanager.cli.console import Console
from aimanager_server.config.settings import Settings
from tests.support.gateway import settings_with, started_gateway


class Ended(NamedTuple):
    """How a chat ended, and what it printed."""

    code: int
    out: str
    err: str


class Lines(io.StringIO):
    """What is typed: lines, and functions that are called in between."""

    def __init__(self, *lines: str | Callable[[], object]) -> None:
        super().__init__()
        self._lines = iter(lines)

    def readline(self, size: int | None = -1, /) -> str:  # type: ignore[override]  # typeshed has two base classes
        for line in self._lines:
            if isinstance(line, str):
                return f"{line}\n"
            line()
        return ""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path / "aimanager"


@pytest.fixture
def ai() -> Iterator[AIManager]:
    with started_gateway(settings_with()) as target, AIManager.gateway(target) as client:
        yield client


def chat(ai: AIManager, *lines: str | Callable[[], object], arguments: tuple[str, ...] = ()) -> Ended:
    return chat_at(ai.target, *lines, arguments=arguments)


def chat_at(target: str, *lines: str | Callable[[], object], arguments: tuple[str, ...] = ()) -> Ended:
    out, err = io.StringIO(), io.StringIO()
    code = main(["chat", "--target", target, *arguments], Console(Lines(*lines), out, err), {})
    return Ended(code, out.getvalue(), err.getvalue())


def only(ai: AIManager) -> Conversation:
    (conversation,) = ai.conversations.list()
    return conversation


def texts(conversation: Conversation) -> list[str]:
    return ["".join(part.text for part in message.parts) for message in conversation.history]


def test_a_chat_is_a_conversation_that_goes_on(ai: AIManager, folder: Path) -> None:
    first = chat(ai, "[[reply: One.]]", arguments=("-m", "mock/fast", "-s", "Be brief."))
    second = chat(ai, "[[reply: Two.]]", arguments=("-c",))
    conversation = only(ai)
    third = chat(ai, "[[reply: Three.]]", "/model", arguments=("--conversation", conversation.id, "-m", "mock/latest"))

    assert first == (0, "One.\n", "")
    assert second == (0, "Two.\n", "continued: [[reply: One.]], 1 turn\n")
    assert third == (0, "Three.\n", "continued: [[reply: One.]], 2 turns\nmodel: mock/latest\n")
    assert texts(only(ai)) == ["[[reply: One.]]", "One.", "[[reply: Two.]]", "Two.", "[[reply: Three.]]", "Three."]
    assert [turn.messages[1].model for turn in conversation.turns] == ["mock-small", "mock-small", "mock-large"]
    assert (conversation.system_instruction, only(ai).model) == ("Be brief.", "mock/latest")
    assert conversation.labels == {"client": "aimanager chat"}
    assert [path.name for path in folder.iterdir()] == ["last-conversation.json"]


def test_commands_change_the_conversation(ai: AIManager, tmp_path: Path) -> None:
    json_file, markdown = tmp_path / "copy.json", tmp_path / "copy.md"
    ended = chat(
        ai,
        *("/history", "[[reply: One.]]", "[[reply: Two.]]", "/rename Trip", "/system Be brief.", '/system ""'),
        *("/fork 1", "[[reply: Other.]]", "/history", f"/save {json_file}", f"/save {markdown}", "/list"),
        *(f"/load {json_file}", "[[reply: Loaded.]]", "/model mock/fast", "/system"),
    )

    loaded, fork, first = ai.conversations.list()
    assert (ended.code, ended.out) == (0, "One.\nTwo.\nOther.\nLoaded.\n")
    assert [each.title for each in (loaded, fork, first)] == ["Trip", "Trip", "Trip"]
    assert [each.turn_count for each in (loaded, fork, first)] == [3, 2, 2]
    assert (fork.forked_from, loaded.model, loaded.system_instruction) == (first.id, "mock/fast", "")
    shown, listing = ended.err.split("saved: ")[0], ended.err.split("copy.md\n")[1]
    assert shown.splitlines() == [
        "no messages so far",
        "title: Trip",
        "system: Be brief.",
        "system: none",
        "copied, and continued in the copy: Trip, 1 turn",
        "--- turn 0",
        "user: [[reply: One.]]",
        "assistant: One.",
        "",
        "--- turn 1",
        "user: [[reply: Other.]]",
        "assistant: Other.",
    ]
    assert f"{first.id}  2 " in listing
    assert listing.endswith("loaded: Trip, 2 turns\nmodel: mock/fast\nsystem: none\n")
    assert markdown.read_text().startswith("## You\n\n[[reply: One.]]\n\n## mock-large\n\nOne.\n\n## You")
    assert json.loads(json_file.read_text())["conversation"]["title"] == "Trip"


def test_another_conversation_is_opened(ai: AIManager) -> None:
    other = ai.conversation(title="Other")
    other.append("Before")

    ended = chat(ai, f"/open {other.id}", "[[reply: After.]]")

    assert ended == (0, "After.\n", "continued: Other, 1 turn\n")
    assert texts(other) == ["Before", "[[reply: After.]]", "After."]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("/open", "/open needs an id. For example: /open conv_…; /list shows the ids"),
        ("/open conv_x", "Conversation 'conv_x' was not found. /list shows the ids."),
        ("/fork", "The chat has no turns to copy. Send a message first."),
        ("/fork one", "/fork takes the number of a turn, got 'one'. /history shows the numbers."),
        ("/rename", "/rename needs a title. For example: /rename Trip to Rome"),
        ("/load", "/load needs a path. For example: /load chat.json"),
        ("/load none.json", "'none.json' does not exist"),
    ],
)
def test_a_command_that_fails_changes_nothing(ai: AIManager, line: str, message: str) -> None:
    ended = chat(ai, line, "[[reply: On.]]")

    assert (ended.code, ended.out) == (1, "On.\n")
    assert ended.err.startswith(f"aimanager: {message}")
    assert only(ai).turn_count == 1


def test_a_chat_of_an_earlier_version_is_continued(ai: AIManager, folder: Path) -> None:
    folder.mkdir()
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]
    old = json.dumps({"version": 1, "model": "mock/fast", "system": None, "messages": messages})
    (folder / "chat.json").write_text(old)

    chat(ai, arguments=("-c",))
    ended = chat(ai, "[[reply: On.]]", arguments=("-c",))

    assert (ended.code, ended.err) == (0, "continued: without a title, 1 turn\n")
    assert texts(only(ai)) == ["Hi", "Hello.", "[[reply: On.]]", "On."]
    assert (folder / "chat.json").read_text() == old


def test_a_conversation_that_is_deleted_during_a_chat_goes_on_as_a_new_one(ai: AIManager) -> None:
    ended = chat(
        ai, "[[reply: One.]]", lambda: only(ai).delete(), "[[reply: Two.]]", lambda: only(ai).delete(), "/history"
    )

    notice = (
        "aimanager: The server no longer has this conversation. It goes on as a new one, with the {} of this session.\n"
    )
    assert (ended.code, ended.out) == (0, "One.\nTwo.\n")
    assert ended.err.startswith(notice.format("1 turn") + notice.format("2 turns") + "--- turn 0\n")
    assert ended.err.endswith("--- turn 1\nuser: [[reply: Two.]]\nassistant: Two.\n")


def test_a_conversation_of_another_server_is_not_continued(ai: AIManager, folder: Path) -> None:
    chat(ai, "Hi")
    last = json.loads((folder / "last-conversation.json").read_text())
    only(ai).delete()
    (folder / "last-conversation.json").write_text(json.dumps({**last, "target": "gateway.example:443"}))

    ended = chat(ai, "Hi", arguments=("-c",))

    assert (ended.code, ended.out) == (1, "")
    assert ended.err == (
        f"aimanager: Conversation {last['id']!r} was not found. It was used with gateway.example:443. "
        "`aimanager conversations` lists those that this server keeps.\n"
    )


def test_a_busy_conversation_takes_the_message_later(ai: AIManager) -> None:
    other = ExitStack()

    def occupy() -> None:
        stream = only(ai).request("[[words: 2]] [[stall: 1]]").stream()
        other.enter_context(stream)
        text = other.enter_context(closing(stream.text))
        next(text)

    with other:
        ended = chat(ai, "[[reply: One.]]", occupy, "[[reply: Two.]]", other.close, "[[reply: Three.]]")

    assert (ended.code, ended.out) == (1, "One.\nThree.\n")
    assert "Another call is adding a turn to conversation" in ended.err
    assert [turn.is_interrupted for turn in only(ai).turns] == [False, True, False]


@pytest.mark.parametrize("storage", ["memory", "sqlite"])
def test_a_chat_goes_on_after_a_restart_of_the_server(storage: str, tmp_path: Path) -> None:
    with ExitStack() as first, ExitStack() as second:
        target = first.enter_context(started_gateway(stored(storage, tmp_path)))

        def restart() -> None:
            first.close()
            second.enter_context(started_gateway(stored(storage, tmp_path, target)))

        ended = chat_at(target, "[[reply: One.]]", restart, "[[reply: Two.]]")
        with AIManager.gateway(target) as ai:
            said = texts(only(ai))

    assert (ended.code, ended.out) == (0, "One.\nTwo.\n")
    assert said == ["[[reply: One.]]", "One.", "[[reply: Two.]]", "Two."]
    assert ("goes on as a new one, with the 1 turn" in ended.err) == (storage == "memory")


def test_a_message_to_a_stopped_server_fails_and_the_chat_is_continued_later(tmp_path: Path) -> None:
    with ExitStack() as first:
        target = first.enter_context(started_gateway(stored("sqlite", tmp_path)))
        ended = chat_at(target, "[[reply: One.]]", first.close, "[[reply: Lost.]]", arguments=("--timeout", "5"))
    with started_gateway(stored("sqlite", tmp_path, target)), AIManager.gateway(target) as ai:
        continued = chat_at(target, "[[reply: Two.]]", arguments=("-c",))
        said = texts(only(ai))

    assert (ended.code, ended.out) == (1, "One.\n")
    assert target in ended.err
    assert continued == (0, "Two.\n", "continued: [[reply: One.]], 1 turn\n")
    assert said == ["[[reply: One.]]", "One.", "[[reply: Two.]]", "Two."]


def stored(storage: str, folder: Path, listen: str = "127.0.0.1:0") -> Settings:
    tables = {"storage": {"url": f"sqlite+aiosqlite:///{folder}/store.db"}} if storage == "sqlite" else {}
    return settings_with(server={"listen": listen}, **tables)


def test_an_interrupted_answer_is_kept(ai: AIManager) -> None:
    ended = chat(ai, "[[reply: One, two, three.]] [[cut: 2 times=9]]", "[[error: PROVIDER_ERROR]]", "[[reply: On.]]")

    assert ended.code == 1
    assert "aimanager: The conversation keeps the answer so far.\naimanager: " in ended.err
    assert texts(only(ai))[1:] == ["One, two, ", "[[reply: On.]]", "On."]
    assert only(ai).turns[0].is_interrupted


def test_in_process_a_conversation_outlives_the_process(folder: Path) -> None:
    for line, *arguments in (("[[reply: One.]]",), ("[[reply: Two.]]", "-c")):
        parser = argparse.ArgumentParser()
        add_chat_arguments(parser)
        out = io.StringIO()
        with AIManager.embedded(model="mock/fast", keep_conversations=True) as client:
            options = parser.parse_args(arguments, argparse.Namespace(json=False))
            assert run_chat(client, options, Console(Lines(line), out, io.StringIO())) == 0

    with AIManager.embedded(model="mock/fast", keep_conversations=True) as client:
        assert texts(only(client)) == ["[[reply: One.]]", "One.", "[[reply: Two.]]", "Two."]
    assert (folder / "conversations.db").exists()


def test_a_configured_database_comes_before_the_users_state_directory(folder: Path, tmp_path: Path) -> None:
    config = {"storage": {"url": f"sqlite+aiosqlite:///{tmp_path}/own.db"}, "providers": {"mock": {}}}
    with AIManager.embedded(config=config, keep_conversations=True) as client:
        client.conversation()

    assert (tmp_path / "own.db").exists()
    assert not folder.exists()


def test_a_state_directory_that_cannot_be_created_is_an_error(folder: Path) -> None:
    folder.write_text("a file")

    with pytest.raises(ConfigurationError, match="Cannot keep conversations"):
        AIManager.embedded(model="mock/fast", keep_conversations=True)
