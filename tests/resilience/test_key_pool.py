"""Selection and quarantine of the server's API keys."""

from __future__ import annotations

from collections import Counter

import pytest

from aimanager_server.core.request import CALLER_KEY_ID, NO_KEY, ApiKey
from aimanager_server.resilience.key_pool import DEFAULT_QUARANTINE_SECONDS, KeyPool, KeySelection
from tests.support.clock import FakeClock

FIRST, SECOND = ApiKey("1", "a"), ApiKey("2", "b")


def key_pool(*weights: int, clock: FakeClock | None = None, selection: KeySelection = "weighted") -> KeyPool:
    return KeyPool(list(zip("abcdef", weights, strict=False)), clock or FakeClock(), selection)


def selected_ids(pool: KeyPool, times: int = 4) -> set[str]:
    return {next(pool.candidates()).id for _ in range(times)}


def test_calls_are_distributed_by_weight() -> None:
    pool = key_pool(5, 1, 2)

    shares = Counter(next(pool.candidates()).secret for _ in range(80))

    assert shares == {"a": 50, "b": 10, "c": 20}


def test_key_id_is_the_position_and_the_secret_is_not_in_the_repr() -> None:
    assert list(key_pool(1, 1).candidates()) == [FIRST, SECOND]
    assert "secret" not in repr(ApiKey("1", "secret"))


def test_candidates_are_the_selected_key_then_the_others() -> None:
    pool = key_pool(1, 1, 1)

    assert [[key.id for key in pool.candidates()] for _ in range(2)] == [["1", "2", "3"], ["2", "1", "3"]]


def test_quarantined_key_is_skipped_until_its_quarantine_ends() -> None:
    clock = FakeClock()
    pool = key_pool(1, 1, clock=clock)

    pool.quarantine(FIRST)
    during = (selected_ids(pool), pool.quarantined_count)
    clock.advance(DEFAULT_QUARANTINE_SECONDS)

    assert during == ({"2"}, 1)
    assert (selected_ids(pool), pool.quarantined_count) == ({"1", "2"}, 0)


def test_quarantine_lasts_as_long_as_requested() -> None:
    clock = FakeClock()
    pool = key_pool(1, 1, clock=clock)

    pool.quarantine(FIRST, 5.0)
    clock.advance(5.0)

    assert selected_ids(pool) == {"1", "2"}


def test_only_the_key_released_first_is_tried_if_all_are_quarantined() -> None:
    clock = FakeClock()
    pool = key_pool(1, 1, clock=clock)
    pool.quarantine(SECOND)
    clock.advance(1)
    pool.quarantine(FIRST)

    assert list(pool.candidates()) == [SECOND]


def test_key_quarantined_during_a_call_is_skipped() -> None:
    pool = key_pool(1, 1, 1)
    candidates = pool.candidates()
    first = next(candidates)

    pool.quarantine(SECOND)

    assert (first.id, [key.id for key in candidates]) == ("1", ["3"])


def test_single_key_is_used_even_in_quarantine() -> None:
    pool = key_pool(1)

    pool.quarantine(FIRST)

    assert list(pool.candidates()) == [FIRST]
    assert pool.quarantined_count == 1


def test_quarantining_a_caller_key_has_no_effect() -> None:
    pool = key_pool(1)

    pool.quarantine(ApiKey(CALLER_KEY_ID, "mine"))

    assert pool.quarantined_count == 0


def test_peek_neither_advances_the_selection_nor_returns_a_quarantined_key() -> None:
    pool = key_pool(1, 1)

    before = pool.peek()
    pool.quarantine(FIRST)

    assert (before, pool.peek()) == (FIRST, SECOND)


def test_empty_pool_has_no_key() -> None:
    pool = key_pool()

    assert pool.peek() is NO_KEY
    assert list(pool.candidates()) == []


def test_least_loaded_selection_prefers_the_fewest_calls_in_flight() -> None:
    pool = key_pool(1, 1, 1, selection="least_loaded")
    for key in (FIRST, FIRST, SECOND):
        pool.acquire(key)

    candidates = [key.id for key in pool.candidates()]
    pool.release(SECOND)

    assert candidates == ["3", "2", "1"]
    assert selected_ids(pool) == {"2", "3"}


def test_calls_in_flight_are_tracked_only_for_least_loaded_selection_of_several_keys() -> None:
    assert not key_pool(1, 1).tracks_in_flight
    assert not key_pool(1, selection="least_loaded").tracks_in_flight
    assert key_pool(1, 1, selection="least_loaded").tracks_in_flight


@pytest.mark.parametrize("selection", ["weighted", "least_loaded"])
def test_the_key_with_the_preferred_fingerprint_comes_first_unless_it_is_in_quarantine(selection: KeySelection) -> None:
    secrets = [(f"sk-{number}-0123456789abcdef", 1) for number in (1, 2, 3)]
    pool = KeyPool(secrets, lambda: 0.0, selection)
    preferred = pool.fingerprint(secrets[2][0])

    assert next(pool.candidates(preferred)).id == "3"
    assert sorted(key.id for key in pool.candidates(preferred)) == ["1", "2", "3"]
    assert {next(pool.candidates("unknown")).id for _ in range(3)} <= {"1", "2", "3"}
    pool.quarantine(ApiKey("3"))
    assert "3" not in [key.id for key in pool.candidates(preferred)]


def test_only_long_keys_of_the_pool_have_a_fingerprint() -> None:
    pool = KeyPool([("local", 1), ("sk-0123456789abcdef", 1)], lambda: 0.0)

    assert [pool.fingerprint(secret) != "" for secret in ("local", "sk-0123456789abcdef", "x" * 40)] == [
        False,
        True,
        False,
    ]
