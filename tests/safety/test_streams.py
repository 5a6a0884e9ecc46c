"""A text that arrives in pieces is masked as the whole text is, and no more is held back than a match may have."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aimanager_server.core.content import Reasoning, Text
from aimanager_server.core.response import Event, Finished, FinishReason, PartCompleted, ReasoningDelta, TextDelta
from aimanager_server.safety.detector import MAX_MATCH
from aimanager_server.safety.filter_run import SLICE_CHARACTERS
from aimanager_server.safety.response_filter import ResponseFilter
from tests.support.safety import ALL, EVERYTHING, JWT, RANDOM, filters, masked, masked_in_pieces, private_key, run_of

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
SPACED = st.lists(st.sampled_from((*PIECES, "THE QUICK BROWN FOX ", "w1 w2 w3 w4 ", "| A1 | B2 ")), max_size=20).map(
    " ".join
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=20).map("".join) | SPACED, st.data())
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
        ("1234 " * 10_000, 90),
        ("THE QUICK BROWN FOX " * 100, 90),
        ("w1 w2 " * 500, 90),
        ("| A1 | B2 | C3 " * 100, 90),
        ("f(a); g(b). " * 200, 90),
        ("sk-" + "a1B2" * 20_000, MAX_MATCH + 4096),
        ((private_key() + "\n") * 3, MAX_MATCH),
    ],
    ids=[
        "prose",
        "chinese",
        "one word",
        "numbers",
        "capitals",
        "words with digits",
        "table",
        "code",
        "token",
        "private keys",
    ],
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


def responses(parts: list[tuple[type[Text | Reasoning], list[str]]], *, streaming: bool) -> list[Event]:
    """Return the filtered events of a response with these parts, whose texts arrive in pieces."""
    events: list[Event] = []
    for index, (kind, pieces) in enumerate(parts):
        if streaming:
            events += [(TextDelta if kind is Text else ReasoningDelta)(index, piece) for piece in pieces]
        events.append(PartCompleted(index, kind("".join(pieces))))
    response = ResponseFilter(run_of(), holds_back=False, is_json=False)
    return [passed for event in (*events, Finished(FinishReason.STOP)) for passed in response.filter([event])]


def divided(text: str, size: int) -> list[str]:
    return [text[start : start + size] for start in range(0, len(text), size)]


def texts_of(events: list[Event]) -> list[str]:
    """Return the completed texts by index, which the deltas must agree with."""
    completed = {event.index: event.part for event in events if isinstance(event, PartCompleted)}
    deltas = dict.fromkeys(completed, "")
    for event in events:
        if isinstance(event, TextDelta | ReasoningDelta):
            deltas[event.index] += event.text
    texts = [getattr(completed[index], "text", "") for index in sorted(completed)]
    assert any(deltas.values()) is False or [deltas[index] for index in sorted(completed)] == texts
    return texts


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (("to ada@exa", "mple.com now"), ["to [EMAIL_1]", " now"]),
        (("to a", "da", "@", "example.com"), ["to [EMAIL_1]", "", "", ""]),
        (("Order 12", "4111 1111 1111 1111"), ["Order 12", "[CARD_1]"]),
        (("the token", "ghp_" + RANDOM[:36]), ["the token", "[SECRET_1]"]),
        (("to bob@x.de", "ghp_" + RANDOM[:36] + " x"), ["to [EMAIL_1]", "[SECRET_1] x"]),
        ((private_key()[:90], private_key()[90:] + "\nend"), ["[SECRET_1]", "\nend"]),
    ],
)
def test_a_match_across_parts_of_one_kind_is_masked_where_it_begins(
    texts: tuple[str, ...], expected: list[str]
) -> None:
    for kind, other in ((Text, Reasoning), (Reasoning, Text)):
        for size in (1, 2, 1000):
            parts = [pair for text in texts for pair in ((kind, divided(text, size)), (other, ["Hm. "]))]
            for streaming in (True, False):
                assert texts_of(responses(parts, streaming=streaming))[::2] == expected


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(st.sampled_from(PIECES), max_size=4), min_size=1, max_size=5), st.data())
def test_any_division_of_parts_gives_the_same_result(parts: list[list[str]], data: st.DataObject) -> None:
    kinds = [data.draw(st.sampled_from((Text, Reasoning))) for _ in parts]

    whole = texts_of(responses(list(zip(kinds, parts, strict=True)), streaming=False))

    assert texts_of(responses(list(zip(kinds, parts, strict=True)), streaming=True)) == whole
    characters = [list("".join(pieces)) for pieces in parts]
    assert texts_of(responses(list(zip(kinds, characters, strict=True)), streaming=True)) == whole


def test_parts_are_completed_as_they_arrive_unless_a_match_may_have_begun() -> None:
    events = responses([(Reasoning, ["I think so."]), (Text, ["Ask ada"]), (Text, ["@x.de, now"])], streaming=True)

    assert events == [
        ReasoningDelta(0, "I think "), ReasoningDelta(0, "so."), PartCompleted(0, Reasoning("I think so.")),
        TextDelta(1, "Ask "), TextDelta(1, "[EMAIL_1]"), PartCompleted(1, Text("Ask [EMAIL_1]")),
        TextDelta(2, ", "), TextDelta(2, "now"), PartCompleted(2, Text(", now")), Finished(FinishReason.STOP),
    ]  # fmt: skip


def test_parts_that_arrive_at_the_same_time_are_filtered_one_after_the_other() -> None:
    events: list[Event] = [
        TextDelta(0, "ada@"), TextDelta(1, "example"), TextDelta(0, "mail."), TextDelta(1, ".com x"),
        PartCompleted(1, Text("example.com x")), PartCompleted(0, Text("ada@mail.")), Finished(FinishReason.STOP),
    ]  # fmt: skip
    response = ResponseFilter(run_of(), holds_back=False, is_json=False)

    completed = [one for one in response.filter(events) if isinstance(one, PartCompleted)]

    assert completed == [PartCompleted(0, Text("[EMAIL_1]")), PartCompleted(1, Text(" x"))]


def test_a_long_part_that_arrives_complete_is_searched_in_slices() -> None:
    text = "word " * (SLICE_CHARACTERS // 5) + "ada@"
    parts: list[tuple[type[Text | Reasoning], list[str]]] = [(Text, [text]), (Text, ["example.com"])]

    assert texts_of(responses(parts, streaming=False)) == [text[:-4] + "[EMAIL_1]", ""]


def test_json_in_several_parts_is_filtered_as_one_text() -> None:
    for second, expected in (("mple.com", ['{"to": "[EMAIL_1]"}', ""]), (" c", ['{"to": "ada@exa', ' c"}'])):
        parts = (Text('{"to": "ada@exa'), Text(second + '"}'))
        events = [PartCompleted(index, part) for index, part in enumerate(parts)]
        response = ResponseFilter(run_of(), holds_back=False, is_json=True)

        assert texts_of(response.filter([*events, Finished(FinishReason.STOP)])) == expected
