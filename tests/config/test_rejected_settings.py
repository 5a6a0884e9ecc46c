"""What the settings refuse: by key, source and accepted form, never by value."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from aimanager_server.config.errors import SettingsError
from aimanager_server.config.loader import load

DIGEST = "ab" * 32


def refusal(arguments: Mapping[str, Any]) -> str:
    with pytest.raises(SettingsError) as caught:
        load(arguments, None, {})
    return str(caught.value)


def provider(**said: object) -> Mapping[str, Any]:
    host = {"wire": "chat_completions", "base_url": "https://host/v1", "models": ["m"]}
    return {"providers": {"host": host | said}}


WRONG = [
    ({"server": {"max_in_flight": "12"}}, "server.max_in_flight (argument): accepted is a whole number"),
    ({"server": {"max_in_flight": True}}, "server.max_in_flight (argument): accepted is a whole number"),
    (
        {"server": {"max_in_flight": 0}},
        "server.max_in_flight (argument): accepted is a number greater than or equal to 1",
    ),
    ({"server": {"reflection": "yes"}}, "server.reflection (argument): accepted is true or false"),
    ({"server": {"listen": 1}}, "server.listen (argument): accepted is text"),
    ({"server": {"log_level": "loud"}}, "accepted is 'debug', 'info', 'warning' or 'error'"),
    ({"retry": {"base_seconds": "1"}}, "retry.base_seconds (argument): accepted is a number"),
    ({"retry": {"base_seconds": float("inf")}}, "retry.base_seconds (argument): accepted is a finite number"),
    (provider(key_variable="sk-ant-oops"), "providers.host.key_variable (argument): is no name of a variable"),
    ({"retry": 3}, "retry (argument): accepted is a table"),
    ({"providers": 3}, "providers (argument): accepted is a table"),
    ({"providers": {"claude": 3}}, "providers.claude (argument): accepted is a table"),
    ({"server": {"tls": {"key_file": 3}}}, "server.tls.key_file (argument): accepted is the path of a file"),
    ({"server": {"tls": {"key_file": "/nowhere"}}}, "server.tls.certificate_file (argument): is missing"),
    ({"server": {"tls": {"key_file": "/nowhere"}}}, "server.tls.key_file (argument): cannot be read (No such file"),
    ({"server": {"listn": "x"}}, "server.listn (argument): is not a setting; did you mean listen"),
    ({"servers": {}}, "servers (argument): is not a setting; did you mean server"),
    (
        {"retry": {"zzz": 1}},
        "retry.zzz (argument): is not a setting; accepted here: attempts, base_seconds, budget_reserve",
    ),
    (provider(models=[]), "providers.host.models (argument): is missing; accepted is a list of models, or allow_any"),
    (provider(models=[""]), "providers.host.models[0] (argument): is empty"),
    (provider(models="m"), "providers.host.models (argument): accepted is a list"),
    (provider(base_url=""), "providers.host.base_url (argument): is missing"),
    (provider(wire="soap"), "providers.host.wire (argument): accepted is 'claude', 'chat_completions', 'responses', "),
    ({"providers": {"host": {}}}, "providers.host.wire (argument): is missing"),
    ({"providers": {"Host": {"wire": "mock"}}}, "providers.Host (argument): is not a name; accepted are 1 to 63 lower"),
    (provider(headers={"a b": "c"}), "is not the name of an HTTP header"),
    (provider(headers={"a": "b\nc"}), "providers.host.headers.a (argument): is not the value of an HTTP header"),
    (provider(version="b\nc"), "providers.host.version (argument): is not the value of an HTTP header"),
    (provider(api_key=" "), "providers.host.api_key (argument): is empty; accepted is a key"),
    (provider(api_key="a b"), "providers.host.api_key (argument): holds a blank"),
    (provider(api_key="a\nb"), "providers.host.api_key (argument): holds a blank"),
    (provider(api_key="ä"), "providers.host.api_key (argument): holds a blank"),
    (provider(api_key_file="/nowhere"), "providers.host.api_key_file (argument): cannot be read (No such file"),
    (provider(api_key="a", keys=[{"api_key": "b"}]), "providers.host.keys (argument): stands beside api_key; accepted"),
    (provider(keys=[{"weight": 1}]), "providers.host.keys[0] (argument): holds both or neither"),
    (
        provider(keys=[{"api_key": "a", "api_key_file": "b"}]),
        "providers.host.keys[0] (argument): holds both or neither",
    ),
    (provider(keys=[{"api_key_file": "/nowhere"}]), "providers.host.keys[0].api_key_file (argument): cannot be read"),
    (
        provider(keys=[{"api_key": "a", "weigth": 1}]),
        "providers.host.keys[0].weigth (argument): is not a setting; did you",
    ),
    (provider(defaults={"temperature": 3.0}), "accepted is a number less than or equal to 2"),
    ({"callers": {"a": {"token_sha256": "abc"}}}, "callers.a.token_sha256 (argument): is not a digest"),
    (
        {"callers": {"a": {"token_sha256": DIGEST, "tier": "gold"}}},
        "callers.a.tier (argument): names no tier; accepted",
    ),
    (
        {"callers": {"a": {"token_sha256": DIGEST}}, "tiers": {"gold": {}}},
        "callers.a.tier (argument): names no tier; accepted is one that [tiers.NAME] defines: gold",
    ),
    (
        {"callers": {"a": {"token_sha256": DIGEST}, "b": {"token_sha256": DIGEST.upper()}}},
        "callers.b.token_sha256 (argument): is another caller's too",
    ),
    (
        {"tiers": {"free": {"providers": {"cloud": {}}}}},
        "tiers.free.providers.cloud (argument): is no provider; accepted",
    ),
]


@pytest.mark.parametrize(("said", "text"), WRONG, ids=[text for _, text in WRONG])
def test_a_wrong_value_is_refused_by_key_source_and_accepted_form(said: Mapping[str, Any], text: str) -> None:
    assert text in refusal(said)


def test_an_empty_key_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("\n")

    said = refusal(provider(api_key_file=str(tmp_path / "key")))

    assert "providers.host.api_key_file (argument): is empty" in said


def test_all_problems_are_listed_at_once() -> None:
    said = refusal({"server": {"listen": "x", "port": 1}, "retry": {"attempts": 99}})

    assert [line.split(" ")[1] for line in said.splitlines()[1:]] == ["server.listen", "server.port", "retry.attempts"]


def test_values_that_do_not_fit_together_are_listed_at_once() -> None:
    caller = {"token_sha256": DIGEST, "tier": "gold"}

    said = refusal({"callers": {"a": caller}, "tiers": {"free": {"providers": {"cloud": {}}}}, **provider(models=[])})

    assert [line.split(" ")[1] for line in said.splitlines()[1:]] == [
        "tiers.free.providers.cloud",
        "callers.a.tier",
        "providers.host.models",
    ]
