from prometheus_client import generate_latest

from aimanager_server.telemetry.metrics import Metrics
from tests.support.calls import labels


def test_two_servers_do_not_share_series() -> None:
    first, second = Metrics(lambda *_: True), Metrics(lambda *_: True)

    first.outcomes("mock", "m").unary.inc()

    assert labels(second.registry, "aimanager_requests_total", provider="mock", model="m", method="unary") == 0


def test_an_rpc_is_timed_by_method_and_code() -> None:
    metrics = Metrics(lambda *_: True)

    metrics.rpc_finished("aimanager.v1.GenerationService/Generate", "OK", 0.5)

    assert b'rpc_method="aimanager.v1.GenerationService/Generate"' in generate_latest(metrics.registry)


def test_the_lag_of_the_loop_is_what_it_is_when_somebody_reads() -> None:
    metrics, lag = Metrics(lambda *_: True), [0.0]
    metrics.watch_loop(lambda: lag[0])

    lag[0] = 0.75

    assert labels(metrics.registry, "aimanager_loop_lag_seconds") == 0.75


def test_attempts_count_by_how_they_ended() -> None:
    metrics = Metrics(lambda *_: True)
    outcomes = metrics.outcomes("mock", "m")

    for reason in ("", "success", "PROVIDER_ERROR"):
        outcomes.attempted(reason)

    series = "aimanager_attempts_total"
    assert labels(metrics.registry, series, provider="mock", model="m", outcome="success") == 2
    assert labels(metrics.registry, series, provider="mock", model="m", outcome="PROVIDER_ERROR") == 1


def test_a_model_nobody_knows_makes_no_series_of_its_own() -> None:
    metrics = Metrics(lambda *_: False)

    metrics.outcomes("mock", "invented").attempted("")

    assert labels(metrics.registry, "aimanager_attempts_total", provider="mock", model="other", outcome="success") == 1


def test_what_the_engine_does_about_failures_is_bound_once() -> None:
    metrics = Metrics(lambda *_: True)
    outcomes = metrics.outcomes("mock", "m")

    for series in (outcomes.retries, outcomes.fallbacks, outcomes.hedges, outcomes.restarted, outcomes.interrupted):
        series.inc()

    target = {"provider": "mock", "model": "m"}
    assert labels(metrics.registry, "aimanager_retries_total", provider="mock") == 1
    assert labels(metrics.registry, "aimanager_fallbacks_total", provider="mock") == 1
    assert labels(metrics.registry, "aimanager_hedges_total", **target) == 1
    assert labels(metrics.registry, "aimanager_interruptions_total", **target, outcome="restarted") == 1
    assert labels(metrics.registry, "aimanager_interruptions_total", **target, outcome="failed") == 1


def test_resting_keys_and_circuits_are_read_when_somebody_looks() -> None:
    metrics = Metrics(lambda *_: True)
    resting, circuits = {"mock": 0}, {"mock": "closed"}
    metrics.watch_keys(["mock"], resting.__getitem__)
    metrics.watch_breakers(["mock"], circuits.__getitem__)

    resting["mock"], circuits["mock"] = 2, "open"

    assert labels(metrics.registry, "aimanager_keys_quarantined", provider="mock") == 2
    assert labels(metrics.registry, "aimanager_breaker_state", provider="mock") == 2


def test_probes_count_by_outcome() -> None:
    metrics = Metrics(lambda *_: True)

    metrics.probed("mock", "success")

    assert labels(metrics.registry, "aimanager_probes_total", provider="mock", outcome="success") == 1
