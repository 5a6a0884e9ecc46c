"""Threads take turns in the order in which they ask."""

from __future__ import annotations

import threading

from aimanager_server.resilience.turns import Turns


def test_threads_run_one_at_a_time_in_the_order_of_their_requests() -> None:
    turns, ran, holds = Turns(), list[str](), threading.Event()

    def work(name: str) -> None:
        asked.set()
        with turns:
            ran.append(name)
            if name == "a":
                holds.wait()
            turns.pause(0.0)
            ran.append(name)

    threads = []
    for number, name in enumerate("abc"):
        asked = threading.Event()
        threads.append(threading.Thread(target=work, args=(name,)))
        threads[-1].start()
        asked.wait()
        while len(turns._waiting) < number:
            pass
    holds.set()
    for thread in threads:
        thread.join()

    assert ran == ["a", "b", "c", "a", "b", "c"]


def test_a_pause_sleeps_while_the_turn_is_held() -> None:
    held = list[bool]()
    turns = Turns(lambda seconds: held.append(turns._is_taken))

    with turns:
        turns.pause(1.0)

    assert held == [True]
    assert not turns._is_taken


def test_a_thread_without_the_turn_does_not_pause() -> None:
    slept = list[float]()
    turns = Turns(slept.append)
    turns.pause(1.0)
    assert not turns._is_taken

    with turns:
        other = threading.Thread(target=turns.pause, args=(1.0,))
        other.start()
        other.join()
        assert turns._is_taken

    assert slept == []
