"""JSON stays valid and otherwise as it is when something in it is masked."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aimanager_server.safety.filter_run import SLICE_CHARACTERS, Abandoned
from aimanager_server.safety.json_text import filter_json
from aimanager_server.safety.scanner import Scanner
from tests.support.safety import RANDOM, run_of


def masked_json(text: str) -> str:
    return filter_json(run_of(), "arguments", text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{ "to":"ada@example.com" , "n":1.50}', '{ "to":"[EMAIL_1]" , "n":1.50}'),
        ('{"ada@example.com": {"card": 4111111111111111}}', '{"[EMAIL_1]": {"card": "[CARD_1]"}}'),
        (r'{"to":"ada\u0040example.com","é":"\n"}', r'{"to":"[EMAIL_1]","é":"\n"}'),
        (r'{"a":"{\"to\":\"ada@example.com\"}"}', r'{"a":"{\"to\":\"[EMAIL_1]\"}"}'),
        ('{"password":"xK9$mQ2pL"}', '{"password":"[SECRET_1]"}'),
        (r'{"password":"xK9$mQ2pL", "a":"\n"}', r'{"password":"[SECRET_1]", "a":"\n"}'),
        (r'{"password":"xK9$mQ2pL\n"}', '{"password":"[SECRET_1]"}'),
        ('["ada@example.com", "ada@example.com"]', '["[EMAIL_1]", "[EMAIL_1]"]'),
        ('{"half": "ada@example.com', '{"half": "[EMAIL_1]'),
        (r'{"half": "\u0041 ada@example.com', '{"half": "A [EMAIL_1]'),
        ("not json: ada@example.com", "not json: [EMAIL_1]"),
        ('ada@example.com "x" 1 "y" ada@example.com', '[EMAIL_1] "x" 1 "y" [EMAIL_1]'),
        (r'"bad \x escape ada@example.com"', r'"bad \x escape [EMAIL_1]"'),
        (r'{"half a pair": "\ud83d ada@example.com"}', r'{"half a pair": "\ud83d [EMAIL_1]"}'),
        ('"ada@example.com\\', '"[EMAIL_1]\\'),
        ("", ""),
        ("4111111111111111", '"[CARD_1]"'),
    ],
)
def test_json_is_masked_in_its_strings_and_numbers(text: str, expected: str) -> None:
    assert masked_json(text) == expected


def test_escaped_strings_are_searched_together_and_by_themselves() -> None:
    escaped = [
        r'"\u0061"',
        r'"\u0061da@example.com"',
        r'"\u0034111 1111"',
        r'"\u0031111 1111"',
        r'"\u0062ob@x.example"',
    ]
    texts = ["a", "[EMAIL_1]", "4111 1111", "1111 1111", "[EMAIL_2]"]

    filtered = json.loads(masked_json("[" + ",".join(escaped * 200) + "]"))

    assert filtered == texts * 200


def test_a_long_escaped_string_is_masked() -> None:
    text = json.dumps("\n" + "word " * SLICE_CHARACTERS + "ada@example.com")

    assert masked_json(text) == text.replace("ada@example.com", "[EMAIL_1]")


@pytest.mark.parametrize("item", [r'"\u0061"', r'"\x"', "1", '""'], ids=repr)
def test_json_is_filtered_in_short_steps(item: str) -> None:
    run, pauses, text = run_of(), list[float](), "[" + f"{item}," * 8_000 + r'"\n"]'
    searches = 0

    class CountingScanner:
        """Counts the searches of a scanner, each of which costs about 10 µs, however short the text is."""

        def __getattr__(self, name: str) -> Any:
            nonlocal searches
            searches += 1
            return getattr(scanner, name)

    scanner, run.scanner = run.scanner, cast(Scanner, CountingScanner())
    run.in_steps(pauses.append, lambda: filter_json(run, "arguments", text))

    assert len(pauses) >= len(text) // SLICE_CHARACTERS
    assert searches <= 2 * len(pauses) + 10


def test_filtering_json_ends_when_its_caller_has_gone() -> None:
    run = run_of()
    run.abandon()

    with pytest.raises(Abandoned):
        run.in_steps(lambda seconds: None, lambda: filter_json(run, "arguments", "[" + r'"\u0061",' * 2_000 + "1]"))


JSON_TEXTS = st.sampled_from(
    ["ada@example.com", "4111 1111 1111 1111", "ghp_" + RANDOM[:36], "a", '"', "\\", "\n", "é", "😀", "\ud83d", " "]
)
VALUES = st.recursive(
    st.lists(JSON_TEXTS, max_size=4).map(" ".join)
    | st.integers()
    | st.just(4111111111111111)
    | st.none()
    | st.floats(allow_nan=False),
    lambda each: st.lists(each, max_size=3) | st.dictionaries(JSON_TEXTS, each, max_size=3),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(VALUES, st.booleans())
def test_json_stays_valid(value: object, ensure_ascii: bool) -> None:
    filtered = masked_json(json.dumps(value, ensure_ascii=ensure_ascii))

    decoded = json.dumps(json.loads(filtered), ensure_ascii=False)
    for secret in ("ada@example.com", "4111 1111 1111 1111", "4111111111111111", "ghp_"):
        assert secret not in decoded
