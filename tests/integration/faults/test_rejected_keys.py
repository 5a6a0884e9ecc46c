"""Keys that a provider refuses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import structlog

from tests.integration.faults.fault_catalog import refuses, says
from tests.integration.faults.gateway import NEXT, attempts_of, gateway, text_of
from tests.integration.faults.scenarios import scenario
from tests.integration.faults.upstream import Answer, Asked, Step, Upstream
from tests.integration.faults.wires import TEXT

BAD, GOOD = "sk-canary-bad", "sk-canary-good"
TWO_KEYS: dict[str, Any] = {"keys": [{"api_key": BAD}, {"api_key": GOOD}]}
LONG_BACK_OFF = {"base_seconds": 60.0}


def unless_good(otherwise: Answer) -> Answer:
    """Answers to the good key alone."""

    def answer(asked: Asked) -> Sequence[Step]:
        return (says() if asked.key == GOOD else otherwise)(asked)

    return answer


@scenario(6)
@pytest.mark.parametrize("status", [401, 402, 403])
@pytest.mark.parametrize("wire", ["chat_completions", "claude"])
@pytest.mark.parametrize("is_streamed", [False, True])
def test_a_refused_key_is_left_for_the_next_at_once_and_for_good(status: int, wire: str, is_streamed: bool) -> None:
    first = Upstream(unless_good(refuses(status)), wire=wire, **TWO_KEYS)

    with gateway(first, retry=LONG_BACK_OFF) as server:
        for _ in range(6):
            said = server.stream()[-1].completed if is_streamed else server.answer()
            assert text_of(said) == TEXT

    assert first.keys.count(BAD) == 1
    assert first.keys.count(GOOD) == 6


@scenario(6)
def test_a_provider_whose_keys_are_all_refused_is_left_for_the_next() -> None:
    first, second = Upstream(refuses(401), **TWO_KEYS), Upstream(says())

    with gateway(first, second, retry=LONG_BACK_OFF) as server:
        response = server.answer(fallback_models=NEXT)
        server.answer(fallback_models=NEXT)

    assert attempts_of(response.route)[0] == ("first", "PROVIDER_CREDENTIALS_INVALID")
    assert attempts_of(response.route)[-1] == ("second", "")
    assert sorted(first.keys) == [BAD, GOOD]


@scenario(6)
def test_a_limited_key_is_left_for_the_next_at_once() -> None:
    limited = refuses(429, "Slow down.", "Retry-After: 60")
    first = Upstream(unless_good(limited), **TWO_KEYS)

    with gateway(first) as server:
        said = [text_of(server.answer()) for _ in range(4)]

    assert said == [TEXT] * 4
    assert first.keys.count(BAD) == 1


@scenario(6)
def test_an_operator_sees_that_a_key_was_refused() -> None:
    first = Upstream(unless_good(refuses(401, f"No such key: {BAD}")), **TWO_KEYS)

    with structlog.testing.capture_logs() as logged, gateway(first) as server:
        server.answer()
        health = server.health()

    (alert,) = (entry for entry in logged if entry["event"] == "provider.key_refused")
    assert (alert["log_level"], alert["provider"]) == ("warning", "first")
    assert alert["key"] in ("1", "2")
    assert health.last_error_reason == "PROVIDER_CREDENTIALS_INVALID"
    assert BAD not in f"{logged}{health}"


@scenario(6)
def test_a_key_of_the_callers_own_that_is_refused_says_nothing_of_the_provider() -> None:
    first, second = Upstream(unless_good(refuses(401)), api_key=GOOD), Upstream(says())
    own: Any = (("x-provider-key-first", "sk-canary-own"),)

    with gateway(first, second, breaker={"failure_threshold": 1}) as server:
        failure = server.refused(fallback_models=NEXT, metadata=own)
        after = server.answer()

    assert (failure.code, failure.reason) == ("UNAUTHENTICATED", "PROVIDER_KEY_REJECTED")
    assert second.requests == []
    assert text_of(after) == TEXT
