"""What the caller is told when every attempt failed: both errors, and no advice that has expired."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.integration.faults.fault_catalog import fails
from tests.integration.faults.gateway import FALLBACK, Failure, Gateway, gateway
from tests.integration.faults.scenarios import scenario
from tests.integration.faults.upstream import Upstream

LIMITED = fails(429, "Please try again in 0.3s.", "Retry-After: 0.3")
CALLS: dict[str, Callable[[Gateway], Failure]] = {
    "Generate": lambda server: server.generate_failure(),
    "StreamGenerate": lambda server: server.stream_failure(),
    "Embed": lambda server: server.embed_failure(),
}


@scenario(38)
@pytest.mark.parametrize("fail", CALLS.values(), ids=CALLS)
def test_advice_that_was_followed_is_not_given_again(fail: Callable[[Gateway], Failure]) -> None:
    upstream = Upstream(LIMITED, fails(400, "No such field."))

    with gateway(upstream) as server:
        failure = fail(server)

    assert (failure.reason, failure.retry_delay) == ("PROVIDER_RATE_LIMITED", None)
    assert "0.3" not in failure.error.details()
    assert "PROVIDER_REJECTED_REQUEST" in failure.error.details()
    assert "No such field." in failure.error.details()
    assert failure.attempts == [("first", "PROVIDER_RATE_LIMITED"), ("first", "PROVIDER_REJECTED_REQUEST")]


@scenario(38)
@pytest.mark.parametrize("is_streamed", [False, True])
def test_advice_that_still_holds_is_given_with_both_errors(is_streamed: bool) -> None:
    first, second = Upstream(fails(429, "Slow down.", "Retry-After: 60")), Upstream(fails(500, "Oh."))

    with gateway(first, second) as server:
        failure = server.fail(is_streamed, fallback_models=FALLBACK)

    assert failure.reason == "PROVIDER_RATE_LIMITED"
    assert failure.retry_delay is not None
    assert 30.0 < failure.retry_delay < 60.0
    assert "Slow down. The last attempt failed with PROVIDER_ERROR from second/m" in failure.error.details()


@scenario(38)
def test_a_count_of_tokens_is_estimated_after_advice_that_was_followed() -> None:
    upstream = Upstream(LIMITED, fails(500, "Oh."), wire="anthropic")

    with gateway(upstream) as server:
        count = server.count_tokens()

    assert count.input_tokens > 0
    assert len(upstream.requests) >= 2
