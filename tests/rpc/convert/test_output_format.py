"""Output formats from protobuf; artifacts and structured output to protobuf."""

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
from aimanager_server.rpc.convert.requests import parse_generate_request
from aimanager_server.rpc.convert.responses import artifact_to_proto, event_to_proto, generate_response_to_proto
from aimanager_server.validation.violations import raise_violations

SCRIPT = Artifact("artifact-1", "app.py", "text/x-python", "python", text="pass\n")
SCRIPT_PROTO = content_pb2.Artifact(
    id="artifact-1", name="app.py", mime_type="text/x-python", language="python", text="pass\n"
)


def parsed(**fields: object) -> OutputFormat | None:
    output_format = generation_pb2.OutputFormat(**fields)  # type: ignore[arg-type]  # any fields a client may send
    request = generation_pb2.GenerateRequest(output_format=output_format)
    params = parse_generate_request(request, Limits())
    raise_violations((), params.violations)
    return params.output_format


def schema(**fields: object) -> generation_pb2.JsonSchema:
    return generation_pb2.JsonSchema(**fields)  # type: ignore[arg-type]  # any fields a client may send


def test_an_unset_format_is_free_text() -> None:
    assert parse_generate_request(generation_pb2.GenerateRequest(), Limits()).output_format is None
    assert parsed() is None


def test_json_means_any_object() -> None:
    assert parsed(json_object={}) == JsonObjectFormat()


def test_a_schema_is_kept_verbatim_and_gets_a_default_name() -> None:
    assert parsed(json_schema=schema(schema_json='{"a" : 1}')) == JsonSchemaFormat("answer", '{"a" : 1}')
    named = schema(name="x", schema_json="{}", strict=True)
    assert parsed(json_schema=named) == JsonSchemaFormat("x", "{}", strict=True)


@pytest.mark.parametrize("field", ["name", "schema_json"])
def test_a_nul_character_is_rejected_with_its_field(field: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        parsed(json_schema=schema(**{field: "a\0"}))

    assert raised.value.violations[0].field == f"output_format.json_schema.{field}"


def test_a_response_contains_structured_output_and_artifacts() -> None:
    message = Message(Role.ASSISTANT, (Text("{}"),))
    finished = Finished(FinishReason.STOP, structured_json='{"a": 1}')
    result = GenerateResult(ResponseMetadata("id", "m", "p", "m"), message, finished, (SCRIPT,))

    response = generate_response_to_proto(result)

    assert response.structured_output_json == '{"a": 1}'
    assert list(response.artifacts) == [SCRIPT_PROTO]


def test_an_artifact_is_a_stream_message_of_its_own() -> None:
    expected = generation_pb2.StreamGenerateResponse(artifact=SCRIPT_PROTO)

    assert event_to_proto(ArtifactExtracted(SCRIPT)) == expected


def test_a_binary_artifact_has_data() -> None:
    artifact = artifact_to_proto(Artifact("artifact-1", "a.png", "image/png", data=b"\x89"))

    assert (artifact.WhichOneof("content"), artifact.data) == ("data", b"\x89")


def test_an_artifact_without_content_is_empty_text() -> None:
    assert artifact_to_proto(Artifact("artifact-1", "a", "text/plain")).WhichOneof("content") == "text"
