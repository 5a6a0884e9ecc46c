"""Equal calls at the same time, on a real gateway with a provider that misbehaves: one request, whatever callers do."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from aimanager.v1.conversation_pb2 import CreateConversationRequest, ListMessagesRequest
from aimanager.v1.conversation_pb2_grpc import ConversationServiceStub
from aimanager.v1.generation_pb2 import (
    CACHE_MODE_USE,
    INTERRUPTION_POLICY_RESTART,
    CachePolicy,
    Execution,
    GenerateRequest,
    GenerateResponse,
    OutputFormat,
    StreamGenerateRequest,
)
from aimanager.v1.generation_pb2_grpc import GenerationServiceStub
from aimanager.v1.usage_pb2 import CACHE_STATUS_COALESCED, CACHE_STATUS_MISS
from aimanager_server.app import App
from aimanager_server.lifecycle import running_app
from aimanager_server.resilience.event_log import MAX_LOG_BYTES
from tests.integration.faults.fault_catalog import fails, interrupts, responds, stalls, streams
from tests.integration.faults.gateway import FAST_RETRY, LONG_TIMEOUTS, generate_request
from tests.integration.faults.socket_faults import served_upstreams
from tests.integration.faults.upstream import Flood, Pause, Responder, Step, Upstream
from tests.integration.faults.wires import TEXT, chat_event, chunk
from tests.support.eventually import eventually
from tests.support.gateway import settings_with
from tests.support.http_servers.raw import SocketFault
from tests.support.metrics import sample_value
from tests.support.rpc_errors import RpcFailure
from tests.support.tokens import bearer, callers

STREAMS = 200
ANY_SIZE = (("grpc.max_receive_message_length", -1),)
PRICED = {"first/m": {"prices": {"input": "1", "output": "2"}}}
LARGE_WORD = "x" * 60_000
UNREAD_WORDS = 300
"""Of 60 kB: more than a log and the buffers of a connection hold together."""


class Calls:
    """A gateway in front of one provider, and its callers."""

    def __init__(self, app: App, channel: grpc.aio.Channel, upstream: Upstream) -> None:
        self.app = app
        self.upstream = upstream
        self.stub: Any = GenerationServiceStub(channel)
        self.metadata: tuple[tuple[str, str], ...] = ()
        self.conversations: Any = ConversationServiceStub(channel)

    def stream(
        self,
        timeout: float = 30.0,
        *,
        restart: bool = False,
        heartbeat_interval: Duration | None = None,
        **fields: Any,
    ) -> Any:
        """Start a stream."""
        request = StreamGenerateRequest(request=self._request(**fields), heartbeat_interval=heartbeat_interval)
        if restart:
            request.on_interruption = INTERRUPTION_POLICY_RESTART
        return self.stub.StreamGenerate(request, timeout=timeout, metadata=self.metadata)

    def unary(self, timeout: float = 30.0, **fields: Any) -> Any:
        """Start a unary call."""
        return self.stub.Generate(self._request(**fields), timeout=timeout, metadata=self.metadata)

    def _request(self, **fields: Any) -> GenerateRequest:
        return generate_request("first/m", cache_policy=CachePolicy(mode=CACHE_MODE_USE), **fields)

    def value(self, name: str, **labels: str) -> float:
        """Return a sample of the gateway's metrics."""
        return sample_value(self.app.state.metrics.registry, name, **labels)

    async def sharing(self, callers: int) -> None:
        """Wait until so many callers share a response."""
        await eventually(lambda: self.app.state.coalescer.entries, callers)

    async def assert_nothing_left(self) -> None:
        """Wait until no call, permit or byte is left."""
        state = self.app.state
        await eventually(lambda: state.telemetry.in_flight, 0)
        await eventually(lambda: self.value("aimanager_state_entries", store="coalesced_requests"), 0)
        await eventually(lambda: self.value("aimanager_state_bytes", store="coalesced_requests"), 0)
        await eventually(lambda: self.value("aimanager_state_entries", store="connections"), 0)
        await eventually(lambda: state.admission.in_flight, 0)
        assert not [task for task in asyncio.all_tasks() if "SharedCall" in repr(task)]


