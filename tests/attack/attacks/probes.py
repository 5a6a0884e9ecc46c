"""Requests to providers with the server's keys that callers cause without generating anything."""

from __future__ import annotations

import asyncio
from typing import Any

from aimanager.v1 import health_pb2, model_pb2
from aimanager.v1.health_pb2_grpc import HealthServiceStub
from aimanager.v1.model_pb2_grpc import ModelServiceStub
from tests.attack.attack import Attack, Received, Target
from tests.attack.requests import ATTACKER, CALL_SECONDS, open_channel, outcomes_of
from tests.attack.upstream import request_counts

CALLS = 50
MAX_REQUESTS = 4
"""One probe and one refresh in 10 s, which the attack may straddle once."""


async def _send_probes(target: Target) -> Received:
    before = await asyncio.to_thread(request_counts, target.upstream_port)
    probe, refresh = health_pb2.ListProviderHealthRequest(probe=True), model_pb2.ListModelsRequest(refresh=True)
    async with open_channel(target.port) as channel:
        list_health, list_models = HealthServiceStub(channel).ListProviderHealth, ModelServiceStub(channel).ListModels
        calls: list[Any] = [list_health(probe, metadata=ATTACKER, timeout=CALL_SECONDS) for _ in range(CALLS)]
        calls += [list_models(refresh, metadata=ATTACKER, timeout=CALL_SECONDS) for _ in range(CALLS)]
        received = Received(await outcomes_of(calls))
    after = await asyncio.to_thread(request_counts, target.upstream_port)
    received.figures["upstream_requests"] = after.get("GET", 0) - before.get("GET", 0)
    return received


ATTACKS = (
    Attack(
        "probes",
        f"{CALLS} × probe = true and {CALLS} × refresh = true",
        _send_probes,
        max_figures={"upstream_requests": MAX_REQUESTS},
    ),
)
