"""JSON stays valid and otherwise as it is when something in it is masked."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aimanager_server.safety.json_text import filter_json
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
        (r'"bad \x escape ada@example.com"', r'"bad \x escape [EMAIL_1]"'),
        (r'{"half a pair": "\ud83d ada@example.com"}', r'{"half a pair": "\ud83d [EMAIL_1]"}'),
        ('"ada@example.com\\', '"[EMAIL_1]\\'),
        ("", ""),
        ("4111111111111111", '"[CARD_1]"'),
    ],
)
def test_json_is_masked_in_its_strings_and_numbers(text: str, expected: str) -> None:
    assert masked_json(text) == expected


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
