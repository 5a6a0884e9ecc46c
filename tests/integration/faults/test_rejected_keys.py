"""API keys that a provider rejects or limits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import structlog

from tests.integration.faults.fault_catalog import fails, responds
from tests.integration.faults.gateway import FALLBACK, attempts_of, gateway, text_of
from tests.integration.faults.scenarios import scenario
from tests.integration.faults.upstream import Request, Responder, Step, Upstream
from tests.integration.faults.wires import TEXT

BAD, GOOD = "sk-canary-bad", "sk-canary-good"
TWO_KEYS: dict[str, Any] = {"keys": [{"api_key": BAD}, {"api_key": GOOD}]}
SLOW_RETRY = {"initial_backoff_seconds": 60.0}


def responds_to_the_good_key(otherwise: Responder) -> Responder:
    """Respond to requests with the good key, and with `otherwise` to all others."""

    def respond(request: Request) -> Sequence[Step]:
        return (responds() if request.api_key == GOOD else otherwise)(request)

    return respond


@scenario(6)
@pytest.mark.parametrize("is_streamed", [False, True])
@pytest.mark.parametrize("wire", ["chat_completions", "anthropic"])
def test_a_rejected_key_is_quarantined_and_the_next_key_used_at_once(wire: str, is_streamed: bool) -> None:
    upstreams = [Upstream(responds_to_the_good_key(fails(status)), wire=wire, **TWO_KEYS) for status in (401, 402, 403)]

    with gateway(*upstreams, retry=SLOW_RETRY) as server:
        texts = [text_of(server.respond(is_streamed, upstream.model)) for upstream in upstreams for _ in range(6)]

    assert texts == [TEXT] * 18
    assert [upstream.api_keys.count(BAD) for upstream in upstreams] == [1, 1, 1]
    assert [upstream.api_keys.count(GOOD) for upstream in upstreams] == [6, 6, 6]


@scenario(6)
def test_fallback_is_used_if_all_keys_are_rejected() -> None:
    first, second = Upstream(fails(401), **TWO_KEYS), Upstream(responds())

    with gateway(first, second, retry=SLOW_RETRY) as server:
        response = server.generate(fallback_models=FALLBACK)
        server.generate(fallback_models=FALLBACK)

    assert attempts_of(response.execution)[0] == ("first", "PROVIDER_CREDENTIALS_INVALID")
    assert attempts_of(response.execution)[-1] == ("second", "")
    assert sorted(first.api_keys) == [BAD, GOOD]


@scenario(6)
def test_the_next_key_is_used_at_once_if_a_key_is_rate_limited() -> None:
    first = Upstream(responds_to_the_good_key(fails(429, "Slow down.", "Retry-After: 60")), **TWO_KEYS)

    with gateway(first) as server:
        texts = [text_of(server.generate()) for _ in range(4)]

    assert texts == [TEXT] * 4
    assert first.api_keys.count(BAD) == 1


@scenario(6)
def test_a_rejected_key_is_logged_and_shown_in_the_provider_health() -> None:
    first = Upstream(responds_to_the_good_key(fails(401, f"No such key: {BAD}")), **TWO_KEYS)

    with structlog.testing.capture_logs() as log, gateway(first) as server:
        server.generate()
        health = server.health()

    (entry,) = (entry for entry in log if entry["event"] == "provider.key_rejected")
    assert (entry["log_level"], entry["provider"]) == ("warning", "first")
    assert entry["key_id"] in ("1", "2")
    assert health.last_error_reason == "PROVIDER_CREDENTIALS_INVALID"
    assert BAD not in f"{log}{health}"


@scenario(6)
def test_a_rejected_key_of_a_caller_does_not_affect_other_callers() -> None:
    first, second = Upstream(responds_to_the_good_key(fails(401)), api_key=GOOD), Upstream(responds())
    caller_key: Any = (("x-provider-key-first", "sk-canary-own"),)

    with gateway(first, second, circuit_breaker={"failure_threshold": 1}) as server:
        failure = server.generate_failure(fallback_models=FALLBACK, metadata=caller_key)
        response = server.generate()

    assert (failure.code, failure.reason) == ("UNAUTHENTICATED", "PROVIDER_KEY_REJECTED")
    assert second.requests == []
    assert text_of(response) == TEXT
