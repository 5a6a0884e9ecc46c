import json
import random

import pytest

from aimanager_server.artifacts.tool_files import files_in
from aimanager_server.core.content import Artifact, Attachment, Part, Text, ToolCall
from aimanager_server.core.response import ArtifactExtracted, Event, Finished, FinishReason, PartCompleted, TextDelta
from aimanager_server.pipeline.artifacts import MOST_ARTIFACTS, Finder, Keep
from aimanager_server.pipeline.idempotency import reply_of
from tests.support.calls import Upstream, call

TEXT = "A script:\n```python\nprint(1)\n```\nand data:\n~~~csv\na,b\n~~~\n"
SCRIPT = Artifact("artifact-1", "artifact-1.py", "text/x-python", "python", text="print(1)\n")
TABLE = Artifact("artifact-2", "artifact-2.csv", "text/csv", text="a,b\n")
DONE = Finished(FinishReason.STOP)


def write(name: str, content: str) -> ToolCall:
    return ToolCall("call-1", "write_file", json.dumps({"path": name, "content": content}))


async def kept(*events: Event) -> list[Event]:
    return [event async for event in await Keep()(call(), Upstream(events))]


async def test_an_artifact_is_told_as_soon_as_it_is_whole() -> None:
    pieces = ("A:\n```python\nprint(1)\n`", "``\n", "more")

    events = await kept(*(TextDelta(0, piece) for piece in pieces), PartCompleted(0, Text("".join(pieces))), DONE)

    assert [type(event) for event in events] == [
        TextDelta,
        TextDelta,
        ArtifactExtracted,
        TextDelta,
        PartCompleted,
        Finished,
    ]
    assert events[2] == ArtifactExtracted(SCRIPT)


async def test_a_part_that_came_without_deltas_has_the_same_artifacts() -> None:
    events = await kept(PartCompleted(0, Text(TEXT)), DONE)

    assert events == [PartCompleted(0, Text(TEXT)), ArtifactExtracted(SCRIPT), ArtifactExtracted(TABLE), DONE]


async def test_the_text_stays_as_it_was() -> None:
    reply = await Keep()(call(), Upstream((TextDelta(0, TEXT), PartCompleted(0, Text(TEXT)), DONE)))

    completion = await reply.result()

    assert completion.message.parts == (Text(TEXT),)
    assert completion.artifacts == (SCRIPT, TABLE)


async def test_an_answer_said_again_has_its_artifacts() -> None:
    completion = await (await Keep()(call(), Upstream((PartCompleted(0, Text(TEXT)), DONE)))).result()

    assert (await reply_of(completion).result()).artifacts == (SCRIPT, TABLE)


async def test_artifacts_are_numbered_over_all_parts() -> None:
    events = await kept(PartCompleted(0, Text(TEXT)), PartCompleted(1, write("a.md", "# A")), DONE)

    third = Artifact("artifact-3", "a.md", "text/markdown", text="# A")
    assert [event for event in events if isinstance(event, ArtifactExtracted)][2] == ArtifactExtracted(third)


@pytest.mark.parametrize("seed", range(50))
def test_any_split_of_the_text_gives_the_same_artifacts(seed: int) -> None:
    cuts = sorted(random.Random(seed).choices(range(len(TEXT)), k=seed))
    pieces = [TEXT[start:end] for start, end in zip([0, *cuts], [*cuts, len(TEXT)], strict=True)]
    finder = Finder()

    found = [artifact for piece in pieces for artifact in finder.text(0, piece)]
    found += finder.part(0, Text(TEXT))

    assert found == [SCRIPT, TABLE]


@pytest.mark.parametrize("text", ["```\nno name\n```\n", "```python\n \n```\n", "plain", ""])
def test_what_has_neither_language_nor_name_nor_content_is_no_artifact(text: str) -> None:
    assert list(Finder().part(0, Text(text))) == []


@pytest.mark.parametrize("part", [Attachment("image/png", data=b"x")])
def test_other_parts_hold_none(part: Part) -> None:
    assert list(Finder().part(0, part)) == []


def test_there_are_only_so_many() -> None:
    found = list(Finder().part(0, Text("```py\n1\n```\n" * (MOST_ARTIFACTS + 5))))

    assert len(found) == MOST_ARTIFACTS


def test_all_together_have_only_so_much_room() -> None:
    finder, large = Finder(), "x" * 1_000_000

    found = [artifact for index in range(10) for artifact in finder.part(index, write(f"{index}.txt", large))]

    assert len(found) == 8


FILE = {"path": "a.py", "content": "pass"}


@pytest.mark.parametrize(
    "arguments",
    [
        FILE,
        {"file_path": "a.py", "file_text": "pass", "command": "create"},
        {"filename": "a.py", "contents": "pass"},
        {"files": [FILE]},
        {"path": "", "filename": "a.py", "content": "pass"},
    ],
)
def test_a_tool_call_that_names_a_file_and_its_content_writes_it(arguments: dict[str, object]) -> None:
    assert list(files_in(ToolCall("1", "any", json.dumps(arguments)), 100)) == [("a.py", "pass")]


@pytest.mark.parametrize(
    "arguments",
    [
        '{"path": "a.py"}',
        '{"content": "pass"}',
        '{"path": "a.py", "content": ""}',
        '{"path": 1, "content": "pass"}',
        '{"path": "a.py", "old_str": "a", "new_str": "b"}',
        '{"files": ["content"]}',
        '{"files": "content", "x": "content"}',
        '["content"]',
        '{"path": "a.py", "content": ',
        json.dumps({"path": "a.py", "content": "x" * 101}),
        json.dumps({"path": "a.py", "content": "x" * 401}),
    ],
)
def test_any_other_tool_call_writes_none(arguments: str) -> None:
    assert list(files_in(ToolCall("1", "any", arguments), 100)) == []
