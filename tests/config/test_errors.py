"""Invalid settings are reported by setting, source and accepted values."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from aimanager_server.config.errors import SettingsError
from aimanager_server.config.loader import load
from tests.support.tokens import caller_settings, callers, token_settings


def error_of(arguments: Mapping[str, Any]) -> str:
    with pytest.raises(SettingsError) as caught:
        load(arguments, None, {})
    return str(caught.value)


def provider(**settings: object) -> Mapping[str, Any]:
    return {
        "providers": {"host": {"wire": "chat_completions", "base_url": "https://host/v1", "models": ["m"]} | settings}
    }


def model(**settings: object) -> Mapping[str, Any]:
    return {"models": {"openai/x": settings}}


def route(*targets: str, **settings: object) -> Mapping[str, Any]:
    return {"routes": {"chat": {"targets": list(targets), **settings}}}


VALUES: list[tuple[Mapping[str, Any], str]] = [
    ({"server": {"max_in_flight": "12"}}, "server.max_in_flight (argument): must be an integer"),
    ({"server": {"max_in_flight": True}}, "server.max_in_flight (argument): must be an integer"),
    ({"server": {"max_in_flight": 0}}, "server.max_in_flight (argument): must be at least 1, got 0"),
    ({"server": {"reflection": "yes"}}, "server.reflection (argument): must be true or false"),
    ({"server": {"listen": 1}}, "server.listen (argument): must be a string"),
    ({"server": {"log_level": "loud"}}, "must be 'debug', 'info', 'warning' or 'error'"),
    ({"server": {"listn": "x"}}, "server.listn (argument): unknown setting; did you mean listen"),
    ({"server": {"tls": {"key_file": 3}}}, "server.tls.key_file (argument): must be a file path"),
    ({"server": {"tls": {"key_file": "/nowhere"}}}, "server.tls.certificate_file (argument): is required"),
    (
        {"server": {"tls": {"key_file": "/nowhere"}}},
        "server.tls.key_file (argument): cannot read the file (No such",
    ),
    ({"servers": {}}, "servers (argument): unknown setting; did you mean server"),
    ({"retry": 3}, "retry (argument): must be a table"),
    ({"retry": {"max_attempts": 99}}, "retry.max_attempts (argument): must be at most 10, got 99"),
    ({"retry": {"initial_backoff_seconds": "1"}}, "retry.initial_backoff_seconds (argument): must be a number"),
    ({"retry": {"initial_backoff_seconds": 0.0}}, "(argument): must be greater than 0, got 0"),
    ({"retry": {"initial_backoff_seconds": float("inf")}}, "(argument): must be a finite number"),
    ({"retry": {"zzz": 1}}, "retry.zzz (argument): unknown setting; known settings here: budget_burst, budget_ratio, "),
    (
        {"circuit_breaker": {"open_seconds": 61.0}},
        "circuit_breaker.open_seconds (argument): must be at most max_open_seconds (60), got 61",
    ),
    (
        {"callers": {"a": {"tokens": [{"id": "a", "sha256": "abc"}]}}},
        "callers.a.tokens[0].sha256 (argument): must be the SHA-256 of the",
    ),
    (
        {"callers": callers("a", tier="gold")},
        "callers.a.tier (argument): unknown tier; no [tiers.NAME] is defined",
    ),
    (
        {"callers": callers("a"), "tiers": {"gold": {}}},
        "callers.a.tier (argument): unknown tier; defined tiers: gold",
    ),
    (
        {"callers": {"a": {"tokens": [{"id": "A_b", "sha256": "ab" * 32}]}}},
        "callers.a.tokens[0].id (argument): must be the ID within the token aim_ID_SECRET: 1 to 32 lowercase letters",
    ),
    (
        {"callers": {"a": {"tokens": [token_settings("aim_a_b", expires="2027-01-31")]}}},
        "callers.a.tokens[0].expires (argument): must be a date and time with a time zone, such as 2027-",
    ),
    (
        {"callers": {"a": {"tokens": [token_settings("aim_a_b", expires=1)]}}},
        "callers.a.tokens[0].expires (argument): must be a date and time with a time zone",
    ),
    (
        {"callers": {"a": {}}},
        "callers.a.tokens (argument): is required; 'aimanager-server token NAME' generates one",
    ),
    (
        {"callers": callers("a", certificate_names=["spiffe://a"])},
        "callers.a.certificate_names (argument): requires server.tls.client_ca_file",
    ),
    (
        {"callers": callers("a", certificate_names=["a\n"])},
        "callers.a.certificate_names[0] (argument): must be 1 to 512 printable ASCII characters",
    ),
    (
        {"callers": callers("a", role="root")},
        "callers.a.role (argument): must be 'caller' or 'admin'",
    ),
    (
        {"callers": {"a": caller_settings("a"), "b": caller_settings("a")}},
        "callers.b.tokens[0].id (argument): duplicate ID: each token needs its own",
    ),
    (
        {"tiers": {"free": {"providers": {"cloud": {}}}}},
        "tiers.free.providers.cloud (argument): unknown provider; known providers: claude",
    ),
]

PROVIDERS: list[tuple[Mapping[str, Any], str]] = [
    ({"providers": 3}, "providers (argument): must be a table"),
    ({"providers": {"claude": 3}}, "providers.claude (argument): must be a table"),
    ({"providers": {"host": {}}}, "providers.host.wire (argument): is required"),
    (
        {"providers": {"Host": {"wire": "mock"}}},
        "providers.Host (argument): must be a name of 1 to 63 lowercase",
    ),
    (provider(wire="soap"), "providers.host.wire (argument): must be 'anthropic', 'chat_completions', 'responses', "),
    (provider(wire="plugin"), "providers.host.wire (argument): 'plugin' requires the provider in plugins.providers"),
    (provider(models=[]), "providers.host.models (argument): is required: list the models, or set allow_any_model"),
    (provider(models=[""]), "providers.host.models[0] (argument): must not be empty"),
    (provider(models="m"), "providers.host.models (argument): must be a list"),
    (provider(base_url=""), "providers.host.base_url (argument): is required"),
    (provider(headers={"a b": "c"}), "(argument): must be a valid HTTP header name"),
    (provider(headers={"a": "b\nc"}), "providers.host.headers.a (argument): must be printable ASCII on one line"),
    (provider(api_version="b\nc"), "providers.host.api_version (argument): must be printable ASCII on one line"),
    (provider(defaults={"temperature": 3.0}), "defaults.temperature (argument): must be at most 2, got 3"),
    (
        provider(api_key_env="sk-ant-oops"),
        "providers.host.api_key_env (argument): must be an environment variable",
    ),
    (provider(api_key=" "), "providers.host.api_key (argument): must not be empty"),
    (provider(api_key="a b"), "providers.host.api_key (argument): must be one API key of printable ASCII"),
    (provider(api_key="a\nb"), "providers.host.api_key (argument): must be one API key of printable ASCII"),
    (provider(api_key="ä"), "providers.host.api_key (argument): must be one API key of printable ASCII"),
    (provider(api_key_file="/nowhere"), "providers.host.api_key_file (argument): cannot read the file (No such"),
    (
        provider(api_key="a", keys=[{"api_key": "b"}]),
        "providers.host.keys (argument): conflicts with api_key; set",
    ),
    (provider(keys=[{"weight": 1}]), "providers.host.keys[0] (argument): must set exactly one of api_key and"),
    (provider(keys=[{"api_key": "a", "api_key_file": "b"}]), "providers.host.keys[0] (argument): must set exactly one"),
    (
        provider(keys=[{"api_key_file": "/nowhere"}]),
        "providers.host.keys[0].api_key_file (argument): cannot read the file (No such",
    ),
    (
        provider(keys=[{"api_key": "a", "weigth": 1}]),
        "providers.host.keys[0].weigth (argument): unknown setting; did you mean weight",
    ),
    ({"plugins": {"providers": "a"}}, "plugins.providers (argument): must be a list"),
    ({"plugins": {"providers": [1]}}, "plugins.providers[0] (argument): must be a string"),
    ({"plugins": {"providers": ["No name"]}}, "plugins.providers[0] (argument): must be a name of 1 to 63"),
    ({"plugins": {"providers": ["a", "a"]}}, "plugins.providers[1] (argument): duplicate name"),
    ({"plugins": {"providers": ["claude"]}}, "(argument): must not be the name of a provider included in the server"),
    (
        {"plugins": {"providers": ["a"]}, "providers": {"a": {"wire": "mock"}}},
        "providers.a.wire (argument): must be 'plugin' for a provider in plugins.providers",
    ),
    ({"plugins": {"providers": ["a"]}, "providers": {"a": 5}}, "providers.a (argument): must be a table"),
]

MODELS_AND_ROUTES: list[tuple[Mapping[str, Any], str]] = [
    ({"models": {"nobody/x": {}}}, "models.nobody/x (argument): unknown provider; known providers: claude"),
    ({"models": {"openai": {}}}, 'models.openai (argument): must be "PROVIDER/ID"'),
    ({"models": {"openai/": {}}}, 'models.openai/ (argument): must be "PROVIDER/ID"'),
    (model(windoe=1), "models.openai/x.windoe (argument): unknown setting"),
    (model(context_window=0), "models.openai/x.context_window (argument): must be at least 1, got 0"),
    (model(capabilities={"fly": "native"}), "models.openai/x.capabilities.fly (argument): must be 'streaming', "),
    (model(capabilities={"reasoning": "a bit"}), "(argument): must be 'none', 'emulated' or 'native'"),
    (model(prices={"input": "1"}), "models.openai/x.prices.output (argument): is required"),
    *(
        (model(prices={"input": amount, "output": "1"}), "prices.input (argument): must be an amount in US dollars")
        for amount in ("-1", "a", "NaN", "Infinity", "0.0000000001")
    ),
    (
        {"routes": {"claude": {"targets": ["openai/fast"]}}},
        "routes.claude (argument): must not be the name of a provider",
    ),
    ({"routes": {"Chat": {"targets": ["openai/fast"]}}}, "routes.Chat (argument): must be a name of 1 to 63 lowercase"),
    ({"routes": {"chat": {}}}, "routes.chat.targets (argument): is required"),
    (route(), "routes.chat.targets (argument): must have at least 1 item, got 0"),
    (route(*["a"] * 17), "routes.chat.targets (argument): must have at most 16 items, got 17"),
    (route(""), "routes.chat.targets[0] (argument): must not be empty"),
    (route("a/b", "chat"), "routes.chat.targets[1] (argument): must be a model, not a route"),
    (route("a/b", "a/b"), "routes.chat.targets[1] (argument): duplicate model"),
    (
        route("a/b", fallback_models=["chat"]),
        "routes.chat.fallback_models[0] (argument): must be a model, not a route",
    ),
    (route("a/b", policy="random"), "routes.chat.policy (argument): must be 'priority', 'weighted', "),
    (route("a/b", weights=[1]), 'routes.chat.weights (argument): requires policy = "weighted", got "priority"'),
    (
        route("a/b", "a/c", policy="weighted", weights=[1]),
        "routes.chat.weights (argument): must have 2 weights, one per target, got 1",
    ),
    (route("a/b", policy="weighted", weights=[0]), "routes.chat.weights[0] (argument): must be at least 1, got 0"),
]


@pytest.mark.parametrize("cases", [VALUES, PROVIDERS, MODELS_AND_ROUTES], ids=["values", "providers", "models"])
def test_an_invalid_value_is_reported_by_setting_source_and_accepted_values(
    cases: list[tuple[Mapping[str, Any], str]],
) -> None:
    errors = [(message, error_of(arguments)) for arguments, message in cases]

    assert [(message, error) for message, error in errors if message not in error] == []


def test_an_empty_key_file_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("\n")

    error = error_of(provider(api_key_file=str(tmp_path / "key")))

    assert "providers.host.api_key_file (argument): must not be empty" in error


def test_all_invalid_values_are_listed_at_once() -> None:
    error = error_of({"server": {"listen": "x", "port": 1}, "retry": {"max_attempts": 99}})

    assert [line.split(" ")[1] for line in error.splitlines()[1:]] == [
        "server.listen",
        "server.port",
        "retry.max_attempts",
    ]


def test_all_inconsistent_values_are_listed_at_once() -> None:
    error = error_of(
        {"callers": callers("a", tier="gold"), "tiers": {"free": {"providers": {"cloud": {}}}}, **provider(models=[])}
    )

    assert [line.split(" ")[1] for line in error.splitlines()[1:]] == [
        "tiers.free.providers.cloud",
        "callers.a.tier",
        "providers.host.models",
    ]
