"""Output formats as they come in, artifacts and JSON as they go out."""

from __future__ import annotations

import pytest

from aimanager.v1 import content_pb2, generation_pb2
from aimanager_server.config.settings import Limits
from aimanager_server.core.content import (
    Artifact,
    JsonObjectFormat,
    JsonSchemaFormat,
    Message,
    OutputFormat,
    Role,
    Text,
)
from aimanager_server.core.errors import InvalidRequest
from aimanager_server.core.response import ArtifactExtracted, Finished, FinishReason, GenerateResult, ResponseMetadata
from aimanager_server.rpc.convert import requests as wire_read
from aimanager_server.rpc.convert import responses as wire_write

SCRIPT = Artifact("artifact-1", "app.py", "text/x-python", "python", text="pass\n")
SAID = content_pb2.Artifact(id="artifact-1", name="app.py", mime_type="text/x-python", language="python", text="pass\n")


def read(**fields: object) -> OutputFormat | None:
    asked = generation_pb2.OutputFormat(**fields)  # type: ignore[arg-type]  # what a client may send
    return wire_read.ask(generation_pb2.GenerateRequest(output_format=asked), Limits()).output_format


def schema(**fields: object) -> generation_pb2.JsonSchema:
    return generation_pb2.JsonSchema(**fields)  # type: ignore[arg-type]  # what a client may send


def test_nothing_said_is_free_text() -> None:
    assert wire_read.ask(generation_pb2.GenerateRequest(), Limits()).output_format is None
    assert read() is None
    assert read(json=False) is None


def test_json_is_any_object() -> None:
    assert read(json=True) == JsonObjectFormat()


def test_a_schema_keeps_its_words_and_gets_a_name() -> None:
    assert read(json_schema=schema(schema_json='{"a" : 1}')) == JsonSchemaFormat("answer", '{"a" : 1}')
    assert read(json_schema=schema(name="x", schema_json="{}", strict=True)) == JsonSchemaFormat("x", "{}", strict=True)


@pytest.mark.parametrize("field", ["name", "schema_json"])
def test_a_nul_is_refused_with_its_field(field: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        read(json_schema=schema(**{field: "a\0"}))

    assert raised.value.violations[0].field == f"output_format.json_schema.{field}"


def test_an_answer_carries_its_json_and_its_artifacts() -> None:
    said = Message(Role.ASSISTANT, (Text("{}"),))
    finished = Finished(FinishReason.STOP, structured_json='{"a": 1}')

    written = wire_write.response(GenerateResult(ResponseMetadata("id", "m", "p", "m"), said, finished, (SCRIPT,)))

    assert written.structured_output_json == '{"a": 1}'
    assert list(written.artifacts) == [SAID]


def test_an_artifact_is_an_event_of_its_own() -> None:
    assert wire_write.event(ArtifactExtracted(SCRIPT)) == generation_pb2.StreamGenerateResponse(artifact=SAID)


def test_an_artifact_that_is_no_text_is_bytes() -> None:
    written = wire_write.artifact(Artifact("artifact-1", "a.png", "image/png", data=b"\x89"))

    assert (written.WhichOneof("content"), written.data) == ("data", b"\x89")


def test_an_artifact_without_content_is_empty_text() -> None:
    assert wire_write.artifact(Artifact("artifact-1", "a", "text/plain")).WhichOneof("content") == "text"
