"""Metrics as Prometheus reads them."""

from __future__ import annotations

import asyncio

import pytest
from prometheus_client import generate_latest

from aimanager_server.core.attempts import AttemptRecord
from aimanager_server.core.errors import GatewayError, Overloaded, ProviderUnreachable, RateLimited
from aimanager_server.core.usage import Cost, Usage
from aimanager_server.telemetry.metrics import Metrics
from tests.support.clock import FakeClock
from tests.support.metrics import sample_value

TARGET = {"provider": "mock", "model": "m"}


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(lambda provider, model: model == "m")


def test_two_servers_share_no_metrics(metrics: Metrics) -> None:
    other = Metrics(lambda *_: True)

    metrics.for_target("mock", "m").unary_requests.inc()

    assert sample_value(other.registry, "aimanager_requests_total", **TARGET, method="unary") == 0


def test_rpc_duration_is_labeled_by_method_and_code(metrics: Metrics) -> None:
    metrics.observe_rpc("aimanager.v1.GenerationService/Generate", "OK", 0.5)

    assert b'rpc_method="aimanager.v1.GenerationService/Generate"' in generate_latest(metrics.registry)


def test_the_next_expiry_of_each_callers_tokens_is_exported(metrics: Metrics) -> None:
    name, clock = "aimanager_token_expiry_timestamp_seconds", FakeClock(100.0)
    metrics.export_token_expiries({"ann": [150.0, 300.0], "bob": [200.0]}, clock)

    values = []
    for now in (100.0, 150.0, 400.0):
        clock.time = now
        values.append([sample_value(metrics.registry, name, caller=caller) for caller in ("ann", "bob")])
    metrics.export_token_expiries({"ann": [500.0]}, clock)

    assert values == [[150.0, 200.0], [300.0, 200.0], [300.0, 200.0]]
    assert sample_value(metrics.registry, name, caller="ann") == 500.0
    assert metrics.registry.get_sample_value(name, {"caller": "bob"}) is None


def test_gauges_read_their_source_on_each_scrape(metrics: Metrics) -> None:
    lag, quarantined, states = [0.0], {"mock": 0}, {"mock": "closed"}
    metrics.export_event_loop_lag(lambda: lag[0])
    metrics.export_quarantined_keys(["mock"], quarantined.__getitem__)
    metrics.export_breaker_states(["mock"], states.__getitem__)

    lag[0], quarantined["mock"], states["mock"] = 0.75, 2, "open"

    assert sample_value(metrics.registry, "aimanager_event_loop_lag_seconds") == 0.75
    assert sample_value(metrics.registry, "aimanager_quarantined_keys", provider="mock") == 2
    assert sample_value(metrics.registry, "aimanager_circuit_breaker_state", provider="mock") == 2


async def test_tasks_of_the_event_loop_are_counted(metrics: Metrics) -> None:
    metrics.export_tasks(asyncio.get_running_loop())
    before = sample_value(metrics.registry, "aimanager_asyncio_tasks")

    task = asyncio.ensure_future(asyncio.sleep(3600))

    assert await asyncio.to_thread(sample_value, metrics.registry, "aimanager_asyncio_tasks") == before + 1
    task.cancel()


def test_attempts_are_counted_by_outcome(metrics: Metrics) -> None:
    target = metrics.for_target("mock", "m")

    for reason in ("", "success", "PROVIDER_ERROR"):
        target.count_attempt(reason)

    name = "aimanager_upstream_attempts_total"
    assert sample_value(metrics.registry, name, **TARGET, outcome="success") == 2
    assert sample_value(metrics.registry, name, **TARGET, outcome="PROVIDER_ERROR") == 1


def test_unknown_model_is_labeled_other(metrics: Metrics) -> None:
    metrics.for_target("mock", "invented").count_attempt("")

    name = "aimanager_upstream_attempts_total"
    assert sample_value(metrics.registry, name, provider="mock", model="other", outcome="success") == 1


def test_cost_is_counted_by_currency(metrics: Metrics) -> None:
    target = metrics.for_target("mock", "m")

    target.add_usage(Usage(1, 1), Cost(1_000_000_000, 500_000_000))
    target.add_usage(Usage(1, 1), Cost(2_000_000_000, 0, "EUR"))
    target.add_usage(Usage(1, 1), None)

    assert sample_value(metrics.registry, "aimanager_cost_total", **TARGET, currency="USD") == 1.5
    assert sample_value(metrics.registry, "aimanager_cost_total", **TARGET, currency="EUR") == 2.0


