"""Reads out of the settings what single parts of the server are made with."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from .config.settings import Settings
from .pipeline.bulkhead import Places
from .pipeline.hedging import Hedge, Racing
from .resilience.breaker_registry import Rules
from .resilience.idempotency_store import Answers
from .resilience.prober import Kind
from .resilience.retry_budget import Budgets
from .resilience.retry_policy import Policy
from .telemetry.metrics import Metrics
from .telemetry.model_stats import Quality


def missing_keys(settings: Settings) -> dict[str, str]:
    """What to do for each provider that needs a key and has none."""
    return {
        name: f"Set {provider.key_variable}, or api_key under [providers.{name}] in the config file."
        for name, provider in settings.providers.items()
        if provider.key_variable and not provider.credentials()
    }


def probed(settings: Settings, opened: Mapping[str, object]) -> dict[str, Kind]:
    """What each opened provider that can be probed is asked while its circuit is open."""
    missing = missing_keys(settings)
    return {
        name: said.probe
        for name, said in settings.providers.items()
        if name in opened and name not in missing and said.probe != "off"
    }


def rules(settings: Settings) -> Rules:
    """When circuits open, and for how long."""
    breaker = settings.breaker
    return Rules(
        failure_threshold=breaker.failure_threshold,
        window=breaker.window_seconds,
        window_calls=breaker.window_calls,
        window_share=breaker.window_share,
        open=breaker.open_seconds,
        longest_open=breaker.longest_open_seconds,
        refused=breaker.refused_seconds,
        probe=breaker.probe_seconds,
        longest_hold=settings.retry.longest_advice_seconds,
    )


def policy(settings: Settings) -> Policy:
    """How often one target is asked."""
    retry = settings.retry
    return Policy(attempts=retry.attempts, base=retry.base_seconds, longest=retry.longest_advice_seconds)


def budgets(settings: Settings) -> Budgets:
    """How many retries there may be."""
    return Budgets(settings.retry.budget_share, settings.retry.budget_reserve, time.monotonic)


def hedge(settings: Settings, quality: Quality, metrics: Metrics) -> Hedge | None:
    """Who asks twice; None where nobody does."""
    said = settings.hedging
    if not said.enabled:
        return None

    def typical(provider: str, model: str) -> float | None:
        return quality.first_token(provider, model, 0.95, said.least_samples)

    return Hedge(Racing(said.share, said.least_seconds), typical, metrics, time.monotonic)


def places(settings: Settings, clock: Callable[[], float]) -> Places:
    """Who holds providers to their number of calls at once."""
    most = {name: said.max_in_flight for name, said in settings.providers.items() if said.max_in_flight is not None}
    return Places(most, settings.server.queue_length, settings.server.queue_seconds, clock)


def answers(settings: Settings) -> Answers:
    """Where answers are kept for calls that are sent again."""
    repeat = settings.repeat
    return Answers(repeat.entries, repeat.bytes, repeat.seconds, time.monotonic)


def secrets(settings: Settings) -> tuple[str, ...]:
    """What must never be logged."""
    providers = settings.providers.values()
    keys = (credential.key for provider in providers for credential in provider.credentials())
    headers = (value for provider in providers for value in provider.headers.values())
    return (*keys, *headers)
