"""Artifacts through a whole server, in answers and streams."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aimanager import AIManager, Artifact

SCRIPT = 'Here:\n\n**`app.py`**\n```python\nprint("hi")\n```\n\n~~~csv\na,b\n1,2\n~~~\n'


@pytest.fixture
def ai(gateway: str) -> Iterator[AIManager]:
    with AIManager.gateway(gateway, model="mock/latest") as client:
        yield client


def test_artifacts_are_lifted_out_and_the_text_stays(ai: AIManager) -> None:
    response = ai.request("Write", provider_options={"mock": {"script": f"[[reply: {SCRIPT}]]"}})

    assert response.content == SCRIPT.strip()
    assert [(one.name, one.mime_type, one.language, one.text) for one in response.artifacts] == [
        ("app.py", "text/x-python", "python", 'print("hi")\n'),
        ("artifact-2.csv", "text/csv", "", "a,b\n1,2\n"),
    ]


def test_a_stream_tells_the_same_artifacts_as_a_request(ai: AIManager) -> None:
    tool = '[[tool: write_file {"path": "notes.md", "content": "# Notes"}]]'
    options: dict[str, Any] = {"provider_options": {"mock": {"script": f"[[reply: {SCRIPT}]] {tool}"}}}
    options["tools"] = [write_file]

    whole = ai.request("Write", **options).artifacts
    with ai.stream("Write", **options) as stream:
        told = [event for event in stream.events if isinstance(event, Artifact)]

    assert [one.name for one in whole] == ["app.py", "artifact-2.csv", "notes.md"]
    assert tuple(told) == stream.response.artifacts == whole


def test_an_artifact_comes_before_the_parts_behind_it(ai: AIManager) -> None:
    script = "[[reply: ```py\n1\n```\n]] [[reply: and more]]"

    with ai.stream("Write", provider_options={"mock": {"script": script}}) as stream:
        kinds = [type(event).__name__ for event in stream.events]

    assert kinds.index("Artifact") < len(kinds) - 1 - kinds[::-1].index("PartDelta")


def test_a_repeated_answer_has_its_artifacts_again(ai: AIManager) -> None:
    options: dict[str, Any] = {"provider_options": {"mock": {"script": f"[[reply: {SCRIPT}]]"}}}

    first = ai.request("Write", idempotency_key="artifacts", **options)
    again = ai.request("Write", idempotency_key="artifacts", **options)

    assert again.from_cache
    assert again.artifacts == first.artifacts != ()


def test_artifacts_are_saved(ai: AIManager, tmp_path: Path) -> None:
    script = "[[reply: ```../../app.py\npass\n```]]"

    [artifact] = ai.request("Write", provider_options={"mock": {"script": script}}).artifacts

    assert artifact.save(tmp_path) == tmp_path / "app.py"


def write_file(path: str, content: str) -> str:
    """Writes a file."""
    return path + content
