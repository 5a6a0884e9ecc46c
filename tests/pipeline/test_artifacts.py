import pytest

from aimanager_server.core.content import Artifact, Text
from aimanager_server.core.errors import StreamInterrupted
from aimanager_server.core.handler import compose
from aimanager_server.core.request import Call
from aimanager_server.core.response import (
    ArtifactExtracted,
    Event,
    Finished,
    FinishReason,
    PartCompleted,
    Restarted,
    TextDelta,
)
from aimanager_server.core.stream import ResponseStream
from aimanager_server.pipeline.artifacts import ExtractArtifacts
from aimanager_server.pipeline.idempotency import replay
from tests.support.calls import make_call
from tests.support.upstream import ScriptedUpstream

TEXT = "A script:\n```python\nprint(1)\n```\nand data:\n~~~csv\na,b\n~~~\n"
SCRIPT = Artifact("artifact-1", "artifact-1.py", "text/x-python", "python", text="print(1)\n")
TABLE = Artifact("artifact-2", "artifact-2.csv", "text/csv", text="a,b\n")
FINISHED = Finished(FinishReason.STOP)


async def response(*events: Event) -> ResponseStream:
    """Return the response to a call through the layer."""
    return await compose((ExtractArtifacts(),), ScriptedUpstream(events))(make_call(extract_artifacts=True))


async def extract(*events: Event) -> list[Event]:
    return [event async for event in await response(*events)]


async def test_artifact_follows_the_delta_that_completes_it() -> None:
    first, last = "A:\n```python\nprint(1)\n`", "``\n"
    completed = PartCompleted(0, Text(first + last))

    events = await extract(TextDelta(0, first), TextDelta(0, last), completed, FINISHED)

    assert events == [TextDelta(0, first), TextDelta(0, last), ArtifactExtracted(SCRIPT), completed, FINISHED]


async def test_artifacts_of_a_part_without_deltas_follow_the_part() -> None:
    events = await extract(PartCompleted(0, Text(TEXT)), FINISHED)

    assert events == [PartCompleted(0, Text(TEXT)), ArtifactExtracted(SCRIPT), ArtifactExtracted(TABLE), FINISHED]


async def test_text_of_the_response_is_unchanged() -> None:
    result = await (await response(TextDelta(0, TEXT), PartCompleted(0, Text(TEXT)), FINISHED)).result()

    assert result.message.parts == (Text(TEXT),)
    assert result.artifacts == (SCRIPT, TABLE)


async def test_numbering_starts_again_after_a_restart() -> None:
    upstream = ScriptedUpstream()
    restarted = Restarted((await upstream(make_call())).metadata)

    events = await extract(PartCompleted(0, Text(TEXT)), restarted, PartCompleted(0, Text(TEXT)), FINISHED)

    assert [event for event in events if isinstance(event, ArtifactExtracted)] == [
        ArtifactExtracted(SCRIPT),
        ArtifactExtracted(TABLE),
    ] * 2


async def test_replayed_response_has_its_artifacts() -> None:
    result = await (await response(PartCompleted(0, Text(TEXT)), FINISHED)).result()

    replayed = await replay(result).result()

    assert replayed.artifacts == (SCRIPT, TABLE)


async def test_artifacts_of_one_batch_follow_the_events_that_complete_them() -> None:
    async def batch(call: Call) -> ResponseStream:
        events: list[Event] = [TextDelta(0, TEXT), PartCompleted(0, Text(TEXT)), PartCompleted(1, Text(TEXT)), FINISHED]
        return ResponseStream.of((await ScriptedUpstream()(call)).metadata, events)

    stream = await compose((ExtractArtifacts(),), batch)(make_call(extract_artifacts=True))
    events = await stream.read()

    artifacts = [ArtifactExtracted, ArtifactExtracted]
    assert [type(event) for event in events] == [
        TextDelta, *artifacts, PartCompleted, PartCompleted, *artifacts, Finished,
    ]  # fmt: skip
    ids = [event.artifact.id for event in events if isinstance(event, ArtifactExtracted)]
    assert ids == ["artifact-1", "artifact-2", "artifact-3", "artifact-4"]


async def test_interrupted_response_keeps_the_artifacts_received_before() -> None:
    upstream = ScriptedUpstream((TextDelta(0, TEXT), StreamInterrupted("cut")))
    stream = await compose((ExtractArtifacts(),), upstream)(make_call(extract_artifacts=True))

    events = await stream.read()

    assert events == [TextDelta(0, TEXT), ArtifactExtracted(SCRIPT), ArtifactExtracted(TABLE)]
    with pytest.raises(StreamInterrupted):
        await stream.read()
