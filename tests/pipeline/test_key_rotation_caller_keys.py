"""A caller's own key is the caller's affair."""

from __future__ import annotations

from typing import Any

import pytest
import structlog

from aimanager_server.core import errors
from aimanager_server.core.errors import GatewayError
from aimanager_server.core.request import CALLER_KEY_ID, ApiKey, Caller
from tests.support.calls import Upstream, call
from tests.support.key_pool import World, used

OWN = Caller("ann", provider_keys={"mock": "mine-1234", "other": "not here"})
Logged = list[Any]


@pytest.fixture(autouse=True)
def logged() -> Any:
    with structlog.testing.capture_logs() as entries:
        yield entries


@pytest.mark.parametrize("keys", [0, 1, 2])
async def test_the_callers_own_key_goes_before_the_servers(keys: int) -> None:
    upstream = Upstream()

    await World(keys).answer(upstream, call(caller=OWN))

    assert upstream.calls[0].api_key == ApiKey(CALLER_KEY_ID, "mine-1234")


@pytest.mark.parametrize(
    ("kind", "solution"), [(errors.ProviderCredentialsInvalid, ""), (errors.ProviderQuotaExhausted, "Pay.")]
)
async def test_a_refusal_of_the_callers_own_key_is_the_callers_fault(
    kind: type[GatewayError], solution: str, logged: Logged
) -> None:
    refusal = kind("Bad key", solution="Pay.", provider="mock", model="mock-large", upstream_status=402)
    world, upstream = World(), Upstream(refusal)

    fault = await world.fail(upstream, errors.CallerKeyRejected, call(caller=OWN))

    assert (fault.spec.breaker_effect, fault.spec.fallback) == ("ignore", "never")
    assert (fault.message, fault.upstream_status, fault.provider) == ("Bad key", 402, "mock")
    assert fault.solution == (solution or errors.CallerKeyRejected.spec.solution)
    assert (used(upstream), world.ring.quarantined, logged) == ([CALLER_KEY_ID], 0, [])


@pytest.mark.parametrize("key", ["a\r\nX-Evil: 1", "clé", "two words"])
async def test_a_key_that_no_header_can_carry_is_refused_unsent(key: str) -> None:
    upstream = Upstream()

    question = call(caller=Caller("ann", provider_keys={"mock": key}))
    fault = await World().fail(upstream, errors.CallerKeyRejected, question)

    assert upstream.calls == []
    assert key not in str(fault)
