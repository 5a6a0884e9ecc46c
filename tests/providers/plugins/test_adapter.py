"""Responses of plug-ins, and errors that fail a single call."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from typing import Any

import httpx
import pytest
import structlog

from aimanager_server.catalog.model import Capability, Model, Support, SupportLevel
from aimanager_server.core.content import Message, Role
from aimanager_server.core.errors import (
    ModelNotFound,
    ProviderInternalError,
    ProviderOverloaded,
    ProviderProtocolError,
    ProviderUnreachable,
    StreamInterrupted,
)
from aimanager_server.core.request import CALLER_KEY_ID, NO_KEY, ApiKey, Attempt, Caller, Repair
from aimanager_server.core.response import ResponseMetadata, Restarted, TextDelta
from aimanager_server.core.stream import ResponseStream
from aimanager_server.core.usage import Usage
from aimanager_server.providers.factory import model_lister_for
from aimanager_server.providers.plugins.api import Transport
from tests.support.eventually import eventually
from tests.support.http_servers.raw import SocketFault, http_response, raw_server
from tests.support.http_transport import http_transport
from tests.support.plugins import (
    HELLO,
    BatchPlugin,
    RecordingTransport,
    ScriptedPlugin,
    block_event_loop,
    plugin_attempt,
    plugin_provider,
    raising,
    wait_forever,
)


@pytest.fixture(autouse=True)
def logged() -> Any:
    with structlog.testing.capture_logs() as entries:
        yield entries


async def test_a_response_has_the_events_of_the_plugin_and_the_metadata_of_the_call() -> None:
    plugin = ScriptedPlugin()
    async with plugin_provider(plugin) as provider:
        stream = await provider(plugin_attempt())
        events = [event async for event in stream]
        await eventually(lambda: plugin.closed, 1)

    assert events == list(HELLO)
    assert (stream.metadata.provider, stream.metadata.model, stream.metadata.id) == ("scripted", "one", "call-1")


async def test_a_batch_of_the_plugin_is_read_as_one() -> None:
    async with plugin_provider(BatchPlugin()) as provider:
        stream = await provider(plugin_attempt())
        buffered = list(stream.buffered)
        batches = [await stream.read(), await stream.read()]

    assert buffered == batches[0] == list(HELLO)
    assert batches[1] == []


async def test_an_event_after_the_completion_event_is_an_error() -> None:
    async with plugin_provider(BatchPlugin(*HELLO, *HELLO)) as provider:
        with pytest.raises(ProviderProtocolError, match="after the completion event"):
            await provider(plugin_attempt())


async def test_a_plugin_is_opened_once_and_its_connections_closed_at_the_end() -> None:
    plugin, transport = ScriptedPlugin(), RecordingTransport()
    async with plugin_provider(plugin, transport=transport) as provider:
        for _ in range(3):
            await (await provider(plugin_attempt())).result()

    assert (plugin.opened, transport.closed) == (1, True)
    assert "plugin-scripted" not in {thread.name for thread in threading.enumerate()}


async def test_a_plugin_receives_only_the_callers_key_for_itself() -> None:
    plugin = ScriptedPlugin()
    caller = Caller("ann", "", {"scripted": "own", "claude": "other"})
    async with plugin_provider(plugin) as provider:
        await (await provider(plugin_attempt(caller=caller))).result()

    assert dict(plugin.attempts[0].caller.provider_keys) == {"scripted": "own"}


async def test_a_plugin_receives_no_api_key_of_another_provider() -> None:
    plugin = ScriptedPlugin()
    caller = Caller("ann", "", {"scripted": "own"})
    async with plugin_provider(plugin) as provider:
        for key in (ApiKey(CALLER_KEY_ID, "own"), ApiKey("1", "of another provider")):
            await (await provider(plugin_attempt(caller=caller, api_key=key))).result()

    assert [attempt.api_key for attempt in plugin.attempts] == [ApiKey(CALLER_KEY_ID, "own"), NO_KEY]


async def test_a_plugin_receives_no_other_attempt_of_the_call() -> None:
    plugin = ScriptedPlugin()
    other = plugin_attempt(caller=Caller("ann", "", {"claude": "other"}))
    repair = Repair(other, Message(Role.ASSISTANT, ()), (), Usage(), None)
    async with plugin_provider(plugin) as provider:
        await (await provider(replace(plugin_attempt(), forms=(other,), sent=other, repair=repair))).result()

    (attempt,) = plugin.attempts
    assert (attempt.forms, attempt.sent, attempt.repair) == ((), None, None)


async def test_models_are_listed_with_their_capabilities() -> None:
    async with plugin_provider(ScriptedPlugin(model_ids=["one"])) as provider:
        models = await provider.models()
        await provider.probe()

        assert model_lister_for("scripted", provider) is provider
    support = {Capability.STREAMING: Support(SupportLevel.NATIVE)}
    assert models == (Model("scripted", "one", capabilities=support),)


async def test_gateway_errors_of_a_plugin_are_raised_unchanged() -> None:
    async with plugin_provider(ScriptedPlugin(raising(ModelNotFound("Model not found.")))) as provider:
        with pytest.raises(ModelNotFound) as caught:
            await provider(plugin_attempt())

    error = caught.value
    assert (error.message, error.provider, error.model) == ("Model not found.", "scripted", "one")


async def test_closing_a_stream_closes_that_of_the_plugin() -> None:
    plugin = ScriptedPlugin(HELLO[0], wait_forever)
    async with plugin_provider(plugin) as provider:
        stream = await provider(plugin_attempt(streaming=True))
        first = await anext(aiter(stream))
        await stream.aclose()
        await eventually(lambda: plugin.closed, 1)

    assert first == TextDelta(0, "Hel")


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (raising(ValueError("x")), "ValueError"),
        (raising(ProviderOverloaded("busy")), "busy"),
        ("not an event", "Invalid event from the plug-in: 'str'"),
        (Restarted(ResponseMetadata("1", "", "", "")), "Invalid event from the plug-in: 'Restarted'"),
        (block_event_loop, "blocked its event loop"),
    ],
)
async def test_a_failure_after_the_first_event_interrupts_the_stream(step: Any, message: str) -> None:
    async with plugin_provider(ScriptedPlugin(HELLO[0], step)) as provider:
        stream = await provider(plugin_attempt(streaming=True))
        with pytest.raises(StreamInterrupted, match=message) as caught:
            [event async for event in stream]

    assert caught.value.provider == "scripted"


async def test_an_interruption_keeps_the_usage_of_the_error() -> None:
    error = ProviderOverloaded("busy", usage=Usage(5))
    async with plugin_provider(ScriptedPlugin(HELLO[0], raising(error))) as provider:
        with pytest.raises(StreamInterrupted) as caught:
            await (await provider(plugin_attempt())).result()

    assert caught.value.usage == Usage(5)


async def test_a_stream_without_a_completion_event_is_interrupted() -> None:
    async with plugin_provider(ScriptedPlugin(HELLO[0])) as provider:
        with pytest.raises(StreamInterrupted, match="without a completion event"):
            await (await provider(plugin_attempt())).result()


async def test_the_consumer_enforces_timeouts_after_the_first_event() -> None:
    plugin = ScriptedPlugin(HELLO[0], wait_forever)
    async with plugin_provider(plugin) as provider:
        stream = await provider(plugin_attempt(streaming=True, seconds=0.3))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await stream.result()
        await eventually(lambda: plugin.closed, 1)


class UsageReportingPlugin(ScriptedPlugin):
    """A plug-in with its own `usage_so_far`."""

    def __init__(self, usage_so_far: Any, *steps: Any) -> None:
        super().__init__(*steps)
        self._usage_so_far = usage_so_far

    async def generate(self, attempt: Attempt[Any]) -> ResponseStream:
        stream = await super().generate(attempt)
        return ResponseStream.from_iterator(stream.metadata, aiter(stream), stream.aclose, self._usage_so_far)


async def test_the_usage_so_far_is_read_from_the_plugin() -> None:
    plugin = UsageReportingPlugin(lambda: Usage(5), HELLO[0], raising(ProviderOverloaded("busy")))
    async with plugin_provider(plugin) as provider:
        stream = await provider(plugin_attempt(streaming=True))
        usage = stream.usage_so_far()
        with pytest.raises(StreamInterrupted) as caught:
            await stream.result()

    assert (usage, caught.value.usage) == (Usage(5), Usage(5))


@pytest.mark.parametrize("usage_so_far", [lambda: 1 / 0, lambda: "much", lambda: None, None])
async def test_an_invalid_usage_report_does_not_fail_the_response(usage_so_far: Any) -> None:
    async with plugin_provider(UsageReportingPlugin(usage_so_far)) as provider:
        stream = await provider(plugin_attempt(streaming=True))
        usage = stream.usage_so_far()
        result = await stream.result()

    assert usage is None
    assert stream.usage_so_far() == result.finished.usage


async def test_an_empty_stream_is_an_error() -> None:
    async with plugin_provider(ScriptedPlugin(lambda: asyncio.sleep(0))) as provider:
        with pytest.raises(ProviderProtocolError, match="without a completion event"):
            await provider(plugin_attempt())


async def test_a_handler_must_return_a_response_stream() -> None:
    class ReturningNone(ScriptedPlugin):
        async def generate(self, attempt: Attempt[Any]) -> Any:
            return None

    async with plugin_provider(ReturningNone()) as provider:
        with pytest.raises(ProviderProtocolError, match="must return a ResponseStream, got 'NoneType'"):
            await provider(plugin_attempt())


async def test_listing_models_times_out() -> None:
    class Unresponsive(ScriptedPlugin):
        async def models(self) -> Any:
            await wait_forever()

    async with plugin_provider(Unresponsive()) as provider:
        with pytest.raises(ProviderProtocolError, match=r"did not list its models within 0\.5 s"):
            await provider.models()


async def test_an_exception_while_listing_models_is_an_internal_error() -> None:
    class Failing(ScriptedPlugin):
        async def models(self) -> Any:
            raise OSError("canary")

    async with plugin_provider(Failing()) as provider:
        with pytest.raises(ProviderInternalError):
            await provider.probe()


class ForwardingPlugin(ScriptedPlugin):
    """A plug-in that sends a request over its transport and lets httpx's exceptions out."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url

    def open(self, settings: Any, transport: Transport, clock: Any) -> Any:
        self._client = httpx.AsyncClient(transport=transport)
        return self.generate

    async def generate(self, attempt: Attempt[Any]) -> Any:
        await self._client.get(self._url)
        return await super().generate(attempt)


async def test_a_failed_connection_of_a_plugin_is_the_error_of_any_provider() -> None:
    for fault, message in ((SocketFault.RESET, "was reset"), (SocketFault.CLOSE, "without sending a response")):
        async with (
            raw_server((fault,)) as server,
            plugin_provider(ForwardingPlugin(server.url), transport=http_transport()) as provider,
        ):
            with pytest.raises(ProviderUnreachable if "reset" in message else ProviderProtocolError) as caught:
                await provider(plugin_attempt())

        assert message in caught.value.message
        assert caught.value.provider == "scripted"


async def test_requests_of_a_plugin_list_the_gateways_that_the_call_has_passed() -> None:
    async with (
        raw_server((http_response(b"{}"),)) as server,
        plugin_provider(ForwardingPlugin(server.url), transport=http_transport()) as provider,
    ):
        await (await provider(plugin_attempt(hops="g1,g2"))).result()

    assert b"\r\nx-aimanager-hops: g1,g2\r\n" in server.requests[0].lower()
