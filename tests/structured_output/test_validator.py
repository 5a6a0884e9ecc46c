import json
import tracemalloc
from typing import Any

import pytest

from aimanager_server.core.content import JsonObjectFormat, JsonSchemaFormat
from aimanager_server.structured_output.budgeted_keywords import MAX_SECONDS, ValidationBudgetExceeded
from aimanager_server.structured_output.validator import AnswerTooLarge, SchemaValidator
from tests.support.clock import FakeClock


def validator(schema: Any, clock: FakeClock | None = None) -> SchemaValidator:
    return SchemaValidator(JsonSchemaFormat("answer", json.dumps(schema)), clock or FakeClock())


def is_valid(schema: Any, value: Any) -> bool:
    return not validator(schema).validate(json.dumps(value)).violations


PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "tags": {"type": "array", "items": {"enum": ["a", "b"]}}},
    "required": ["name"],
    "additionalProperties": False,
}


@pytest.mark.parametrize("wrapped", ["{}", " \n{}\n", "```json\n{}\n```", "~~~~\n{}\n~~~~"])
def test_valid_answer_is_returned_verbatim(wrapped: str) -> None:
    text = '{"name": "Ann"}'

    assert validator(PERSON).validate(wrapped.replace("{}", text)).json == text


def test_numbers_keep_all_digits() -> None:
    text = '{"a": 1.10, "b": 12345678901234567890123}'

    assert validator({}).validate(text).json == text


@pytest.mark.parametrize(
    ("text", "path", "keyword"),
    [
        ("", "", "json"),
        ("Sure! {}", "", "json"),
        ('{"name": NaN}', "", "json"),
        ("```json\n{}\n``", "", "json"),
        ("{}", "", "required"),
        ('{"name": 1}', "/name", "type"),
        ('{"name": "x", "tags": ["a", "c"]}', "/tags/1", "enum"),
        ('{"name": "x", "a/b~": 1}', "", "additionalProperties"),
    ],
)
def test_violation_has_path_and_keyword(text: str, path: str, keyword: str) -> None:
    result = validator(PERSON).validate(text)

    assert result.json == ""
    assert (result.violations[0].path, result.violations[0].keyword) == (path, keyword)


def test_violation_path_is_a_json_pointer() -> None:
    result = validator({"additionalProperties": {"type": "string"}}).validate('{"a/b~": 1}')

    assert result.violations[0].path == "/a~1b~0"


def test_number_of_violations_is_limited() -> None:
    assert len(validator({"items": {"type": "string"}}).validate("[1, 2, 3, 4, 5, 6, 7]").violations) == 5


def test_long_value_is_omitted_from_the_message() -> None:
    result = validator({"type": "string"}).validate(json.dumps(["x" * 1000]))

    assert result.violations[0].message == "at the top: the value does not satisfy type: 'string'"


def test_false_schema_rejects_every_value() -> None:
    assert validator({"properties": {"a": False}}).validate('{"a": 1}').violations[0].keyword == "false"


@pytest.mark.parametrize(("text", "expected"), [('{"a": 1}', True), ("[1]", False), ("1", False), ("x", False)])
def test_json_object_format_accepts_objects_only(text: str, *, expected: bool) -> None:
    assert (not SchemaValidator(JsonObjectFormat(), FakeClock()).validate(text).violations) is expected


@pytest.mark.parametrize(
    ("schema", "value", "expected"),
    [
        ({"pattern": "^a+$"}, "aaa", True),
        ({"pattern": "^a+$"}, "ab", False),
        ({"pattern": "^a+$"}, 1, True),
        ({"patternProperties": {"^x": {"type": "string"}}}, {"xa": 1}, False),
        ({"patternProperties": {"^x": {"type": "string"}}}, {"a": 1}, True),
        ({"patternProperties": {"^x": {"type": "string"}}}, 1, True),
        ({"patternProperties": {"^x": {}}, "additionalProperties": False}, {"xa": 1}, True),
        ({"patternProperties": {"^x": {}}, "additionalProperties": False}, {"xa": 1, "b": 1}, False),
        ({"properties": {"a": {}}, "additionalProperties": {"type": "null"}}, {"a": 1, "b": None}, True),
        ({"properties": {"a": {}}, "additionalProperties": {"type": "null"}}, {"b": 1}, False),
        ({"additionalProperties": False}, [1], True),
        ({"uniqueItems": True}, [1, "1", True, [1], {"a": 1}], True),
        ({"uniqueItems": True}, [1, 1.0], False),
        ({"uniqueItems": True}, [{"a": [1], "b": 2}, {"b": 2, "a": [1]}], False),
        ({"uniqueItems": False}, [1, 1], True),
        ({"uniqueItems": True}, "aa", True),
        ({"format": "date"}, "no date", True),
    ],
)
def test_replaced_keywords_follow_the_draft(schema: Any, value: Any, *, expected: bool) -> None:
    assert is_valid(schema, value) is expected


