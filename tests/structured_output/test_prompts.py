from dataclasses import replace

import pytest

from aimanager_server.core import errors
from aimanager_server.core.content import JsonObjectFormat, JsonSchemaFormat, Message, OutputFormat, Role, Text
from aimanager_server.core.errors import FieldViolation
from aimanager_server.core.response import Finished
from aimanager_server.structured_output.prompts import JSON_ONLY
from tests.support.structured_output import (
    EMULATING,
    INVALID,
    SCHEMA,
    VALID,
    LimitedUpstream,
    ProviderUpstream,
    answer,
    enforce,
    json_call,
)


async def test_model_without_native_schemas_gets_instruction_and_json_mode() -> None:
    upstream = ProviderUpstream(answer(VALID))

    await enforce(json_call(EMULATING, system_instruction="Be brief."), upstream)

    [sent] = upstream.requests
    assert sent.output_format == JsonObjectFormat()
    assert sent.system_instruction.startswith(f"Be brief.\n\n{JSON_ONLY}")
    assert sent.system_instruction.endswith(SCHEMA.schema_json)


async def test_non_object_schema_is_requested_without_json_mode() -> None:
    upstream = ProviderUpstream(answer("[1]"))

    await enforce(json_call(EMULATING, JsonSchemaFormat("list", '{"type": "array"}')), upstream)

    assert [sent.output_format for sent in upstream.requests] == [None]


@pytest.mark.parametrize(
    ("accepts", "rejections", "requested"),
    [((JsonObjectFormat, type(None)), 1, JsonObjectFormat()), ((type(None),), 2, None)],
)
async def test_format_not_supported_by_the_wire_is_requested_by_instruction(
    accepts: tuple[type, ...], rejections: int, requested: OutputFormat | None
) -> None:
    upstream = LimitedUpstream(answer(VALID), accepts=accepts)

    await enforce(json_call(), upstream)

    assert upstream.rejections == rejections
    assert upstream.requests[0].output_format == requested
    assert SCHEMA.schema_json in upstream.requests[0].system_instruction


async def test_strict_schema_without_native_support_is_rejected() -> None:
    upstream = LimitedUpstream(answer(VALID), accepts=(type(None),))

    with pytest.raises(errors.CapabilityUnsupported):
        await enforce(json_call(output_format=replace(SCHEMA, strict=True)), upstream)

    assert upstream.requests == []


async def test_other_unsupported_capability_is_raised() -> None:
    unsupported = errors.CapabilityUnsupported("no", violations=(FieldViolation("messages[0]", "no"),))
    upstream = ProviderUpstream(unsupported)

    with pytest.raises(errors.CapabilityUnsupported):
        await enforce(json_call(), upstream)

    assert len(upstream.requests) == 1


async def test_json_object_format_accepts_any_object() -> None:
    upstream = ProviderUpstream(answer("[1]"), answer(INVALID))

    events = await enforce(json_call(output_format=JsonObjectFormat()), upstream)

    assert isinstance(events[-1], Finished)
    assert events[-1].structured_json == INVALID
    assert JSON_ONLY in upstream.requests[0].system_instruction


async def test_prompt_that_mentions_json_gets_no_instruction() -> None:
    call = replace(
        json_call(output_format=JsonObjectFormat()), messages=(Message(Role.USER, (Text("As JSON, please"),)),)
    )
    upstream = ProviderUpstream(answer(INVALID))

    await enforce(call, upstream)

    [sent] = upstream.requests
    assert (sent.messages, sent.system_instruction, sent.output_format) == (call.messages, "", JsonObjectFormat())


async def test_json_object_without_json_mode_is_requested_by_instruction() -> None:
    upstream = LimitedUpstream(answer(INVALID), accepts=(type(None),))

    await enforce(json_call(output_format=JsonObjectFormat()), upstream)

    assert JSON_ONLY in upstream.requests[0].system_instruction