@asynccontextmanager
async def calls_to(upstream: Upstream, **sections: Any) -> AsyncIterator[Calls]:
    upstream.name = "first"
    async with served(upstream):
        settings = settings_with(
            providers={"first": upstream.provider_settings}, stream_timeouts=LONG_TIMEOUTS, retry=FAST_RETRY, **sections
        )
        async with (
            running_app(settings) as app,
            grpc.aio.insecure_channel(f"127.0.0.1:{app.server.port}", ANY_SIZE) as channel,
        ):
            yield Calls(app, channel, upstream)


@asynccontextmanager
async def served(upstream: Upstream) -> AsyncIterator[None]:
    """Serve an upstream, whose loop can only be closed in a thread without one."""
    serving = served_upstreams(upstream)
    await asyncio.to_thread(serving.__enter__)
    try:
        yield
    finally:
        await asyncio.to_thread(serving.__exit__, None, None, None)


async def completed(stream: Any) -> GenerateResponse:
    """Read a stream to its end."""
    last = [message async for message in stream][-1]
    response: GenerateResponse = last.completed
    return response


async def failure(stream: Any) -> RpcFailure:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await completed(stream)
    return RpcFailure(raised.value)


def after(gate: threading.Event, responder: Responder) -> Responder:
    """Respond once the gate is open."""
    return lambda request: (Pause(gate), *responder(request))


def pauses(gate: threading.Event, after_words: int, *fault: Step) -> Responder:
    """Send some words of a stream, and once the gate is open the rest, or the fault."""
    return streams(
        lambda events: (
            *events.opening, *events.words[:after_words], Pause(gate),
            *(fault or (*events.words[after_words:], *events.ending)),
        )
    )  # fmt: skip


def waits(gate: threading.Event, phase: str) -> Responder:
    """Respond completely, but wait in a phase until the gate is open."""
    return after(gate, responds()) if phase == "first content" else pauses(gate, 1)


def text_of(response: GenerateResponse) -> str:
    return response.message.parts[0].text


async def test_equal_streams_make_one_request_which_is_paid_once() -> None:
    gate = threading.Event()
    async with calls_to(Upstream(after(gate, responds())), models=PRICED) as calls:
        started = [asyncio.create_task(completed(calls.stream())) for _ in range(STREAMS)]
        await calls.sharing(STREAMS)
        gate.set()
        responses = await asyncio.gather(*started)
        tokens = calls.value("aimanager_tokens_total", provider="first", model="m", type="output")
        await calls.assert_nothing_left()

    statuses = [response.cache_status for response in responses]
    paid = [response for response in responses if response.cache_status == CACHE_STATUS_MISS]
    shared = [response for response in responses if response.cache_status == CACHE_STATUS_COALESCED]
    assert len(calls.upstream.requests) == len(paid) == 1
    assert len(shared) == STREAMS - 1 == len(statuses) - 1
    assert {text_of(response) for response in responses} == {TEXT}
    assert len({response.id for response in responses}) == STREAMS
    assert tokens == paid[0].usage.output_tokens > 0
    assert {response.usage.output_tokens for response in shared} == {0}
    cost = paid[0].cost.input_nanos + paid[0].cost.output_nanos
    assert cost > 0
    assert {response.cost.input_nanos + response.cost.output_nanos for response in shared} == {0}
    saved = [response.execution.saved_cost for response in shared]
    assert {one.input_nanos + one.output_nanos for one in saved} == {cost}
    assert {len(response.execution.attempts) for response in shared} == {0}


async def test_equal_unary_calls_share_a_repair_of_their_json() -> None:
    gate = threading.Event()
    upstream = Upstream(after(gate, responds(["not json"])), responds(['{"city": "Paris"}']))
    schema = OutputFormat()
    schema.json_schema.schema_json = '{"type": "object", "required": ["city"]}'
    async with calls_to(upstream) as calls:
        started = [calls.unary(output_format=schema) for _ in range(20)]
        await calls.sharing(20)
        gate.set()
        responses = await asyncio.gather(*started)
        await calls.assert_nothing_left()

    assert len(upstream.requests) == 2
    assert {response.structured_output_json for response in responses} == {'{"city": "Paris"}'}
    assert sorted(len(response.execution.attempts) for response in responses) == [*[0] * 19, 2]


