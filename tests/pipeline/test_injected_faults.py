"""Attempts whose faults a provider injects on request: their outcome counts for nothing that other calls share."""

from __future__ import annotations

from typing import Any

import pytest

from aimanager_server.core.errors import (
    GatewayError,
    ProviderQuotaExhausted,
    ProviderRateLimited,
    StreamInterrupted,
    all_errors,
)
from aimanager_server.core.handler import AttemptHandler
from aimanager_server.core.request import Attempt
from aimanager_server.core.response import TextDelta
from aimanager_server.core.stream import ResponseStream
from aimanager_server.resilience.attempt_effect import effect_of
from tests.support.accounting import AccountingSetup
from tests.support.calls import make_attempt
from tests.support.key_pool import Setup
from tests.support.upstream import ScriptedUpstream


def injecting(upstream: AttemptHandler) -> AttemptHandler:
    """Return a provider that answers like `upstream`, on request."""

    async def handle(attempt: Attempt[Any]) -> ResponseStream:
        attempt.record.affects_health = False
        return await upstream(attempt)

    return handle


@pytest.mark.parametrize("kind", list(all_errors()))
def test_an_injected_error_has_no_effect(kind: type[GatewayError]) -> None:
    attempt = make_attempt()
    attempt.record.affects_health = False

    assert effect_of(kind("as requested", retry_after=60.0), attempt) == "none"


async def test_the_record_of_an_injected_fault_has_no_effect() -> None:
    setup, completed, interrupted = AccountingSetup(), make_attempt(), make_attempt()

    await (await setup.over(injecting(ScriptedUpstream()))(completed)).result()
    stream = await setup.over(injecting(ScriptedUpstream((TextDelta(0, "Hel"), StreamInterrupted("cut")))))(interrupted)
    with pytest.raises(StreamInterrupted):
        await stream.result()

    assert (completed.record.effect, interrupted.record.effect) == ("none", "none")
    assert (setup.attempts("success"), setup.attempts("STREAM_INTERRUPTED")) == (1, 1)


@pytest.mark.parametrize("kind", [ProviderQuotaExhausted, ProviderRateLimited])
async def test_an_injected_error_quarantines_no_key(kind: type[GatewayError]) -> None:
    setup = Setup()

    await setup.fail(injecting(ScriptedUpstream(kind("as requested"))), kind)

    assert setup.key_pool.quarantined_count == 0
