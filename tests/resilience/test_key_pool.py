"""Which of the server's keys a call goes out with."""

from __future__ import annotations

from collections import Counter

from aimanager_server.core.request import CALLER_KEY_ID, NO_KEY, ApiKey
from aimanager_server.resilience.key_pool import REFUSED_SECONDS, KeyRing
from tests.support.calls import FakeClock

ONE, TWO = ApiKey("1", "a"), ApiKey("2", "b")


def ring(*weights: int, clock: FakeClock | None = None, **more: str) -> KeyRing:
    secrets = [("abcdef"[place], weight) for place, weight in enumerate(weights)]
    return KeyRing(secrets, clock or FakeClock(), **more)  # type: ignore[arg-type]  # a spread


def firsts(keys: KeyRing, times: int = 4) -> set[str]:
    return {next(keys.candidates()).id for _ in range(times)}


def test_keys_share_the_calls_by_weight() -> None:
    keys = ring(5, 1, 2)

    shares = Counter(next(keys.candidates()).secret for _ in range(80))

    assert shares == {"a": 50, "b": 10, "c": 20}


def test_keys_are_known_by_their_place_and_keep_their_secret() -> None:
    assert list(ring(1, 1).candidates()) == [ONE, TWO]
    assert "secret" not in repr(ApiKey("1", "secret"))


def test_the_others_follow_the_first() -> None:
    keys = ring(1, 1, 1)

    assert [[key.id for key in keys.candidates()] for _ in range(2)] == [["1", "2", "3"], ["2", "1", "3"]]


def test_a_refused_key_rests_and_comes_back() -> None:
    clock = FakeClock()
    keys = ring(1, 1, clock=clock)

    keys.refused(ONE)
    during = firsts(keys)
    clock.advance(REFUSED_SECONDS)

    assert (during, firsts(keys)) == ({"2"}, {"1", "2"})


def test_who_asks_says_how_long_a_refused_key_rests() -> None:
    clock = FakeClock()
    keys = ring(1, 1, clock=clock)

    keys.refused(ONE, 5.0)
    clock.advance(5.0)

    assert firsts(keys) == {"1", "2"}


def test_where_every_key_rests_the_soonest_alone_is_tried() -> None:
    clock = FakeClock()
    keys = ring(1, 1, clock=clock)
    keys.refused(TWO)
    clock.advance(1)
    keys.refused(ONE)

    assert list(keys.candidates()) == [TWO]


def test_refused_keys_are_quarantined_for_their_time() -> None:
    clock = FakeClock()
    keys = ring(1, 1, 1, clock=clock)
    keys.refused(ONE, 5.0)
    during = keys.quarantined
    clock.advance(5.0)

    assert (during, keys.quarantined) == (1, 0)


def test_a_key_that_is_refused_meanwhile_is_passed_over() -> None:
    keys = ring(1, 1, 1)
    candidates = keys.candidates()
    first = next(candidates)

    keys.refused(TWO)

    assert (first.id, [key.id for key in candidates]) == ("1", ["3"])


def test_a_single_key_never_rests() -> None:
    keys = ring(1)
    keys.refused(ONE)

    assert list(keys.candidates()) == [ONE]
    assert keys.quarantined == 1


def test_a_key_of_nobody_is_no_key() -> None:
    keys = ring(1)

    keys.refused(ApiKey(CALLER_KEY_ID, "mine"))

    assert keys.quarantined == 0


def test_what_is_no_call_takes_no_turn_and_no_resting_key() -> None:
    keys = ring(1, 1)

    first = keys.first()
    keys.refused(ONE)

    assert (first, keys.first()) == (ONE, TWO)
    assert ring().first() is NO_KEY
    assert list(ring().candidates()) == []


def test_the_key_with_the_fewest_calls_under_way_goes_first() -> None:
    keys = ring(1, 1, 1, spread="least_loaded")
    for key in (ONE, ONE, TWO):
        keys.taken(key)

    busy = [key.id for key in keys.candidates()]
    keys.released(TWO)

    assert busy == ["3", "2", "1"]
    assert firsts(keys) == {"2", "3"}


def test_only_several_keys_by_load_are_counted() -> None:
    assert not ring(1, 1).counts
    assert not ring(1, spread="least_loaded").counts
    assert ring(1, 1, spread="least_loaded").counts