async def test_only_the_generated_response_counts_against_the_quota_and_owners_share_nothing() -> None:
    gate = threading.Event()
    upstream = Upstream(after(gate, responds()))
    for_one = {"tiers": {"free": {"tokens_per_minute": 100}}, "callers": callers("ann", "bob", tier="free")}
    async with calls_to(upstream, **for_one) as calls:
        started = []
        for caller in ("ann", "bob"):
            calls.metadata = bearer(caller)
            started += [calls.unary() for _ in range(10)]
        await calls.sharing(20)
        gate.set()
        statuses = [response.cache_status for response in await asyncio.gather(*started)]
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await calls.unary(text="word " * 60)
        await calls.assert_nothing_left()

    assert sorted(statuses) == [CACHE_STATUS_MISS] * 2 + [CACHE_STATUS_COALESCED] * 18
    assert len(upstream.requests) == 2
    assert RpcFailure(raised.value).reason == "RATE_LIMITED"


@pytest.mark.parametrize("phase", ["first content", "mid-stream"])
async def test_cancelled_first_caller_does_not_stop_the_others(phase: str) -> None:
    gate = threading.Event()
    upstream = Upstream(waits(gate, phase))
    async with calls_to(upstream) as calls:
        first = calls.stream()
        await calls.sharing(1)
        others = [asyncio.create_task(completed(calls.stream())) for _ in range(10)]
        await calls.sharing(11)
        if phase == "mid-stream":
            async for message in first:
                if message.delta.text:
                    break
        first.cancel()
        await calls.sharing(10)
        gate.set()
        responses = await asyncio.gather(*others)
        await calls.assert_nothing_left()

    assert {text_of(response) for response in responses} == {TEXT}
    assert {response.cache_status for response in responses} == {CACHE_STATUS_COALESCED}
    assert len(upstream.requests) == 1


@pytest.mark.parametrize(
    "responder", [stalls(), interrupts(20, SocketFault.STALL)], ids=["first content", "mid-stream"]
)
async def test_upstream_is_closed_once_all_callers_are_cancelled(responder: Responder) -> None:
    upstream = Upstream(responder)
    async with calls_to(upstream) as calls:
        streams_ = [calls.stream() for _ in range(20)]
        readers = [asyncio.create_task(failure(stream)) for stream in streams_]
        await calls.sharing(20)
        assert upstream.open_connections == 1
        for stream in streams_:
            stream.cancel()
        await asyncio.gather(*readers, return_exceptions=True)
        await eventually(lambda: upstream.open_connections, 0)
        await calls.assert_nothing_left()

    assert len(upstream.requests) == 1


@pytest.mark.parametrize("phase", ["first content", "mid-stream"])
async def test_deadline_of_the_first_caller_does_not_stop_the_others(phase: str) -> None:
    gate = threading.Event()
    upstream = Upstream(waits(gate, phase))
    async with calls_to(upstream) as calls:
        first = asyncio.create_task(failure(calls.stream(timeout=2.0)))
        await calls.sharing(1)
        other = asyncio.create_task(completed(calls.stream()))
        failed = await first
        gate.set()
        response = await other
        await calls.assert_nothing_left()

    assert failed.code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert text_of(response) == TEXT
    assert len(upstream.requests) == 1


@pytest.mark.parametrize(
    ("responder", "code", "requests"),
    [
        (interrupts(20), grpc.StatusCode.ABORTED, 1),
        (fails(503), grpc.StatusCode.UNAVAILABLE, 3),
        (fails(400), grpc.StatusCode.INVALID_ARGUMENT, 1),
    ],
    ids=["cut", "unavailable", "rejected"],
)
async def test_failure_reaches_all_callers_and_none_repeats_the_request(
    responder: Responder, code: grpc.StatusCode, requests: int
) -> None:
    gate = threading.Event()
    async with calls_to(Upstream(after(gate, responder))) as calls:
        started = [asyncio.create_task(failure(calls.stream())) for _ in range(50)]
        await calls.sharing(50)
        gate.set()
        failures = await asyncio.gather(*started)
        await calls.assert_nothing_left()

    executions = [one.detail(Execution) for one in failures]
    assert {one.code for one in failures} == {code}
    assert len(calls.upstream.requests) == requests
    assert sorted(len(one.attempts) if one else 0 for one in executions) == [*[0] * 49, requests]


