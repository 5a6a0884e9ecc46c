"""A deadline that passes in mid-stream is DEADLINE_EXCEEDED for every client, whatever the provider does meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import pytest

from aimanager import AIError, AIManager, AsyncAIManager
from tests.integration.faults.fault_catalog import PING, fails, interrupts, stalls, streams
from tests.integration.faults.gateway import FALLBACK, Failure, Gateway, gateway
from tests.integration.faults.scenarios import scenario
from tests.integration.faults.upstream import Delay, Request, Responder, Step, Upstream
from tests.integration.faults.wires import StreamEvents
from tests.support.http_servers.raw import SocketFault

STREAMS = 20
TIMEOUT_SECONDS = 0.6


def writes_slowly(request: Request) -> Sequence[Step]:
    """Send a word every 30 ms, which takes longer than the deadline."""

    def edit(events: StreamEvents) -> Sequence[Step]:
        paced = [step for word in events.words for step in (word, Delay(0.03))]
        return (*events.opening, *paced, *events.ending)

    return streams(edit)(request)


def falls_silent(request: Request) -> Sequence[Step]:
    """Send ten words, then nothing but comments."""

    def edit(events: StreamEvents) -> Sequence[Step]:
        return (*events.opening, *events.words[:10], *(PING, Delay(0.05)) * 100)

    return streams(edit)(request)


def stalls_after_words(request: Request) -> Sequence[Step]:
    """Send ten words, then nothing."""
    return streams(lambda events: (*events.opening, *events.words[:10], SocketFault.STALL))(request)


SLOW: tuple[Responder, ...] = (writes_slowly, falls_silent, stalls_after_words)


def raw_reasons(server: Gateway, restart: bool) -> list[str]:
    def fail(_: int) -> Failure:
        return server.stream_failure(timeout=TIMEOUT_SECONDS, restart=restart, fallback_models=FALLBACK)

    with ThreadPoolExecutor(STREAMS) as threads:
        failures = list(threads.map(fail, range(STREAMS)))
    return [failure.code for failure in failures]


def sync_client_reasons(server: Gateway, restart: bool) -> list[str]:
    policy: Literal["restart", "fail"] = "restart" if restart else "fail"

    def fail(number: int) -> str:
        stream = ai.stream("Hi", model="first/m", fallback_models=list(FALLBACK), on_interruption=policy)
        try:
            # Text, pieces and events come by different paths.
            for _ in (stream.text, iter(stream), stream.events)[number % 3]:
                pass
        except AIError as error:
            return error.reason
        return "OK"

    with (
        AIManager.gateway(server.target, timeout=TIMEOUT_SECONDS) as ai,
        ThreadPoolExecutor(STREAMS) as threads,
    ):
        return list(threads.map(fail, range(STREAMS)))


def async_client_reasons(server: Gateway, restart: bool) -> list[str]:
    policy: Literal["restart", "fail"] = "restart" if restart else "fail"

    async def fail(ai: AsyncAIManager, number: int) -> str:
        stream = ai.stream("Hi", model="first/m", fallback_models=list(FALLBACK), on_interruption=policy)
        try:
            if number % 2:
                await stream.complete()
            else:
                async for _ in stream.text:
                    pass
        except AIError as error:
            return error.reason
        return "OK"

    async def fail_all() -> list[str]:
        async with AsyncAIManager.gateway(server.target, timeout=TIMEOUT_SECONDS) as ai:
            return list(await asyncio.gather(*(fail(ai, number) for number in range(STREAMS))))

    return asyncio.run(fail_all())


CLIENTS = (raw_reasons, sync_client_reasons, async_client_reasons)


@scenario(39)
@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("wire", ["chat_completions", "anthropic"])
@pytest.mark.parametrize("reasons_of", CLIENTS)
def test_a_deadline_in_mid_stream_is_deadline_exceeded_for_every_client(
    reasons_of: Callable[[Gateway, bool], list[str]], wire: str, restart: bool
) -> None:
    first, second = Upstream(*(slow for slow in SLOW * STREAMS), wire=wire), Upstream(writes_slowly)

    with gateway(first, second) as server:
        reasons = reasons_of(server, restart)

    assert reasons == ["DEADLINE_EXCEEDED"] * STREAMS
    assert first.requests
    assert second.requests == []


@scenario(39)
@pytest.mark.parametrize("is_streamed", [False, True])
@pytest.mark.parametrize(
    "replacement", [interrupts(10, SocketFault.STALL), stalls()], ids=["after content", "before content"]
)
def test_a_deadline_in_the_response_that_replaces_an_interrupted_one_is_deadline_exceeded(
    replacement: Responder, is_streamed: bool
) -> None:
    first, second = Upstream(interrupts()), Upstream(replacement)

    # The server's own deadline: a busy client would reach its own before the server's answer has arrived.
    limits = {"stream_timeout_seconds": 1.0, "unary_timeout_seconds": 1.0}
    with gateway(first, second, server=limits) as server:
        options = {"restart": True} if is_streamed else {}
        failure = server.fail(is_streamed, timeout=20.0, fallback_models=FALLBACK, **options)

    assert failure.code == failure.reason == "DEADLINE_EXCEEDED"
    assert failure.attempts == [("first", "STREAM_INTERRUPTED"), ("second", "DEADLINE_EXCEEDED")]
    assert "first content" in failure.error.details()


@scenario(39)
def test_a_deadline_of_the_server_in_mid_stream_is_deadline_exceeded_with_the_usage_so_far() -> None:
    with gateway(Upstream(stalls_after_words), server={"stream_timeout_seconds": 0.6}) as server:
        failure = server.stream_failure(timeout=20.0)

    assert failure.code == failure.reason == "DEADLINE_EXCEEDED"
    assert failure.usage is not None
    assert failure.usage.output_tokens > 0


@scenario(39)
def test_a_deadline_after_an_error_reports_both() -> None:
    with gateway(Upstream(fails(500, "Oh."), stalls())) as server:
        failure = server.generate_failure(timeout=0.6)

    assert (failure.code, failure.reason) == ("UNAVAILABLE", "PROVIDER_ERROR")
    assert "Oh." in failure.error.details()
    assert "DEADLINE_EXCEEDED" in failure.error.details()
