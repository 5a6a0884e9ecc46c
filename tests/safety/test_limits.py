"""The work of a filter grows with the length of the text, whatever it contains."""

from __future__ import annotations

import time
from contextlib import suppress

import pytest

from aimanager_server.config.safety_filters import PatternSettings
from aimanager_server.safety.filter_run import MAX_MATCHES, SLICE_CHARACTERS, TEXT_COST, Abandoned, Blocked
from aimanager_server.safety.pattern_length import UNLIMITED, longest_match
from aimanager_server.safety.patterns import InvalidPattern, compile_pattern
from tests.support.safety import ALL, filters, masked, run_of

HOSTILE = (
    "a@", "@b.co ", "4111 ", "+4911 ", "eyJ", ".eyJ", "eyJ-AKIA", "-sk-aaaaaaaaaaaaaaaaaaaaaaaa", "DE89 ", "://a:", "A",
    "-----BEGIN PRIVATE KEY-----", "password=a ", "bearer ", "1234567890 ", "12345678A ", "4000 0000 0000 0000,", "\0",
    '"', "\\", "\ud83d", "１",
)  # fmt: skip
PATTERNS = {"pairs": {"pattern": "(?:xy?){1,40}", "input": "mask"}, "any": {"pattern": "z.{0,900}z", "input": "mask"}}


def seconds(text: str) -> float:
    started = time.thread_time()
    with suppress(Blocked):  # some have too many matches
        masked(text, filters(input=ALL, patterns=PATTERNS))
    return time.thread_time() - started


@pytest.mark.parametrize("piece", [*HOSTILE, "x", "xy", "z"], ids=repr)
def test_hostile_texts_take_time_in_proportion_to_their_length(piece: str) -> None:
    characters = 128 * 1024

    # The slowest takes 0.2 s here; what is quadratic takes minutes.
    assert seconds(piece * (characters // len(piece))) < 5


def test_too_many_places_are_refused() -> None:
    assert masked("a@b.co " * MAX_MATCHES).endswith("[EMAIL_1] ")
    with pytest.raises(Blocked) as caught:
        masked("a@b.co " * (MAX_MATCHES + 1))
    assert (caught.value.rule, caught.value.field) == ("max_matches", "text")


def test_a_maximum_size_applies_to_all_texts_of_a_call_together() -> None:
    run = run_of(max_characters=10)
    run.text("first", "123456")

    with pytest.raises(Blocked) as caught:
        run.text("second", "123456")
    assert (caught.value.rule, caught.value.field) == ("max_characters", "second")


def test_a_long_text_is_filtered_in_steps_with_pauses() -> None:
    run, pauses = run_of(), list[float]()

    run.in_steps(pauses.append, lambda: run.text("text", "word " * 100_000))

    assert len(pauses) == 500_000 // SLICE_CHARACTERS


def test_many_short_texts_are_filtered_in_steps_too() -> None:
    run, pauses = run_of(), list[float]()

    run.in_steps(pauses.append, lambda: [run.text("text", "word") for _ in range(10_000)])

    assert len(pauses) >= 10_000 * (TEXT_COST + 4) // (SLICE_CHARACTERS + TEXT_COST + 4)


def test_work_outside_a_thread_of_its_own_never_pauses() -> None:
    run, pauses = run_of(), list[float]()
    run.in_steps(pauses.append, lambda: run.text("text", "word"))

    run.text("text", "word " * 100_000)

    assert pauses == []


def test_work_that_was_abandoned_ends_after_its_step() -> None:
    run, pauses = run_of(), list[float]()

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        run.abandon()

    with pytest.raises(Abandoned):
        run.in_steps(pause, lambda: run.text("text", "word " * 100_000))

    assert len(pauses) == 1


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("(", "is not accepted by RE2: missing ): ("),
        (r"(a)\1", r"is not accepted by RE2: invalid escape sequence: \1"),
        ("(?=a)b", "is not accepted by RE2: invalid perl operator: (?="),
        ("a*", "must not match the empty text"),
        ("secret.+", "must match at most 1000 characters, can match any number of; use {0,20} for * and +"),
        ("(?:ab?c{1,500}){1,2}", "must match at most 1000 characters, can match 1004; use {0,20} for * and +"),
        ("((a{100}){100}){100}", "is not accepted by RE2: invalid repetition size: {100}"),
        (r"\pL{1000}", "is not accepted by RE2: pattern too large - compile failed"),
    ],
)
def test_a_pattern_that_cannot_be_used_is_rejected_with_the_reason(pattern: str, reason: str) -> None:
    with pytest.raises(InvalidPattern) as caught:
        compile_pattern(pattern)
    assert str(caught.value) == reason


def test_patterns_that_are_too_large_together_are_rejected() -> None:
    texts = {f"p{number}": PatternSettings(pattern=rf"q{number}(?i)\pL{{60}}", input="mask") for number in range(20)}

    with pytest.raises(InvalidPattern, match="is too large together with the other 19"):
        filters(patterns=texts)


@pytest.mark.parametrize(
    ("pattern", "length"),
    [
        (r"(?i)a|bc|\bd\pN\p{Greek}[]x](?P<n>e{2,3})?$", 7),
        (r"\Qa+b\Ecd\x{10FFFF}\x41\101[[:alpha:]\]]", 9),
        ("a+", UNLIMITED),
        ("(?:a{3,}|b)c", UNLIMITED),
        ("^(?s:.){5}", 5),
    ],
)
def test_the_longest_match_of_a_pattern_is_known(pattern: str, length: int) -> None:
    assert longest_match(pattern) == length


def test_patterns_find_letters_beyond_ascii() -> None:
    built = filters(
        patterns={"name": {"pattern": "(?i)straße|東京", "input": "mask"}, "x-y": {"pattern": "é", "input": "mask"}}
    )

    assert masked("é STRASSE Straße, 東京 é", built) == "[X_Y_1] STRASSE [NAME_1], [NAME_2] [X_Y_1]"


def test_matches_that_overlap_become_one_of_the_stricter_rule() -> None:
    built = filters(input={"emails": "mask"}, patterns={"domain": {"pattern": "example.com and", "input": "mask"}})
    strict = filters(input={"emails": "mask"}, patterns={"domain": {"pattern": "example.com and", "input": "block"}})

    assert masked("ada@example.com and more", built) == "[EMAIL_1] more"
    with pytest.raises(Blocked, match=r"text: patterns\.domain"):
        masked("ada@example.com and more", strict)
