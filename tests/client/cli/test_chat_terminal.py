"""`aimanager chat`, `ask` and `models` in a pseudo-terminal, with a real gateway."""

from __future__ import annotations

import json
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from aimanager import AIManager
from tests.support.terminal import Terminal, needs_cli_extra, run_in_terminal, terminal

COMMAND = (sys.executable, "-c", "import sys; from aimanager.cli import main; sys.exit(main())")
WITHOUT_EXTRA = (
    sys.executable,
    "-c",
    "import sys; sys.modules['rich'] = sys.modules['prompt_toolkit'] = None; "
    "from aimanager.cli import main; sys.exit(main())",
)


@pytest.fixture
def environment(example_gateway: str, tmp_path: Path) -> dict[str, str]:
    return {"AIMANAGER_TARGET": example_gateway, "XDG_STATE_HOME": str(tmp_path)}


@contextmanager
def chatting(environment: dict[str, str], command: tuple[str, ...] = COMMAND) -> Iterator[Terminal]:
    with terminal(*command, "chat", "-m", "mock/mock-large", environment=environment) as running:
        running.wait_for(">")
        yield running


@needs_cli_extra
def test_a_chat_renders_markdown_and_keeps_history(environment: dict[str, str], tmp_path: Path) -> None:
    with chatting(environment) as running:
        running.type("[[reply: **Bold** words.]]\\\rsecond line\r")
        end = running.wait_for("stop · ")
        end = running.wait_for(">", end)
        running.type("/model mock/mock-small\r")
        end = running.wait_for(">", running.wait_for("model: mock/mock-small", end))
        running.type("\x1b[A\x1b[A\r")  # the message before, from the history
        end = running.wait_for(">", running.wait_for("mock/mock-small · stop", end))
        running.type("\x04")
        finished = running.finish()

    assert finished.code == 0
    assert "\x1b[1mBold\x1b[0m words." in finished.output
    history = tmp_path / "aimanager/history"
    assert "+second line" in history.read_text()
    assert stat.S_IMODE(history.stat().st_mode) == 0o600
    with AIManager.gateway(environment["AIMANAGER_TARGET"]) as ai:
        last = json.loads((tmp_path / "aimanager/last-conversation.json").read_text())
        assert ai.conversations.get(last["id"]).model == "mock/mock-small"


@needs_cli_extra
def test_control_characters_of_an_answer_do_not_reach_the_terminal(environment: dict[str, str]) -> None:
    script = "[[reply: a\x1bM\x07b]]"

    for arguments in (("ask", script), ("ask", "--no-stream", script)):
        shown = run_in_terminal(*COMMAND, *arguments, "-m", "mock/mock-large", environment=environment)
        assert "a␛M␇b" in shown.output
    with chatting(environment) as running:
        running.type("\x1b[200~[[reply: *a*\x9b1Mb]]\x1b[201~\r")
        running.wait_for("stop · ")
        assert "\x9b" not in running.output


@needs_cli_extra
def test_a_spinner_shows_the_elapsed_time_until_ctrl_c(environment: dict[str, str]) -> None:
    with chatting(environment) as running:
        running.type("[[words: 2]] [[stall: 2]]\r")
        end = running.wait_for("1 s  word1")
        running.interrupt()
        end = running.wait_for("The answer is incomplete.", end)
        end = running.wait_for("The conversation keeps the answer so far.", end)
        end = running.wait_for(">", end)
        running.type("[[stall: 0]]\r")
        end = running.wait_for("1 s", end)
        running.interrupt()
        end = running.wait_for("Nothing was added to the conversation.", end)
        running.type("[[reply: On.]]\r")
        end = running.wait_for(">", running.wait_for("stop · ", end))
        running.type("/history\r")
        end = running.wait_for("--- turn 0, interrupted", end)
        end = running.wait_for("assistant: word1 word2", end)
        end = running.wait_for("assistant: On.", running.wait_for("--- turn 1", end))
        running.type("/quit\r")
        finished = running.finish()

    assert finished.code == 0


def test_without_the_extra_a_chat_is_plain_and_names_it(environment: dict[str, str]) -> None:
    with chatting(environment, WITHOUT_EXTRA) as running:
        running.wait_for("pip install 'aimanager[cli]'")
        running.type("[[reply: **Bold** words.]]\r")
        end = running.wait_for(">", running.wait_for("\n**Bold** words.\n"))
        running.interrupt()
        running.wait_for(">", running.wait_for("/quit or Ctrl-D leaves.", end))
        running.type("\x04")
        finished = running.finish()

    assert finished.code == 0


@pytest.mark.parametrize("command", [("models",), ("health",)])
def test_tables_fit_a_terminal_of_80_columns(environment: dict[str, str], command: tuple[str, ...]) -> None:
    shown = run_in_terminal(*COMMAND, *command, environment=environment)

    assert shown.code == 0
    assert max(map(len, shown.text.splitlines())) <= 80
