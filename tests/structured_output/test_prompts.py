from dataclasses import replace

import pytest

from aimanager_server.core import errors
from aimanager_server.core.content import JsonObjectFormat, JsonSchemaFormat, Message, OutputFormat, Role, Text
from aimanager_server.core.errors import FieldViolation
from aimanager_server.core.response import Finished
from aimanager_server.structured_output.prompts import ALONE
from tests.support.calls import Upstream
from tests.support.structured_output import BAD, EMULATING, GOOD, SCHEMA, Bounded, conformed, question, saying


async def test_a_model_without_schemas_is_told_in_the_instruction_and_asked_for_json() -> None:
    upstream = Upstream(saying(GOOD))

    await conformed(question(EMULATING, system_instruction="Be brief."), upstream)

    [asked] = upstream.calls
    assert asked.output_format == JsonObjectFormat()
    assert asked.system_instruction.startswith(f"Be brief.\n\n{ALONE}")
    assert asked.system_instruction.endswith(SCHEMA.schema_json)


async def test_a_schema_that_is_not_of_objects_is_asked_for_without_json_mode() -> None:
    upstream = Upstream(saying("[1]"))

    await conformed(question(EMULATING, JsonSchemaFormat("list", '{"type": "array"}')), upstream)

    assert [asked.output_format for asked in upstream.calls] == [None]


@pytest.mark.parametrize(
    ("takes", "refusals", "asked_for"),
    [((JsonObjectFormat, type(None)), 1, JsonObjectFormat()), ((type(None),), 2, None)],
)
async def test_what_a_wire_cannot_say_is_said_in_words(
    takes: tuple[type, ...], refusals: int, asked_for: OutputFormat | None
) -> None:
    upstream = Bounded(saying(GOOD), takes=takes)

    await conformed(question(), upstream)

    assert upstream.refused == refusals
    assert upstream.calls[0].output_format == asked_for
    assert SCHEMA.schema_json in upstream.calls[0].system_instruction


async def test_a_strict_schema_is_promised_by_the_provider_or_refused() -> None:
    upstream = Bounded(saying(GOOD), takes=(type(None),))

    with pytest.raises(errors.CapabilityUnsupported):
        await conformed(question(wanted=replace(SCHEMA, strict=True)), upstream)

    assert upstream.calls == []


async def test_another_refusal_is_passed_on() -> None:
    refusal = errors.CapabilityUnsupported("no", violations=(FieldViolation("messages[0]", "no"),))
    upstream = Upstream(refusal)

    with pytest.raises(errors.CapabilityUnsupported):
        await conformed(question(), upstream)

    assert len(upstream.calls) == 1


async def test_any_json_object_will_do_where_no_schema_is_given() -> None:
    upstream = Upstream(saying("[1]"), saying(BAD))

    events = await conformed(question(wanted=JsonObjectFormat()), upstream)

    assert isinstance(events[-1], Finished)
    assert events[-1].structured_json == BAD
    assert ALONE in upstream.calls[0].system_instruction


async def test_who_speaks_of_json_is_not_told_of_it_again() -> None:
    asked = replace(question(wanted=JsonObjectFormat()), messages=(Message(Role.USER, (Text("As JSON, please"),)),))
    upstream = Upstream(saying(BAD))

    await conformed(asked, upstream)

    assert upstream.calls == [asked]


async def test_a_wire_without_json_mode_is_told_in_words() -> None:
    upstream = Bounded(saying(BAD), takes=(type(None),))

    await conformed(question(wanted=JsonObjectFormat()), upstream)

    assert ALONE in upstream.calls[0].system_instruction
