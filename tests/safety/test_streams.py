"""A text that arrives in pieces is masked as the whole text is, and no more is held back than a match may have."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aimanager_server.safety.detector import MAX_MATCH
from aimanager_server.safety.filter_run import SLICE_CHARACTERS
from tests.support.safety import ALL, EVERYTHING, JWT, RANDOM, filters, masked, masked_in_pieces, private_key

PATTERNS = {
    "codename": {"pattern": r"(?i)project[ -]{1,3}(aurora|nova\d{0,4})", "input": "mask"},
    "range": {"pattern": r"\bx.{0,30}y\b", "input": "mask"},
}
WITH_PATTERNS = filters(input=ALL, patterns=PATTERNS)
PIECES = (
    "ada@example.com", "bob.b+x@mail.example.co.uk", "@x.de", "a@", "+49 30 1234567", "(415) 555-2671",
    "0049 30 1234567",
    "4111 1111 1111 1111", "4111111111111111", "1234 4111 1111 1111 1111", "DE89 3704 0044 0532 0130 00", "536-90-4399",
    "54362315K", "AB 12 34 56 C", "sk-ant-api03-" + RANDOM, "AKIA" + "ABCD2345" * 2, "ghp_" + RANDOM[:36], JWT,
    "postgres://user:hunter2@db/x", "Authorization: Bearer " + RANDOM[:24], "password = 'tr0ub4dor&3x'", private_key(),
    private_key(headers="Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,AB12\n\n"),
    private_key()[:120], private_key()[:25],
    " ", "  ", "\n", "\r\n", ".", ",", ":", "=", "-", "--", "/", "+", "'", '"', "?", "é", "电话", "４１１１", "\u00a0",
    "😀", "\ud83d",
    "Hello world ", "the token is", "key", "Project aurora", "project-nova12", "x y", "x then something y", "eyJ",
    "eyJabcdefgh.", ".eyJabcdefghijkl", "sk-", "bearer ", "a" * 70, "A" * 40, "0" * 30, "1 2 3 4 ", "(", "://", "https://",
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=20).map("".join), st.data())
def test_any_division_of_a_text_gives_the_same_result(text: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=40)))
    pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]

    for built in (EVERYTHING, WITH_PATTERNS):
        whole = masked(text, built)
        assert masked_in_pieces(pieces, built)[0] == whole
        assert masked_in_pieces(list(text), built)[0] == whole


def test_a_place_where_a_stream_was_divided_is_not_the_beginning_of_a_word() -> None:
    text = "+49 30 1234567eyJabcdefgh.eyJabcdefgh.? and so on"

    assert masked_in_pieces(list(text), WITH_PATTERNS)[0] == masked(text, WITH_PATTERNS) == text


def test_a_match_across_the_slices_of_a_long_text_is_found() -> None:
    for shift in range(0, 40, 3):
        text = (
            "word " * ((SLICE_CHARACTERS - shift) // 5)
            + "mail ada@example.com or 4111 1111 1111 1111 now"
            + " word" * 99
        )

        assert masked(text).count("[EMAIL_1] or [CARD_1] now") == 1


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("Plain prose, as models write it, has spaces after its words. " * 50, 30),
        ("这是一个测试文本，用来测量速度。" * 100, 1),
        ("a" * 50_000, 1500),
        ("1234 " * 10_000, 1500),
        ("sk-" + "a1B2" * 20_000, MAX_MATCH + 4096),
        ((private_key() + "\n") * 3, MAX_MATCH),
    ],
    ids=["prose", "chinese", "one word", "numbers", "token", "private keys"],
)
def test_what_is_held_back_is_bounded(text: str, limit: int) -> None:
    output, held = masked_in_pieces([text[start : start + 7] for start in range(0, len(text), 7)])

    assert output == masked(text)
    assert held <= limit
    assert EVERYTHING.input is not None
    assert held <= EVERYTHING.input.max_held_back * 9 // 8 + 7


def test_patterns_hold_back_as_much_as_they_can_match() -> None:
    text = "Plain prose without a match. " * 50

    assert masked_in_pieces(list(text), WITH_PATTERNS)[1] <= 50
