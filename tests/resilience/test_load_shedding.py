"""Lag of the event loop."""

from __future__ import annotations

import asyncio

import pytest

from aimanager_server.resilience.load_shedding import EventLoopLagMonitor
from tests.support.clock import FakeClock
from tests.support.event_loop import in_virtual_time


def test_monitor_that_is_not_started_reports_no_lag() -> None:
    monitor = EventLoopLagMonitor(FakeClock(), max_lag_seconds=0.5)

    assert (monitor.lag_seconds(), monitor.is_overloaded()) == (0.0, False)


async def test_lag_grows_while_the_loop_is_blocked() -> None:
    clock = FakeClock()
    monitor = EventLoopLagMonitor(clock, max_lag_seconds=0.5, interval_seconds=0.1)
    monitor.start()

    clock.advance(0.55)
    below = (monitor.lag_seconds(), monitor.is_overloaded())
    clock.advance(0.1)
    above = (monitor.lag_seconds(), monitor.is_overloaded())
    monitor.stop()

    assert below == (pytest.approx(0.45), False)
    assert above == (pytest.approx(0.55), True)
    assert monitor.lag_seconds() == 0.0


@in_virtual_time
async def test_lag_is_reported_for_one_more_interval() -> None:
    clock = FakeClock()
    monitor = EventLoopLagMonitor(clock, max_lag_seconds=0.3, interval_seconds=0.1)
    monitor.start()

    clock.advance(0.5)
    await asyncio.sleep(0.15)
    first_interval = monitor.is_overloaded()
    await asyncio.sleep(0.1)
    second_interval = monitor.is_overloaded()
    monitor.stop()

    assert (first_interval, second_interval) == (True, False)
