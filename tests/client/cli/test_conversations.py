"""`aimanager conversations`, with a real server."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from aimanager import AIManager, StreamInterruptedError, tool, tool_result, user
from aimanager.cli import main
from aimanager.cli.console import Console
from tests.support.gateway import settings_with, started_gateway


class Ended(NamedTuple):
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str


@pytest.fixture
def ai() -> Iterator[AIManager]:
    with started_gateway(settings_with()) as target, AIManager.gateway(target) as client:
        yield client


def run(ai: AIManager, *arguments: str) -> Ended:
    out, err = io.StringIO(), io.StringIO()
    code = main(["conversations", "--target", ai.target, *arguments], Console(io.StringIO(), out, err), {})
    return Ended(code, out.getvalue(), err.getvalue())


def without_times(text: str) -> str:
    return re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d", "2026-01-01 00:00", text)


def test_conversations_are_a_table(ai: AIManager) -> None:
    first, second = ai.conversation(title="A trip\nto " + "x" * 99), ai.conversation()
    first.request("Hi").send()

    ended = run(ai)

    assert (ended.code, ended.err) == (0, "")
    assert without_times(ended.out) == (
        f"ID{' ' * (len(first.id) - 2)}  TURNS  LAST USED (UTC)   TITLE\n"
        f"{first.id}  1      2026-01-01 00:00  A trip to {'x' * 29}…\n"
        f"{second.id}  0      2026-01-01 00:00  –\n"
    )
    assert run(ai, "list", "--limit", "1").out.count("\n") == 2
    assert [each["id"] for each in json.loads(run(ai, "list", "--json").out)] == [first.id, second.id]


def test_a_conversation_is_shown(ai: AIManager) -> None:
    conversation = ai.conversation(title="Trip", model="mock/latest", system_instruction="Be brief.")
    conversation.append("Answer in Latin.", pinned=True)
    prompt = '[[tool: weather {"city": "Rome"}]]'
    (call,) = conversation.request(prompt, tools=tool("weather"), attachments=b"a,b").send().tool_calls
    answer = conversation.request(user(tool_result(call, "Sunny"), "[[words: 9]] [[cut: 1]]"))
    with pytest.raises(StreamInterruptedError):
        answer.stream(on_interruption="fail").complete()

    ended = run(ai, "show", conversation.id)

    lines = without_times(ended.out).splitlines()
    assert (ended.code, ended.err) == (0, "")
    assert lines[:3] == ["title: Trip", "model: mock/latest", "system: Be brief."]
    assert re.fullmatch(r"tokens: \d+ input \+ \d+ output", lines[3])
    assert lines[4].startswith("cost: $0.0")
    assert lines[5:] == [
        "expires: 2026-01-01 00:00 UTC",
        "",
        "--- turn 0, pinned",
        "user: Answer in Latin.",
        "",
        "--- turn 1",
        "user: [file, text/plain]",
        prompt,
        'assistant: [calls weather with {"city": "Rome"}]',
        "",
        "--- turn 2, interrupted",
        "user: [weather returned Sunny]",
        "[[words: 9]] [[cut: 1]]",
        "assistant: word1 ",
    ]
    shown = json.loads(run(ai, "show", conversation.id, "--json").out)
    assert (shown["conversation"]["id"], len(shown["turns"])) == (conversation.id, 3)


def test_a_conversation_is_deleted(ai: AIManager) -> None:
    first, second = ai.conversation(), ai.conversation()

    assert run(ai, "delete", first.id) == (0, f"deleted {first.id}\n", "")
    assert run(ai, "delete", second.id, "--json") == (0, "{}\n", "")

    assert list(ai.conversations.list()) == []
    ended = run(ai, "show", first.id)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("aimanager: ")


def test_a_conversation_is_exported_and_imported(ai: AIManager, tmp_path: Path) -> None:
    conversation, file = ai.conversation(title="Trip"), str(tmp_path / "trip.json")
    conversation.append("My name is Ada.", pinned=True)
    conversation.request("Hi").send()

    assert run(ai, "export", conversation.id, file) == (0, f"saved: {file}\n", "")
    ended = run(ai, "import", file)
    imported = json.loads(run(ai, "import", file, "--json").out)

    match = re.fullmatch(rf"(conv_[\w-]+): 2 turns from {re.escape(file)}\n", ended.out)
    assert match is not None
    copy = ai.conversations.get(match[1])
    assert (copy.title, copy.history, imported["turnCount"]) == ("Trip", conversation.history, 2)
    assert [turn.is_pinned for turn in copy.turns] == [True, False]
    assert "exists already" in run(ai, "export", conversation.id, file).err
    assert "Cannot write" in run(ai, "export", conversation.id, str(tmp_path / "no/trip.json")).err
    assert "Cannot read" in run(ai, "import", str(tmp_path / "none.json")).err


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("show",), "aimanager: show needs the id of a conversation. `aimanager conversations` lists the ids.\n"),
        (("delete",), "aimanager: delete needs the id of a conversation. `aimanager conversations` lists the ids.\n"),
        (("import",), "aimanager: import needs a file. Pass a file that export, or /save in a chat, wrote.\n"),
        (("export", "x"), "aimanager: export needs a file. For example: aimanager conversations export ID trip.json\n"),
        (
            ("show", "x", "y"),
            "aimanager: show takes one argument, got 'y' too. For example: aimanager conversations export ID "
            "trip.json\n",
        ),
        (("list", "x"), "aimanager: list takes no id. Write `aimanager conversations show x`.\n"),
    ],
)
def test_an_id_that_is_missing_or_superfluous_is_reported(ai: AIManager, arguments: list[str], problem: str) -> None:
    assert run(ai, *arguments) == (1, "", problem)
