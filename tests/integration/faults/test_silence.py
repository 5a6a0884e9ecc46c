"""First-token and idle timeouts: only content counts as progress."""

from __future__ import annotations

import pytest

from tests.integration.faults.fault_catalog import (
    PING,
    interrupts,
    pings,
    responds,
    stalls,
    stalls_after_headers,
    streams,
    trickles,
)
from tests.integration.faults.gateway import (
    FALLBACK,
    SHORT_FIRST_TOKEN_TIMEOUTS,
    SHORT_IDLE_TIMEOUTS,
    SHORT_TIMEOUT,
    attempts_of,
    gateway,
    text_of,
    timeouts_of_call,
)
from tests.integration.faults.scenarios import scenario
from tests.integration.faults.upstream import Delay, Responder, Step, Upstream
from tests.integration.faults.wires import TEXT
from tests.support.http_servers.raw import SocketFault

PROMPT_SECONDS = 3.0
FELL_BACK = [("first", "FIRST_TOKEN_TIMEOUT"), ("second", "")]
SILENCES: dict[str, tuple[Responder, str]] = {
    "no response": (stalls(), "chat_completions"),
    "headers only": (stalls_after_headers(), "chat_completions"),
    "pings only": (pings(), "chat_completions"),
    "one byte at a time": (trickles(0.02), "chat_completions"),
    "late content": (responds(delay=20.0), "chat_completions"),
    "anthropic, pings only": (pings(), "anthropic"),
    "anthropic, no response": (stalls(), "anthropic"),
}


@scenario(9, 10, 11)
@pytest.mark.parametrize("is_streamed", [False, True], ids=["unary", "streamed"])
def test_first_token_timeout_falls_back_after_one_attempt(is_streamed: bool) -> None:
    fallback = Upstream(responds())
    upstreams = [Upstream(silence, wire=wire) for silence, wire in SILENCES.values()]

    with gateway(fallback, *upstreams, stream_timeouts=SHORT_FIRST_TOKEN_TIMEOUTS) as server:
        if is_streamed:
            calls = [server.start_stream(one.model, fallback_models=[fallback.model]) for one in upstreams]
            events = [list(call) for call in calls]
            responses = [each[-1].completed for each in events]
            assert not any(event.HasField("restarted") for each in events for event in each)
        else:
            calls = [server.start_call(one.model, fallback_models=[fallback.model]) for one in upstreams]
            responses = [call.result() for call in calls]

    for name, upstream, response in zip(SILENCES, upstreams, responses, strict=True):
        assert text_of(response) == TEXT, name
        assert attempts_of(response.execution) == [(upstream.name, "FIRST_TOKEN_TIMEOUT"), (fallback.name, "")], name
        assert len(upstream.requests) == 1, name
        silent_seconds = response.execution.attempts[0].duration.ToTimedelta().total_seconds()
        assert SHORT_TIMEOUT / 2 <= silent_seconds < PROMPT_SECONDS, name


@scenario(9)
def test_first_token_timeout_closes_the_connection_before_the_fallback_is_called() -> None:
    first, second = Upstream(stalls()), Upstream(responds())

    with gateway(first, second, stream_timeouts=SHORT_FIRST_TOKEN_TIMEOUTS) as server:
        server.generate(fallback_models=FALLBACK)
        closed_at = first.requests[0].connection.peer_closed_at

    assert closed_at is not None
    assert closed_at <= second.requests[0].received_at + 0.1


@scenario(9)
def test_without_a_fallback_only_the_deadline_ends_a_silent_call() -> None:
    first = Upstream(stalls())

    with gateway(first, stream_timeouts=SHORT_FIRST_TOKEN_TIMEOUTS) as server:
        failure = server.generate_failure(timeout=3 * SHORT_TIMEOUT)

    assert failure.code == "DEADLINE_EXCEEDED"
    assert failure.seconds > 2 * SHORT_TIMEOUT
    assert len(first.requests) == 1


@scenario(9)
def test_first_token_timeout_of_the_request_applies_without_a_fallback() -> None:
    first = Upstream(stalls())

    with gateway(first) as server:
        failure = server.generate_failure(stream_timeouts=timeouts_of_call(first_token_timeout=0.1))

    assert (failure.code, failure.reason) == ("UNAVAILABLE", "FIRST_TOKEN_TIMEOUT")
    assert failure.seconds < PROMPT_SECONDS
    assert failure.attempts == [("first", "FIRST_TOKEN_TIMEOUT")]
    assert len(first.requests) == 1


@scenario(10)
def test_first_token_timeout_of_the_model_overrides_the_default() -> None:
    first, second = Upstream(responds(delay=20.0)), Upstream(responds())

    with gateway(first, second, models={"first/m": {"first_token_timeout_seconds": 0.1}}) as server:
        response = server.generate(fallback_models=FALLBACK)

    assert attempts_of(response.execution) == FELL_BACK


@scenario(10)
def test_a_slow_first_token_within_the_timeout_is_accepted() -> None:
    first, second = Upstream(responds(delay=0.05)), Upstream(responds())

    with gateway(first, second) as server:
        response = server.generate(fallback_models=FALLBACK)

    assert attempts_of(response.execution) == [("first", "")]
    assert second.requests == []


@scenario(11, 13)
@pytest.mark.parametrize("silence", [(SocketFault.STALL,), (PING, Delay(0.05)) * 200], ids=["stall", "pings"])
@pytest.mark.parametrize("wire", ["chat_completions", "anthropic"])
def test_idle_timeout_interrupts_a_stalled_stream(silence: tuple[Step, ...], wire: str) -> None:
    first = Upstream(streams(lambda events: (*events.opening, *events.words[:20], *silence)), wire=wire)

    with gateway(first, stream_timeouts=SHORT_IDLE_TIMEOUTS) as server:
        failure = server.stream_failure()

    assert (failure.code, failure.reason) == ("ABORTED", "STREAM_INTERRUPTED")
    assert SHORT_TIMEOUT <= failure.seconds < PROMPT_SECONDS
    assert failure.usage is not None
    assert failure.usage.output_tokens > 0


@scenario(13)
@pytest.mark.parametrize("wire", ["chat_completions", "anthropic"])
def test_idle_timeout_of_a_unary_call_falls_back(wire: str) -> None:
    first, second = Upstream(interrupts(20, SocketFault.STALL), wire=wire), Upstream(responds())

    with gateway(first, second, stream_timeouts=SHORT_IDLE_TIMEOUTS) as server:
        response = server.generate(fallback_models=FALLBACK)

    assert text_of(response) == TEXT
    assert [provider for provider, _ in attempts_of(response.execution)] == ["first", "second"]
    assert response.execution.attempts[0].usage.output_tokens > 0


@scenario(13)
def test_idle_timeout_of_the_request_overrides_the_default() -> None:
    first = Upstream(interrupts(20, SocketFault.STALL))

    with gateway(first) as server:
        failure = server.stream_failure(stream_timeouts=timeouts_of_call(idle_timeout=0.1))

    assert failure.reason == "STREAM_INTERRUPTED"
    assert failure.seconds < PROMPT_SECONDS
