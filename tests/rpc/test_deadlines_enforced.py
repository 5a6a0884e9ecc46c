"""How long a unary call may take, and what it is told when that has passed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from aimanager_server.core.errors import DeadlineExceeded
from aimanager_server.rpc.context import Rpc
from aimanager_server.rpc.deadlines import allowance


class Context:
    """A call whose caller waits for so many seconds."""

    def __init__(self, remaining: float | None) -> None:
        self._remaining = remaining

    def invocation_metadata(self) -> tuple[Any, ...]:
        return ()

    def time_remaining(self) -> float | None:
        return self._remaining


def rpc(remaining: float | None) -> Rpc:
    return Rpc("a/B", Context(remaining))


@pytest.mark.parametrize(
    ("remaining", "longest", "deadline"), [(None, 100.0, 1099.5), (10.0, 100.0, 1009.5), (200.0, 2.0, 1001.8)]
)
async def test_the_shorter_time_counts_and_a_little_is_kept_for_the_way_back(
    remaining: float | None, longest: float, deadline: float
) -> None:
    async with allowance(rpc(remaining), longest, lambda: 1000.0) as found:
        assert found == pytest.approx(deadline)


async def test_what_takes_longer_is_ended() -> None:
    with pytest.raises(DeadlineExceeded, match=r"was not done within 0.01 seconds"):
        async with allowance(rpc(None), 0.01, lambda: 0.0):
            await asyncio.Event().wait()


async def test_a_timeout_of_something_else_stays_one() -> None:
    with pytest.raises(TimeoutError):
        async with allowance(rpc(None), 5.0, lambda: 0.0):
            raise TimeoutError
