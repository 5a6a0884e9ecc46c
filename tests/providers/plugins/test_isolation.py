"""Plug-ins that raise, block, cling and cancel: each loses its own call, and the process lives."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import structlog

from aimanager_server.core.content import Text
from aimanager_server.core.errors import DeadlineExceeded, ProviderInternalError
from aimanager_server.providers.plugins.isolation import MOST_LOOPS
from tests.support.plugin_calls import call, settled
from tests.support.plugins import FINISHED, HELLO, Told, blocking, forever, plugged, raising, stubbornly


@pytest.fixture(autouse=True)
def logged() -> Any:
    with structlog.testing.capture_logs() as entries:
        yield entries


@pytest.mark.parametrize("error", [ValueError("canary"), SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
async def test_whatever_else_it_raises_is_a_fault_of_the_provider(error: BaseException, logged: Any) -> None:
    async with plugged(Told(raising(error))) as provider:
        with pytest.raises(ProviderInternalError, match=type(error).__name__) as caught:
            await provider(call())

    assert "canary" not in caught.value.message
    assert [entry["event"] for entry in logged] == ["plugin.failed"]


async def test_a_task_of_its_own_that_ends_the_loop_loses_no_more_than_its_calls() -> None:
    async def plant() -> None:
        async def leave() -> None:
            raise SystemExit(3)

        asyncio.ensure_future(leave())  # noqa: RUF006  # that is the misdeed
        await forever()

    plugin = Told(plant)
    async with plugged(plugin) as provider:
        with pytest.raises(ProviderInternalError, match=r"blocks|ended|gave the call up"):
            await provider(call())
        plugin.steps = HELLO
        completion = await (await provider(call())).result()

    assert completion.message.parts == (Text("Hello"),)


async def test_one_that_blocks_loses_its_call_and_the_next_is_answered(logged: Any) -> None:
    plugin = Told(blocking)
    async with plugged(plugin) as provider:
        with pytest.raises(ProviderInternalError, match="blocks"):
            await provider(call())
        plugin.steps = HELLO
        completion = await (await provider(call())).result()

    assert completion.message.parts == (Text("Hello"),)
    assert plugin.opened == 2
    assert "plugin.blocked" in [entry["event"] for entry in logged]


async def test_while_one_blocks_the_process_goes_on() -> None:
    async with plugged(Told(blocking), pulse=0.2) as provider:
        blocked = asyncio.ensure_future(provider(call()))
        turns = 0
        while not blocked.done():
            await asyncio.sleep(0.01)
            turns += 1
        with pytest.raises(ProviderInternalError):
            await blocked

    assert turns > 10


async def test_one_that_always_blocks_is_given_up() -> None:
    async with plugged(Told(blocking), pulse=0.01) as provider:
        for _ in range(MOST_LOOPS):
            with pytest.raises(ProviderInternalError, match="blocks"):
                await provider(call())
        with pytest.raises(ProviderInternalError, match="is not run any more"):
            await provider(call())


@pytest.mark.parametrize("waiting", [forever, stubbornly])
async def test_one_that_says_nothing_is_bounded_by_the_deadline(waiting: Any) -> None:
    async with plugged(Told(waiting)) as provider:
        with pytest.raises(DeadlineExceeded):
            await provider(call(seconds=0.1))


@pytest.mark.parametrize("waiting", [forever, stubbornly])
async def test_a_cancelled_call_waits_for_nothing(waiting: Any) -> None:
    plugin = Told(waiting)
    async with plugged(plugin) as provider:
        task = asyncio.ensure_future(provider(call()))
        await settled(lambda: len(plugin.calls), 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 0.1)
        await settled(lambda: plugin.closed, 1)


async def test_one_that_cancels_itself_has_failed() -> None:
    async with plugged(Told(raising(asyncio.CancelledError()))) as provider:
        with pytest.raises(ProviderInternalError, match="gave the call up by itself"):
            await provider(call())


async def test_a_closed_one_is_not_run() -> None:
    async with plugged(Told(FINISHED)) as provider:
        await (await provider(call())).result()
        await provider.aclose()
        with pytest.raises(ProviderInternalError, match="is closed"):
            await provider(call())
