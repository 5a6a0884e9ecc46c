"""Artifacts end to end, in responses and streams."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aimanager import AIManager, Artifact

REPLY = 'Here:\n\n**`app.py`**\n```python\nprint("hi")\n```\n\n~~~csv\na,b\n1,2\n~~~\n'


def mock_script(script: str) -> dict[str, Any]:
    """Return the request options that make the mock provider play a script."""
    return {"provider_options": {"mock": {"script": script}}}


@pytest.fixture
def ai(gateway: str) -> Iterator[AIManager]:
    with AIManager.gateway(gateway, model="mock/latest") as client:
        yield client


def test_artifacts_are_extracted_and_the_text_is_unchanged(ai: AIManager) -> None:
    response = ai.request("Write", **mock_script(f"[[reply: {REPLY}]]"))

    assert response.content == REPLY.strip()
    assert [(one.name, one.mime_type, one.language, one.text) for one in response.artifacts] == [
        ("app.py", "text/x-python", "python", 'print("hi")\n'),
        ("artifact-2.csv", "text/csv", "", "a,b\n1,2\n"),
    ]


def test_artifacts_are_extracted_only_if_requested(ai: AIManager) -> None:
    response = ai.request("Write", extract_artifacts=False, **mock_script(f"[[reply: {REPLY}]]"))

    assert (response.content, response.artifacts) == (REPLY.strip(), ())


def test_a_stream_has_the_same_artifacts_as_a_unary_response(ai: AIManager) -> None:
    tool_call = '[[tool: write_file {"path": "notes.md", "content": "# Notes"}]]'
    options = {**mock_script(f"[[reply: {REPLY}]] {tool_call}"), "tools": [write_file]}

    unary = ai.request("Write", **options).artifacts
    with ai.stream("Write", **options) as stream:
        streamed = tuple(event for event in stream.events if isinstance(event, Artifact))

    assert [artifact.name for artifact in unary] == ["app.py", "artifact-2.csv", "notes.md"]
    assert streamed == stream.response.artifacts == unary


def test_an_artifact_event_precedes_the_following_parts(ai: AIManager) -> None:
    with ai.stream("Write", **mock_script("[[reply: ```py\n1\n```\n]] [[reply: and more]]")) as stream:
        types = [type(event).__name__ for event in stream.events]

    assert types.index("Artifact") < len(types) - 1 - types[::-1].index("PartDelta")


def test_a_replayed_response_has_its_artifacts(ai: AIManager) -> None:
    options = mock_script(f"[[reply: {REPLY}]]")

    first = ai.request("Write", idempotency_key="artifacts_of_a_replayed_response", **options)
    replay = ai.request("Write", idempotency_key="artifacts_of_a_replayed_response", **options)

    assert replay.from_cache
    assert replay.artifacts == first.artifacts != ()


def test_an_artifact_is_saved_inside_the_folder(ai: AIManager, tmp_path: Path) -> None:
    [artifact] = ai.request("Write", **mock_script("[[reply: ```../../app.py\npass\n```]]")).artifacts

    assert artifact.save(tmp_path) == tmp_path / "app.py"


def write_file(path: str, content: str) -> str:
    """Write a file."""
    return path + content
