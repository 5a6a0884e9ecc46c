"""API keys that a provider rejects or limits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import structlog

from aimanager.v1 import health_pb2
from tests.integration.faults.fault_catalog import fails, responds
from tests.integration.faults.gateway import FALLBACK, attempts_of, gateway, text_of
from tests.integration.faults.scenarios import scenario
from tests.integration.faults.upstream import Request, Responder, Step, Upstream, list_models
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
    rejections = fails(401), fails(402), fails(403, "Your API key was revoked.")
    upstreams = [Upstream(responds_to_the_good_key(fault), wire=wire, **TWO_KEYS) for fault in rejections]

    with gateway(*upstreams, retry=SLOW_RETRY) as server:
        texts = [text_of(server.respond(is_streamed, upstream.model)) for upstream in upstreams for _ in range(6)]

    assert texts == [TEXT] * 18
    assert [upstream.api_keys.count(BAD) for upstream in upstreams] == [1, 1, 1]
    assert [upstream.api_keys.count(GOOD) for upstream in upstreams] == [6, 6, 6]


@scenario(6)
@pytest.mark.parametrize("wire", ["chat_completions", "anthropic"])
def test_a_403_without_words_is_a_rejected_key_if_the_model_list_is_forbidden_to_it_as_well(wire: str) -> None:
    def list_models_for_the_good_key(request: Request) -> Sequence[Step]:
        return (list_models if request.api_key == GOOD else fails(403))(request)

    first = Upstream(
        responds_to_the_good_key(fails(403)), probe_responder=list_models_for_the_good_key, wire=wire, **TWO_KEYS
    )

    with gateway(first, retry=SLOW_RETRY) as server:
        texts = [text_of(server.generate()) for _ in range(4)]

    assert texts == [TEXT] * 4
    assert (first.api_keys.count(BAD), [probe.api_key for probe in first.probes]) == (1, [BAD])


FLAGGED = fails(403, 'm requires moderation on OpenAI. Your input was flagged for "violence".')
XAI_REFUSAL = fails(403, "Content violates usage guidelines. API key ID: k, Model: m.")


@scenario(36)
@pytest.mark.parametrize("is_streamed", [False, True])
@pytest.mark.parametrize(
    ("wire", "refusal", "reason"),
    [
        ("chat_completions", FLAGGED, "CONTENT_BLOCKED"),
        ("chat_completions", XAI_REFUSAL, "CONTENT_BLOCKED"),
        ("anthropic", fails(403, "Blocked by our usage policy.", kind="permission_error"), "CONTENT_BLOCKED"),
        ("anthropic", fails(403, kind="permission_error"), "PROVIDER_PERMISSION_DENIED"),
        ("chat_completions", fails(403), "PROVIDER_PERMISSION_DENIED"),
    ],
)
def test_a_403_for_one_request_concerns_nobody_else_and_has_no_fallback(
    wire: str, refusal: Responder, reason: str, is_streamed: bool
) -> None:
    first, second = Upstream(*[refusal] * 6, responds(), wire=wire, **TWO_KEYS), Upstream(responds())

    with gateway(first, second, circuit_breaker={"failure_threshold": 1}) as server:
        failures = [server.fail(is_streamed, fallback_models=FALLBACK) for _ in range(6)]
        response = server.respond(is_streamed)
        health = server.health()

    assert [failure.reason for failure in failures] == [reason] * 6
    assert (text_of(response), second.requests, len(first.requests)) == (TEXT, [], 7)
    assert (health.status, sorted(set(first.api_keys))) == (health_pb2.PROVIDER_STATUS_HEALTHY, [BAD, GOOD])


@scenario(36)
@pytest.mark.parametrize("is_streamed", [False, True])
def test_a_403_for_one_model_opens_the_breaker_of_that_model_only(is_streamed: bool) -> None:
    def respond(request: Request) -> Sequence[Step]:
        denied = fails(403, "The model `m` is blocked.", code="model_permission_blocked_project")
        return (denied if request.body["model"] == "m" else responds())(request)

    first, second = Upstream(respond), Upstream(responds())

    with gateway(first, second) as server:
        fallen_back = server.respond(is_streamed, fallback_models=FALLBACK)
        other_model = server.respond(is_streamed, "first/n")
        blocked = server.fail(is_streamed)

    assert attempts_of(fallen_back.execution) == [("first", "PROVIDER_MODEL_DENIED"), ("second", "")]
    assert text_of(other_model) == TEXT
    assert (blocked.reason, blocked.retry_delay) == ("CIRCUIT_OPEN", pytest.approx(300.0, abs=30.0))
    assert "may not use this model" in blocked.error.details()
    assert len(first.requests) == 2


@scenario(36)
def test_a_model_that_one_key_may_not_use_is_requested_with_the_next_key() -> None:
    denied = fails(403, "This key may not access model m.", kind="key_model_access_denied")
    first = Upstream(responds_to_the_good_key(denied), **TWO_KEYS)

    with gateway(first, retry=SLOW_RETRY) as server:
        texts = [text_of(server.generate()) for _ in range(6)]

    assert texts == [TEXT] * 6
    assert first.api_keys.count(BAD) == 1


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
