"""A server that cannot call any provider says so, and is not ready."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import grpc
import pytest
import structlog
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from aimanager import AIError, AIManager
from tests.support.gateway import settings_with, started_gateway

NO_MOCK: Mapping[str, Any] = {"mock": {"enabled": False}}
NO_CALLER_KEYS = {"accept_caller_keys": False}
SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING


def statuses(target: str) -> dict[str, int]:
    with grpc.insecure_channel(target) as channel:
        stub = HealthStub(channel)
        services = ("liveness", "readiness", "", "aimanager.v1.GenerationService")
        return {service: stub.Check(HealthCheckRequest(service=service)).status for service in services}


def test_a_server_that_can_call_no_provider_is_alive_but_not_ready() -> None:
    settings = settings_with(server=NO_CALLER_KEYS, providers=NO_MOCK)
    with structlog.testing.capture_logs() as logged, started_gateway(settings) as target:
        found = statuses(target)

    [warning] = [entry for entry in logged if entry["event"] == "server.no_callable_provider"]
    assert warning["log_level"] == "warning"
    assert "ANTHROPIC_API_KEY" in warning["solution"]
    assert found.pop("liveness") == SERVING
    assert set(found.values()) == {NOT_SERVING}


@pytest.mark.parametrize("model", ["", "claude/latest", "latest"])
def test_its_calls_fail_with_the_missing_key(model: str) -> None:
    settings = settings_with(server=NO_CALLER_KEYS, providers=NO_MOCK)
    with (
        started_gateway(settings) as target,
        AIManager.gateway(target, model=model, retries=0) as ai,
        pytest.raises(AIError) as caught,
    ):
        ai.request("Hello")

    assert caught.value.reason == "MISSING_CREDENTIALS"
    assert "ANTHROPIC_API_KEY" in caught.value.solution


@pytest.mark.parametrize(
    ("environment", "server", "providers"),
    [
        ({"OPENAI_API_KEY": "sk-1"}, NO_CALLER_KEYS, NO_MOCK),
        ({}, NO_CALLER_KEYS, {**NO_MOCK, "ollama": {}}),
        ({}, NO_CALLER_KEYS, {"mock": {}}),
        ({}, {}, NO_MOCK),
    ],
)
def test_a_key_a_keyless_provider_or_keys_of_callers_make_it_ready(
    environment: Mapping[str, str], server: Mapping[str, Any], providers: Mapping[str, Any]
) -> None:
    settings = settings_with(environment, server=server, providers=providers)
    with structlog.testing.capture_logs() as logged, started_gateway(settings) as target:
        found = statuses(target)

    assert set(found.values()) == {SERVING}
    assert [entry for entry in logged if entry["event"] == "server.no_callable_provider"] == []


def test_a_provider_that_is_disabled_cannot_be_called() -> None:
    providers = {**NO_MOCK, "claude": {"enabled": False}}
    settings = settings_with({"ANTHROPIC_API_KEY": "sk-1"}, server=NO_CALLER_KEYS, providers=providers)

    assert settings.callable_providers() == ()
