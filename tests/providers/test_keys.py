"""Which of the server's keys a call goes out with."""

from __future__ import annotations

from collections import Counter

from aimanager_server.providers.keys import QUARANTINE_SECONDS, KeyRing
from aimanager_server.settings_provider import Credential
from questions import FakeClock


def test_keys_share_the_calls_by_weight() -> None:
    ring = KeyRing([Credential("a", 5), Credential("b", 1), Credential("c", 2)], FakeClock())

    shares = Counter(next(ring.candidates()) for _ in range(80))

    assert shares == {"a": 50, "b": 10, "c": 20}


def test_the_others_follow_the_first() -> None:
    ring = KeyRing([Credential("a"), Credential("b"), Credential("c")], FakeClock())

    assert sorted(ring.candidates()) == ["a", "b", "c"]


def test_a_refused_key_rests_and_comes_back() -> None:
    clock = FakeClock()
    ring = KeyRing([Credential("a"), Credential("b")], clock)

    position = ring.refuse("a")
    during = {next(ring.candidates()) for _ in range(4)}
    clock.advance(QUARANTINE_SECONDS)
    after = {next(ring.candidates()) for _ in range(4)}

    assert (position, during, after) == (0, {"b"}, {"a", "b"})


def test_where_every_key_rests_the_one_that_rested_longest_is_tried() -> None:
    clock = FakeClock()
    ring = KeyRing([Credential("a"), Credential("b")], clock)
    ring.refuse("b")
    clock.advance(1)
    ring.refuse("a")

    assert list(ring.candidates()) == ["b"]


def test_a_single_key_never_rests() -> None:
    ring = KeyRing([Credential("a")], FakeClock())
    ring.refuse("a")

    assert list(ring.candidates()) == ["a"]


def test_a_key_of_nobody_is_no_key() -> None:
    assert KeyRing([Credential("a")], FakeClock()).refuse("x") == -1