EXPONENTIAL = {
    "$defs": {
        "l0": {"type": "string"},
        **{f"l{n}": {"allOf": [{"$ref": f"#/$defs/l{n - 1}"}] * 10} for n in range(1, 12)},
    },
    "$ref": "#/$defs/l11",
}


@pytest.mark.parametrize("schema", [{"$ref": "#"}, {"allOf": [{"$ref": "#"}]}], ids=["$ref", "allOf"])
def test_endless_schema_exceeds_the_budget(schema: Any) -> None:
    with pytest.raises(ValidationBudgetExceeded):
        validator(schema).validate('"x"')


def test_exponential_schema_exceeds_the_budget() -> None:
    output_format = JsonSchemaFormat("answer", json.dumps(EXPONENTIAL))

    with pytest.raises(ValidationBudgetExceeded):
        SchemaValidator(output_format, FakeClock(), max_steps=10_000).validate('"x"')


DRAFT_7 = "http://json-schema.org/draft-07/schema#"


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"a": {"$schema": DRAFT_7, "$ref": "#/$defs/l5"}}},
        {
            "$schema": DRAFT_7,
            "properties": {"a": {"$ref": "#"}},
            "if": {"type": "string"},
            "then": {"$ref": "#/$defs/l5"},
        },
    ],
    ids=["of a subschema", "of a schema that refers to itself"],
)
def test_another_draft_does_not_leave_the_budget(schema: Any) -> None:
    output_format = JsonSchemaFormat("answer", json.dumps({"$defs": EXPONENTIAL["$defs"], **schema}))

    with pytest.raises(ValidationBudgetExceeded):
        SchemaValidator(output_format, FakeClock(), max_steps=10_000).validate('{"a": "x"}')


def test_large_enum_on_a_long_array_exceeds_the_budget() -> None:
    schema = {"items": {"enum": list(range(5000))}}

    with pytest.raises(ValidationBudgetExceeded):
        validator(schema).validate(json.dumps([4999] * 1000))


def test_slow_validation_exceeds_the_budget() -> None:
    class Slow(FakeClock):
        def __call__(self) -> float:
            self.advance(MAX_SECONDS)
            return self.time

    with pytest.raises(ValidationBudgetExceeded):
        validator(PERSON, Slow()).validate("{}")


def test_a_failing_alternative_keeps_no_errors() -> None:
    leaf: dict[str, Any] = {"anyOf": [{"type": "string"}] * 50}
    schema = {"oneOf": [{"anyOf": [leaf] * 20}] * 20}
    checked = validator(schema)

    tracemalloc.start()
    found = checked.validate("{}").violations
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert found[0].message == "at the top: {} is valid under none of the given schemas"
    assert peak < 1_000_000


def test_a_validation_pauses_after_each_slice_for_as_long_as_it_worked() -> None:
    clock, pauses = FakeClock(), list[float]()
    schema_format = JsonSchemaFormat("answer", json.dumps({"items": {"type": "integer"}}))

    def work_for_a_millisecond() -> float:
        clock.advance(0.001)
        return clock()

    SchemaValidator(schema_format, work_for_a_millisecond, pause=pauses.append).validate(json.dumps([1] * 20))

    assert len(pauses) >= 5
    assert all(0.002 < seconds < 0.004 for seconds in pauses)


def test_a_stopped_validation_ends_early() -> None:
    stopped = validator({"items": {"type": "integer"}})
    stopped.stop()

    with pytest.raises(ValidationBudgetExceeded):
        stopped.validate("[1]")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (" " * 2_100_000 + "{}", "2100002 characters, at most 2097152 are validated"),
        (f'{{"a": [{"[]," * 60_000}[]]}}', "120003 brackets and commas, at most 100000 are validated"),
    ],
)
def test_an_answer_that_would_take_too_long_to_parse_is_not_validated(text: str, message: str) -> None:
    with pytest.raises(AnswerTooLarge, match=message):
        SchemaValidator(JsonObjectFormat(), FakeClock()).validate(text)


def test_a_match_that_would_take_too_long_exceeds_the_budget() -> None:
    checked = validator({"pattern": "(?:[ab]*a[ab]{1000}c|d)"})

    assert checked.validate('"%s"' % ("ab" * 700)).violations
    with pytest.raises(ValidationBudgetExceeded):
        checked.validate('"%s"' % ("ab" * 800))


def test_backtracking_pattern_is_evaluated_in_linear_time() -> None:
    assert not is_valid({"pattern": "^(a+)+$"}, "a" * 100_000 + "b")
