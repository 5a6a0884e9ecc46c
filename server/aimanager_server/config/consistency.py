"""Finds settings that are fine each by itself and contradict each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from . import provider_defaults
from .errors import shown
from .plugins import WIRE
from .types import Place, host_of, is_loopback

if TYPE_CHECKING:
    from .settings import Settings


def contradictions(settings: Settings) -> Iterator[tuple[Place, str]]:
    """Every value that does not fit with another: its place, and what would be accepted."""
    yield from _exposures(settings)
    yield from _pause_problems(settings)
    yield from _tier_problems(settings)
    yield from _caller_problems(settings)
    yield from _provider_problems(settings)
    yield from _plugin_problems(settings)
    yield from _model_problems(settings)
    yield from _route_problems(settings)


def _exposures(settings: Settings) -> Iterator[tuple[Place, str]]:
    server = settings.server
    guarded = settings.callers or server.allow_anonymous or (server.tls and server.tls.client_ca_file)
    if not guarded and not is_loopback(host_of(server.listen)):
        yield (
            ("server", "listen"),
            "is open to other machines without authentication; accepted is a loopback address, or beside it "
            "[callers], server.tls.client_ca_file or server.allow_anonymous = true",
        )


def _pause_problems(settings: Settings) -> Iterator[tuple[Place, str]]:
    breaker = settings.breaker
    if breaker.open_seconds > breaker.longest_open_seconds:
        yield (
            ("breaker", "open_seconds"),
            f"is above longest_open_seconds; accepted is at most {breaker.longest_open_seconds:g}",
        )


def _tier_problems(settings: Settings) -> Iterator[tuple[Place, str]]:
    for name, tier in settings.tiers.items():
        for provider in tier.providers:
            if provider not in settings.providers:
                accepted = ", ".join(map(shown, settings.providers))
                yield ("tiers", name, "providers", provider), f"is no provider; accepted is one of {accepted}"


def _caller_problems(settings: Settings) -> Iterator[tuple[Place, str]]:
    accepted = ", ".join(map(shown, settings.tiers)) or "none yet"
    counts = Counter(caller.token_sha256 for caller in settings.callers.values())
    for name, caller in settings.callers.items():
        named = bool(settings.tiers) or "tier" in caller.model_fields_set
        if named and caller.tier not in settings.tiers:
            yield ("callers", name, "tier"), f"names no tier; accepted is one that [tiers.NAME] defines: {accepted}"
        if counts[caller.token_sha256] > 1:
            yield ("callers", name, "token_sha256"), "is another caller's too; accepted is one of its own"


def _provider_problems(settings: Settings) -> Iterator[tuple[Place, str]]:
    for name, provider in settings.providers.items():
        is_plugged = name in settings.plugins.providers
        if is_plugged != (provider.wire == WIRE):
            accepted = f"{WIRE} for a name in plugins.providers, another for any other"
            yield ("providers", name, "wire"), f"does not fit; accepted is {accepted}"
        elif not (is_plugged or name in provider_defaults.KNOWN or provider.models or provider.allow_any_model):
            yield (
                ("providers", name, "models"),
                "is missing; accepted is a list of models, or allow_any_model = true",
            )


def _plugin_problems(settings: Settings) -> Iterator[tuple[Place, str]]:
    names = settings.plugins.providers
    for index, name in enumerate(names):
        if name in provider_defaults.KNOWN:
            yield ("plugins", "providers", index), "is the name of a provider that comes with the server"
        elif name in names[:index]:
            yield ("plugins", "providers", index), "is there twice"


def _model_problems(settings: Settings) -> Iterator[tuple[Place, str]]:
    for name in settings.models:
        if name.partition("/")[0] not in settings.providers:
            accepted = ", ".join(map(shown, settings.providers))
            yield ("models", name), f"names no provider; accepted is PROVIDER/ID with one of {accepted}"


def _route_problems(settings: Settings) -> Iterator[tuple[Place, str]]:
    for name, route in settings.routes.items():
        if name in settings.providers:
            yield ("routes", name), "is the name of a provider; accepted is one of its own"
        for field, models in (("targets", route.targets), ("fallback_models", route.fallback_models)):
            for index, model in enumerate(models):
                if model in settings.routes:
                    yield ("routes", name, field, index), "names a route; accepted is a model"
                elif model in models[:index]:
                    yield ("routes", name, field, index), "is there twice"
