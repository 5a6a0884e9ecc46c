import json
from typing import Any

import pytest

from aimanager_server.core.content import JsonObjectFormat, JsonSchemaFormat
from aimanager_server.structured_output.validator import MOST_SECONDS, Shape, TooLaborious
from tests.support.calls import FakeClock


def shape(schema: Any, clock: FakeClock | None = None) -> Shape:
    return Shape(JsonSchemaFormat("answer", json.dumps(schema)), clock or FakeClock())


def meets(schema: Any, value: Any) -> bool:
    return not shape(schema).check(json.dumps(value)).flaws


PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "tags": {"type": "array", "items": {"enum": ["a", "b"]}}},
    "required": ["name"],
    "additionalProperties": False,
}


@pytest.mark.parametrize("wrapped", ["{}", " \n{}\n", "```json\n{}\n```", "~~~~\n{}\n~~~~"])
def test_an_answer_that_meets_its_schema_is_given_as_it_was_written(wrapped: str) -> None:
    text = '{"name": "Ann"}'

    assert shape(PERSON).check(wrapped.replace("{}", text)).json == text


def test_numbers_keep_every_digit() -> None:
    text = '{"a": 1.10, "b": 12345678901234567890123}'

    assert shape({}).check(text).json == text


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
def test_what_is_wrong_is_told_with_its_place(text: str, path: str, keyword: str) -> None:
    finding = shape(PERSON).check(text)

    assert finding.json == ""
    assert (finding.flaws[0].path, finding.flaws[0].keyword) == (path, keyword)


def test_a_place_is_a_json_pointer() -> None:
    finding = shape({"additionalProperties": {"type": "string"}}).check('{"a/b~": 1}')

    assert finding.flaws[0].path == "/a~1b~0"


def test_several_flaws_are_told_but_not_all() -> None:
    assert len(shape({"items": {"type": "string"}}).check("[1, 2, 3, 4, 5, 6, 7]").flaws) == 5


def test_a_long_value_is_not_told_back() -> None:
    finding = shape({"type": "string"}).check(json.dumps(["x" * 1000]))

    assert finding.flaws[0].words == "at the top: the value does not meet type: 'string'"


def test_a_schema_that_admits_nothing_is_met_by_nothing() -> None:
    assert shape({"properties": {"a": False}}).check('{"a": 1}').flaws[0].keyword == "false"


@pytest.mark.parametrize(("text", "ok"), [('{"a": 1}', True), ("[1]", False), ("1", False), ("x", False)])
def test_without_a_schema_any_object_will_do(text: str, *, ok: bool) -> None:
    assert (not Shape(JsonObjectFormat(), FakeClock()).check(text).flaws) is ok


@pytest.mark.parametrize(
    ("schema", "value", "ok"),
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
def test_keywords_mean_what_the_draft_says(schema: Any, value: Any, *, ok: bool) -> None:
    assert meets(schema, value) is ok


LAUGHS = {
    "$defs": {
        "l0": {"type": "string"},
        **{f"l{n}": {"allOf": [{"$ref": f"#/$defs/l{n - 1}"}] * 10} for n in range(1, 12)},
    },
    "$ref": "#/$defs/l11",
}


@pytest.mark.parametrize("schema", [{"$ref": "#"}, {"allOf": [{"$ref": "#"}]}, LAUGHS], ids=["self", "loop", "laughs"])
def test_a_schema_without_end_is_given_up(schema: Any) -> None:
    with pytest.raises(TooLaborious):
        shape(schema).check('"x"')


def test_a_long_list_of_choices_for_a_long_list_is_given_up() -> None:
    schema = {"items": {"enum": list(range(5000))}}

    with pytest.raises(TooLaborious):
        shape(schema).check(json.dumps([4999] * 1000))


def test_a_check_takes_only_so_long() -> None:
    class Slow(FakeClock):
        def __call__(self) -> float:
            self.advance(MOST_SECONDS)
            return self.time

    with pytest.raises(TooLaborious):
        shape(PERSON, Slow()).check("{}")


def test_a_pattern_that_would_take_ages_takes_none() -> None:
    assert not meets({"pattern": "^(a+)+$"}, "a" * 100_000 + "b")