def test_cost_of_an_unpriced_model_is_absent(metrics: Metrics) -> None:
    metrics.for_target("mock", "m").add_usage(Usage(1, 1), None)

    assert metrics.registry.get_sample_value("aimanager_cost_total", {**TARGET, "currency": "USD"}) is None


def test_ended_attempt_is_counted_once_with_its_usage_and_cost(metrics: Metrics) -> None:
    record = AttemptRecord("mock", "m", 1000.0)
    metrics.attempt_started(record)
    record.end(1001.0, "STREAM_INTERRUPTED", Usage(10, 5, cache_read_tokens=4), Cost(1_000_000_000, 0))

    metrics.attempt_ended(record)

    attempts = "aimanager_upstream_attempts_total"
    assert sample_value(metrics.registry, attempts, **TARGET, outcome="STREAM_INTERRUPTED") == 1
    for kind, count in {"input": 10, "output": 5, "cache_read": 4}.items():
        assert sample_value(metrics.registry, "aimanager_tokens_total", **TARGET, type=kind) == count
    assert sample_value(metrics.registry, "aimanager_cost_total", **TARGET, currency="USD") == 1.0


def test_attempt_without_usage_adds_no_tokens(metrics: Metrics) -> None:
    record = AttemptRecord("mock", "m", 1000.0)
    record.end(1001.0)

    metrics.attempt_ended(record)

    assert sample_value(metrics.registry, "aimanager_upstream_attempts_total", **TARGET, outcome="success") == 1
    assert sample_value(metrics.registry, "aimanager_tokens_total", **TARGET, type="input") == 0


def test_retries_fallbacks_hedges_and_interruptions_are_counted(metrics: Metrics) -> None:
    target = metrics.for_target("mock", "m")

    for counter in (
        target.retries,
        target.fallbacks,
        target.hedged_requests,
        target.restarted_streams,
        target.failed_streams,
    ):
        counter.inc()

    assert sample_value(metrics.registry, "aimanager_retries_total", provider="mock") == 1
    assert sample_value(metrics.registry, "aimanager_fallbacks_total", provider="mock") == 1
    assert sample_value(metrics.registry, "aimanager_hedged_requests_total", **TARGET) == 1
    assert sample_value(metrics.registry, "aimanager_stream_interruptions_total", **TARGET, outcome="restarted") == 1
    assert sample_value(metrics.registry, "aimanager_stream_interruptions_total", **TARGET, outcome="failed") == 1


def test_probes_are_counted_by_outcome(metrics: Metrics) -> None:
    metrics.count_probe("mock", "success")

    assert sample_value(metrics.registry, "aimanager_provider_probes_total", provider="mock", outcome="success") == 1


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (Overloaded("busy"), "in_flight"),
        (RateLimited("slow down", metadata={"quota": "tokens_per_minute"}), "tokens_per_minute"),
        (ProviderUnreachable("no route"), None),
    ],
)
def test_only_rejections_by_own_limits_are_counted(metrics: Metrics, error: GatewayError, reason: str | None) -> None:
    metrics.count_rejection(error)

    counted = [
        sample.labels["reason"]
        for family in metrics.rejected_requests.collect()
        for sample in family.samples
        if sample.name == "aimanager_rejected_requests_total"
    ]
    assert counted == ([] if reason is None else [reason])


def test_the_state_of_a_removed_provider_is_not_exported(metrics: Metrics) -> None:
    metrics.export_breaker_states(["mock", "plugin"], lambda _: "closed")
    metrics.export_quarantined_keys(["mock"], lambda _: 0)

    metrics.forget_provider("mock")
    metrics.forget_provider("plugin")  # has no keys

    exported = generate_latest(metrics.registry)
    assert b'provider="mock"' not in exported
    assert b'provider="plugin"' not in exported


def test_reloads_are_counted_by_outcome(metrics: Metrics) -> None:
    started = sample_value(metrics.registry, "aimanager_config_last_reload_success_timestamp_seconds")

    metrics.count_reload(succeeded=False)

    assert sample_value(metrics.registry, "aimanager_config_reloads_total", outcome="failure") == 1
    assert metrics.registry.get_sample_value("aimanager_config_reloads_total", {"outcome": "success"}) == 0
    assert sample_value(metrics.registry, "aimanager_config_last_reload_successful") == 0
    assert sample_value(metrics.registry, "aimanager_config_last_reload_success_timestamp_seconds") == started > 0
