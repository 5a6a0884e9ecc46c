"""Plug-ins that raise, block, ignore cancellation or cancel themselves fail only their own calls."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest
import structlog

from aimanager_server.core.content import Text
from aimanager_server.core.errors import DeadlineExceeded, ProviderInternalError
from aimanager_server.core.request import Attempt
from aimanager_server.core.stream import ResponseStream
from aimanager_server.resilience.isolated_loop import MAX_LOOPS
from tests.support.event_loop import run_ready_tasks
from tests.support.eventually import eventually
from tests.support.plugins import (
    FINISHED,
    HELLO,
    ScriptedPlugin,
    block_event_loop,
    plugin_attempt,
    plugin_provider,
    raising,
    wait_forever,
    wait_ignoring_cancellation,
)


@pytest.fixture(autouse=True)
def logged() -> Any:
    with structlog.testing.capture_logs() as entries:
        yield entries


@pytest.mark.parametrize("error", [ValueError("canary"), SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
async def test_any_other_exception_is_an_internal_error_of_the_provider(error: BaseException, logged: Any) -> None:
    async with plugin_provider(ScriptedPlugin(raising(error))) as provider:
        with pytest.raises(ProviderInternalError, match=type(error).__name__) as caught:
            await provider(plugin_attempt())

    assert "canary" not in caught.value.message
    assert [entry["event"] for entry in logged] == ["plugin.failed"]


async def test_a_background_task_that_stops_the_event_loop_fails_only_its_calls() -> None:
    async def start_exiting_task() -> None:
        async def leave() -> None:
            raise SystemExit(3)

        asyncio.ensure_future(leave())  # noqa: RUF006  # the fault under test
        await wait_forever()

    plugin = ScriptedPlugin(start_exiting_task)
    async with plugin_provider(plugin) as provider:
        with pytest.raises(ProviderInternalError, match=r"blocked|stopped|cancelled its own call"):
            await provider(plugin_attempt())
        plugin.steps = HELLO
        result = await (await provider(plugin_attempt())).result()

    assert result.message.parts == (Text("Hello"),)


async def test_a_blocked_event_loop_is_replaced_for_the_next_call(logged: Any) -> None:
    plugin = ScriptedPlugin(block_event_loop)
    async with plugin_provider(plugin) as provider:
        with pytest.raises(ProviderInternalError, match="blocked its event loop"):
            await provider(plugin_attempt())
        plugin.steps = HELLO
        result = await (await provider(plugin_attempt())).result()

    assert result.message.parts == (Text("Hello"),)
    assert plugin.opened == 2
    assert "plugin.blocked" in [entry["event"] for entry in logged]


async def test_a_blocking_plugin_does_not_block_the_server() -> None:
    async with plugin_provider(ScriptedPlugin(block_event_loop)) as provider:
        blocked = asyncio.ensure_future(provider(plugin_attempt()))
        turns = 0
        while not blocked.done():
            await asyncio.sleep(0.01)
            turns += 1
        with pytest.raises(ProviderInternalError):
            await blocked

    assert turns > 5


async def test_a_plugin_that_keeps_blocking_is_disabled() -> None:
    async with plugin_provider(ScriptedPlugin(block_event_loop), response_timeout=0.01) as provider:
        for _ in range(MAX_LOOPS):
            with pytest.raises(ProviderInternalError, match="blocked its event loop"):
                await provider(plugin_attempt())
        with pytest.raises(ProviderInternalError, match="is disabled"):
            await provider(plugin_attempt())


@pytest.mark.parametrize("wait", [wait_forever, wait_ignoring_cancellation])
async def test_an_unresponsive_plugin_is_limited_by_the_deadline(wait: Any) -> None:
    async with plugin_provider(ScriptedPlugin(wait)) as provider:
        with pytest.raises(DeadlineExceeded):
            await provider(plugin_attempt(seconds=0.02))


@pytest.mark.parametrize("wait", [wait_forever, wait_ignoring_cancellation])
async def test_cancelling_a_call_does_not_wait_for_the_plugin(wait: Any) -> None:
    plugin = ScriptedPlugin(wait)
    async with plugin_provider(plugin) as provider:
        task = asyncio.ensure_future(provider(plugin_attempt()))
        await eventually(lambda: len(plugin.attempts), 1)
        task.cancel()
        await run_ready_tasks()
        assert task.cancelled()
        await eventually(lambda: plugin.closed, 1)


async def test_a_stream_that_a_plugin_returns_to_a_cancelled_call_is_closed() -> None:
    class Late(ScriptedPlugin):
        async def generate(self, attempt: Attempt[Any]) -> ResponseStream:
            stream = await super().generate(attempt)
            with contextlib.suppress(asyncio.CancelledError):
                await wait_forever()
            return stream

    plugin = Late()
    async with plugin_provider(plugin) as provider:
        task = asyncio.ensure_future(provider(plugin_attempt()))
        await eventually(lambda: len(plugin.attempts), 1)
        task.cancel()
        await eventually(lambda: plugin.closed, 1)


async def test_a_plugin_that_cancels_itself_has_failed() -> None:
    async with plugin_provider(ScriptedPlugin(raising(asyncio.CancelledError()))) as provider:
        with pytest.raises(ProviderInternalError, match="cancelled its own call"):
            await provider(plugin_attempt())


async def test_a_closed_plugin_is_not_called() -> None:
    async with plugin_provider(ScriptedPlugin(FINISHED)) as provider:
        await (await provider(plugin_attempt())).result()
        await provider.aclose()
        with pytest.raises(ProviderInternalError, match="is closed"):
            await provider(plugin_attempt())
