"""What a plug-in says becomes an answer; what it does wrong loses that answer and nothing else."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
import structlog

from aimanager_server.catalog.model import Capability, Level, Model, Support
from aimanager_server.core.errors import (
    ModelNotFound,
    ProviderInternalError,
    ProviderOverloaded,
    ProviderProtocolError,
    StreamInterrupted,
)
from aimanager_server.core.request import CALLER_KEY_ID, NO_KEY, ApiKey, Call, Caller
from aimanager_server.core.response import ResponseMetadata, ResponseStream, Restarted, TextDelta
from aimanager_server.core.usage import Usage
from aimanager_server.providers.endpoint_factory import lister_of
from tests.support.plugin_calls import call, settled
from tests.support.plugins import HELLO, Pipe, Told, blocking, forever, plugged, raising


@pytest.fixture(autouse=True)
def logged() -> Any:
    with structlog.testing.capture_logs() as entries:
        yield entries


async def test_an_answer_comes_event_by_event_under_the_names_of_the_call() -> None:
    plugin = Told()
    async with plugged(plugin) as provider:
        reply = await provider(call())
        events = [event async for event in reply]
        await settled(lambda: plugin.closed, 1)

    assert events == list(HELLO)
    assert (reply.metadata.provider, reply.metadata.model, reply.metadata.id) == ("told", "one", "call-1")


async def test_it_is_opened_once_and_its_connections_are_closed_at_the_end() -> None:
    plugin, pipe = Told(), Pipe()
    async with plugged(plugin, pipe=pipe) as provider:
        for _ in range(3):
            await (await provider(call())).result()

    assert (plugin.opened, pipe.closed) == (1, True)
    assert "plugin-told" not in {thread.name for thread in threading.enumerate()}


async def test_it_sees_no_key_but_its_own() -> None:
    plugin = Told()
    async with plugged(plugin) as provider:
        await (await provider(call(caller=Caller("ann", "", {"told": "own", "claude": "other"})))).result()

    assert dict(plugin.calls[0].caller.provider_keys) == {"told": "own"}


async def test_its_models_come_with_what_it_says_of_them() -> None:
    async with plugged(Told(listed=["one"])) as provider:
        models = await provider.models()
        await provider.probe()

        assert lister_of("told", provider) is provider
    support = {Capability.STREAMING: Support(Level.NATIVE)}
    assert models == (Model("told", "one", capabilities=support),)


async def test_its_faults_pass_as_they_are() -> None:
    async with plugged(Told(raising(ModelNotFound("There is none.")))) as provider:
        with pytest.raises(ModelNotFound) as caught:
            await provider(call())

    assert (caught.value.message, caught.value.provider, caught.value.model) == ("There is none.", "told", "one")


async def test_an_answer_that_is_put_down_is_closed() -> None:
    plugin = Told(HELLO[0], forever)
    async with plugged(plugin) as provider:
        reply = await provider(call(streaming=True))
        first = await anext(aiter(reply))
        await reply.aclose()
        await settled(lambda: plugin.closed, 1)

    assert first == TextDelta(0, "Hel")


@pytest.mark.parametrize(
    ("step", "why"),
    [
        (raising(ValueError("x")), "ValueError"),
        (raising(ProviderOverloaded("busy")), "busy"),
        ("no event", "'str' among its events"),
        (Restarted(ResponseMetadata("1", "", "", "")), "'Restarted' among its events"),
        (blocking, "blocks"),
    ],
)
async def test_what_goes_wrong_after_the_first_event_interrupts_the_answer(step: Any, why: str) -> None:
    plugin = Told(HELLO[0], step)
    async with plugged(plugin) as provider:
        reply = await provider(call(streaming=True))
        with pytest.raises(StreamInterrupted, match=why) as caught:
            [event async for event in reply]

    assert caught.value.provider == "told"


async def test_usage_so_far_is_kept_and_an_end_too_early_is_told() -> None:
    fault = ProviderOverloaded("busy")
    fault.usage = Usage(5)
    async with plugged(Told(HELLO[0], raising(fault))) as provider:
        with pytest.raises(StreamInterrupted) as busy:
            await (await provider(call())).result()
    async with plugged(Told(HELLO[0])) as provider:
        with pytest.raises(StreamInterrupted, match="without its end"):
            await (await provider(call())).result()

    assert busy.value.usage == Usage(5)


async def test_after_the_first_event_whoever_reads_keeps_the_time() -> None:
    plugin = Told(HELLO[0], forever)
    async with plugged(plugin) as provider:
        reply = await provider(call(streaming=True, seconds=0.1))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await reply.result()
        await settled(lambda: plugin.closed, 1)


class Counting(Told):
    """Says its usage so far in its own way."""

    def __init__(self, spent: Any, *steps: Any) -> None:
        super().__init__(*steps)
        self._spent = spent

    async def answer(self, call: Call) -> ResponseStream:
        reply = await super().answer(call)
        return ResponseStream(reply.metadata, aiter(reply), reply.aclose, self._spent)


async def test_the_usage_so_far_is_the_plug_ins_word() -> None:
    async with plugged(Counting(lambda: Usage(5), HELLO[0], raising(ProviderOverloaded("busy")))) as provider:
        reply = await provider(call(streaming=True))
        begun = reply.usage_so_far()
        with pytest.raises(StreamInterrupted) as caught:
            await reply.result()

    assert (begun, caught.value.usage) == (Usage(5), Usage(5))


@pytest.mark.parametrize("spent", [lambda: 1 / 0, lambda: "much", lambda: None, None])
async def test_a_word_that_is_none_costs_no_answer(spent: Any) -> None:
    async with plugged(Counting(spent)) as provider:
        reply = await provider(call(streaming=True))
        begun = reply.usage_so_far()
        completion = await reply.result()

    assert begun is None
    assert reply.usage_so_far() == completion.finished.usage


async def test_no_key_of_another_provider_reaches_it() -> None:
    plugin = Told()
    async with plugged(plugin) as provider:
        for key in (ApiKey(CALLER_KEY_ID, "own"), ApiKey("1", "of another")):
            asked = call(caller=Caller("ann", "", {"told": "own"}), key=key)
            await (await provider(asked)).result()

    assert [asked.api_key for asked in plugin.calls] == [ApiKey(CALLER_KEY_ID, "own"), NO_KEY]


async def test_nothing_and_no_reply_are_faults() -> None:
    class Mute(Told):
        async def answer(self, call: Call) -> Any:
            return None

    async with plugged(Told(lambda: asyncio.sleep(0))) as provider:
        with pytest.raises(ProviderProtocolError, match="without its end"):
            await provider(call())
    async with plugged(Mute()) as provider:
        with pytest.raises(ProviderProtocolError, match="'NoneType' instead of a ResponseStream"):
            await provider(call())


async def test_a_list_that_never_comes_is_a_fault() -> None:
    class Pensive(Told):
        async def models(self) -> Any:
            await forever()

    async with plugged(Pensive()) as provider:
        with pytest.raises(ProviderProtocolError, match=r"did not list its models within 0\.2 seconds"):
            await provider.models()


async def test_a_list_that_cannot_be_had_is_a_fault() -> None:
    class Silent(Told):
        async def models(self) -> Any:
            raise OSError("canary")

    async with plugged(Silent()) as provider:
        with pytest.raises(ProviderInternalError):
            await provider.probe()