async def test_restarted_stream_restarts_for_all_callers() -> None:
    gate = threading.Event()
    upstream = Upstream(pauses(gate, 20, SocketFault.CLOSE), responds())
    async with calls_to(upstream) as calls:
        started = [asyncio.create_task(_messages(calls.stream(restart=True))) for _ in range(10)]
        await calls.sharing(10)
        gate.set()
        messages = await asyncio.gather(*started)
        await calls.assert_nothing_left()

    assert len(upstream.requests) == 2
    for events in messages:
        assert sum(event.HasField("restarted") for event in events) == 1
        assert text_of(events[-1].completed) == TEXT


async def _messages(stream: Any) -> list[Any]:
    return [message async for message in stream]


async def test_caller_that_never_reads_delays_nobody_and_its_memory_is_bounded() -> None:
    large = chunk(chat_event({"content": LARGE_WORD}))
    gate = threading.Event()
    large_stream = streams(lambda events: (*events.opening, Flood(large, UNREAD_WORDS), *events.ending))
    upstream = Upstream(after(gate, large_stream))
    async with calls_to(upstream) as calls:
        asleep = calls.stream(timeout=120.0)
        await calls.sharing(1)
        awake = calls.stream(timeout=120.0)
        await calls.sharing(2)
        gate.set()
        held, received = 0.0, 0
        async for message in awake:
            received += len(message.delta.text)
            held = max(held, calls.app.state.coalescer.size)
        failed = await failure(asleep)
        await calls.assert_nothing_left()

    assert received == UNREAD_WORDS * len(LARGE_WORD)
    assert held < MAX_LOG_BYTES + received + 2**21  # one event beyond the bound is the complete text
    assert failed.reason == "STREAM_INTERRUPTED"
    assert len(upstream.requests) == 1


async def test_each_caller_adds_its_own_turn() -> None:
    gate = threading.Event()
    upstream = Upstream(after(gate, responds(["```python\nprint(1)\n```"])))
    async with calls_to(upstream) as calls:
        created = await asyncio.gather(
            *(calls.conversations.CreateConversation(CreateConversationRequest()) for _ in range(5))
        )
        ids = [one.conversation.id for one in created]
        started = [calls.unary(conversation_id=each, extract_artifacts=True) for each in ids]
        await calls.sharing(5)
        gate.set()
        responses = await asyncio.gather(*started)
        pages = await asyncio.gather(
            *(calls.conversations.ListMessages(ListMessagesRequest(conversation_id=each)) for each in ids)
        )
        await calls.assert_nothing_left()

    assert len(upstream.requests) == 1
    assert [response.conversation_id for response in responses] == ids
    assert [len(response.artifacts) for response in responses] == [1] * 5
    assert [[text.parts[0].text for text in page.turns[0].messages] for page in pages] == [
        ["Hi", "```python\nprint(1)\n```"]
    ] * 5
    assert sorted(page.turns[0].usage.output_tokens > 0 for page in pages) == [False] * 4 + [True]


async def test_heartbeats_of_each_caller_go_on() -> None:
    gate = threading.Event()
    async with calls_to(Upstream(after(gate, responds()))) as calls:
        other = asyncio.create_task(_messages(calls.stream()))
        await calls.sharing(1)
        events = []
        async for message in calls.stream(heartbeat_interval=Duration(seconds=1)):
            events.append(message)
            if message.HasField("heartbeat"):
                gate.set()
        others = await other

    assert sum(event.HasField("heartbeat") for event in events) >= 1
    assert sum(event.HasField("heartbeat") for event in others) == 0
    assert len(calls.upstream.requests) == 1
