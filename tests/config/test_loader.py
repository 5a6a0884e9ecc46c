"""Arguments beat the file, the file the environment, that the provider defaults, and those the defaults."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from aimanager_server.config.errors import SettingsError
from aimanager_server.config.layers import Tree
from aimanager_server.config.loader import Loaded, load
from aimanager_server.config.settings import Settings

LEVELS = ("argument", "file", "environment", "provider default", "default")


def said_at(level: str, folder: Path) -> Mapping[str, Any]:
    """What to give `load` so that this level says where Claude is; the last two always speak, or never."""
    match level:
        case "argument":
            return {"arguments": {"providers": {"claude": {"base_url": "https://argument"}}}}
        case "file":
            config = folder / "aimanager.toml"
            config.write_text('[providers.claude]\nbase_url = "https://file"\n')
            return {"config": config}
        case "environment":
            return {"environment": {"AIMANAGER_PROVIDERS__CLAUDE__BASE_URL": "https://environment"}}
        case _:
            return {}


def loaded(*parts: Mapping[str, Any]) -> Loaded:
    given: dict[str, Any] = {"arguments": {}, "config": None, "environment": {}}
    for part in parts:
        given |= part
    return load(**given)


@pytest.mark.parametrize(("higher", "lower"), list(combinations(LEVELS[:4], 2)))
def test_the_higher_level_wins(higher: str, lower: str, tmp_path: Path) -> None:
    made = loaded(said_at(lower, tmp_path), said_at(higher, tmp_path))

    expected = f"https://{higher}" if higher != "provider default" else "https://api.anthropic.com"
    assert made.settings.providers["claude"].base_url == expected
    assert made.origin(("providers", "claude", "base_url")).startswith(higher)


@pytest.mark.parametrize("higher", LEVELS[:3])
def test_every_level_beats_the_default(higher: str, tmp_path: Path) -> None:
    (tmp_path / "aimanager.toml").write_text("[retry]\nattempts = 7\n")
    said: Mapping[str, Mapping[str, Any]] = {
        "argument": {"arguments": {"retry": {"attempts": 7}}},
        "file": {"config": tmp_path / "aimanager.toml"},
        "environment": {"environment": {"AIMANAGER_RETRY__ATTEMPTS": "7"}},
    }

    made = loaded(said[higher])

    assert made.settings.retry.attempts == 7
    assert made.origin(("retry", "attempts")).startswith(higher)


def test_a_provider_default_beats_the_default() -> None:
    made = loaded()

    assert made.settings.providers["claude"].base_url == "https://api.anthropic.com"
    assert made.origin(("providers", "claude", "base_url")) == "provider default"


def test_what_nobody_says_has_its_default() -> None:
    made = loaded()

    assert made.settings == Settings()
    assert made.origin(("server", "listen")) == "default"


def test_levels_are_joined_key_by_key(tmp_path: Path) -> None:
    config = tmp_path / "a.toml"
    config.write_text('[server]\nlog_level = "error"\n')

    server = load(
        {"server": {"listen": "localhost:1"}}, config, {"AIMANAGER_SERVER__REFLECTION": "true"}
    ).settings.server

    assert (server.listen, server.log_level, server.reflection) == ("localhost:1", "error", True)


@pytest.mark.parametrize(
    ("variable", "text", "place", "value"),
    [
        ("AIMANAGER_SERVER__REFLECTION", "1", "server.reflection", True),
        ("AIMANAGER_SERVER__REFLECTION", "No", "server.reflection", False),
        ("AIMANAGER_SERVER__DRAIN_SECONDS", "1.5", "server.drain_seconds", 1.5),
        ("AIMANAGER_SERVER__DEFAULT_MODEL", "12", "server.default_model", "12"),
        ("AIMANAGER_SERVER__METRICS_LISTEN", "[::]:1", "server.metrics_listen", "[::]:1"),
        ("AIMANAGER_SERVER", '{"log_level": "error"}', "server.log_level", "error"),
        ("AIMANAGER_PROVIDERS__MOCK__MODELS", '["a"]', "providers.mock.models", ["a"]),
        ("AIMANAGER_PROVIDERS__MOCK__HEADERS__USER", "1", "providers.mock.headers.user", "1"),
        ("AIMANAGER_PROVIDERS__MOCK__OPTIONS__A__B", "1", "providers.mock.options.a.b", 1),
        ("AIMANAGER_PROVIDERS__MOCK__OPTIONS__A", "x", "providers.mock.options.a", "x"),
        ("AIMANAGER_PROVIDERS__MOCK__DEFAULTS__TOP_P", "1", "providers.mock.defaults.top_p", 1.0),
        ("AIMANAGER_TIERS__FREE__REQUESTS_PER_MINUTE", "9", "tiers.free.requests_per_minute", 9),
    ],
)
def test_a_variable_is_read_as_the_kind_its_key_takes(variable: str, text: str, place: str, value: object) -> None:
    made = load({}, None, {variable: text})

    found: Any = made.settings
    for part in place.split("."):
        found = found[part] if isinstance(found, dict) else getattr(found, part)
    assert found == value
    assert made.origin(tuple(place.split("."))) == f"environment:{variable}"


def test_an_empty_variable_says_nothing() -> None:
    assert (
        load({}, None, {"AIMANAGER_SERVER__LISTEN": "", "OPENAI_BASE_URL": "", "OPENAI_API_KEY": " "}).settings
        == Settings()
    )


def test_the_more_particular_variable_wins() -> None:
    environment = {"AIMANAGER_SERVER": '{"log_level": "error"}', "AIMANAGER_SERVER__LOG_LEVEL": "debug"}

    assert load({}, None, environment).settings.server.log_level == "debug"


def test_our_own_variable_beats_the_vendors() -> None:
    environment = {"AIMANAGER_PROVIDERS__OPENAI__BASE_URL": "https://ours", "OPENAI_BASE_URL": "https://theirs"}

    assert load({}, None, environment).settings.providers["openai"].base_url == "https://ours"


@pytest.mark.parametrize("vendor", ["ANTHROPIC", "OPENAI", "DEEPSEEK"])
def test_the_vendors_variables_are_read(vendor: str) -> None:
    name = {"ANTHROPIC": "claude"}.get(vendor, vendor.lower())

    made = load({}, None, {f"{vendor}_API_KEY": " k\n", f"{vendor}_BASE_URL": "https://theirs"})

    provider = made.settings.providers[name]
    assert (provider.base_url, provider.credentials()[0].key) == ("https://theirs", "k")
    assert made.origin(("providers", name, "api_key")) == f"environment:{vendor}_API_KEY"


@pytest.mark.parametrize(
    ("base_url", "wire"),
    [
        ("", "responses"),
        ("https://api.openai.com/v1", "responses"),
        ("https://eu.api.openai.com/v1", "responses"),
        ("https://notapi.openai.com.example/v1", "chat_completions"),
        ("http://localhost:8000/v1", "chat_completions"),
    ],
)
def test_those_who_copy_openai_are_asked_in_its_older_wire(base_url: str, wire: str) -> None:
    said = {"openai": {"base_url": base_url}} if base_url else {}

    assert load({}, None, {"OPENAI_BASE_URL": base_url}).settings.providers["openai"].wire == wire
    assert load({"providers": said}, None, {}).settings.providers["openai"].wire == wire
    assert Settings.model_validate({"providers": said}).providers["openai"].wire == wire


@pytest.mark.parametrize("wire", ["responses", "chat_completions"])
def test_the_operators_wire_beats_the_one_an_address_suggests(wire: str) -> None:
    said = {"providers": {"openai": {"base_url": "http://localhost:8000/v1", "wire": wire}}}

    assert load(said, None, {"OPENAI_BASE_URL": "https://api.openai.com/v1"}).settings.providers["openai"].wire == wire


@pytest.mark.parametrize("said", [{"api_key": "file"}, {"keys": [{"api_key": "file"}]}])
def test_a_key_said_higher_up_hides_every_key_below(said: Mapping[str, object]) -> None:
    environment = {
        "ANTHROPIC_API_KEY": "vendor",
        "AIMANAGER_PROVIDERS__CLAUDE__API_KEY": "environment",
        "AIMANAGER_PROVIDERS__CLAUDE__KEYS": '[{"api_key": "listed"}]',
    }

    made = load({"providers": {"claude": said}}, None, environment)

    assert [held.key for held in made.settings.providers["claude"].credentials()] == ["file"]


def test_a_disabled_provider_is_given_no_key() -> None:
    made = load({}, None, {"OPENAI_API_KEY": "k", "AIMANAGER_PROVIDERS__OPENAI__ENABLED": "false"})

    assert made.settings.providers["openai"].credentials() == ()


def test_a_key_variable_of_its_own_is_read() -> None:
    made = load({"providers": {"openai": {"key_variable": "MY_KEY"}}}, None, {"MY_KEY": "k", "OPENAI_API_KEY": "no"})

    assert made.settings.providers["openai"].credentials()[0].key == "k"


@pytest.mark.parametrize(
    ("variable", "hint"),
    [
        (
            "AIMANAGER_SERVER__LISTN",
            "server.listn (environment:AIMANAGER_SERVER__LISTN): is not a setting; did you mean",
        ),
        ("AIMANAGER_LISTEN", "listen (environment:AIMANAGER_LISTEN): is not a setting; "),
        (
            "AIMANAGER_SERVER__LISTEN__HOST",
            "server.listen (environment:AIMANAGER_SERVER__LISTEN__HOST): accepted is text",
        ),
        (
            "AIMANAGER_RETRY__ATTEMPTS",
            "retry.attempts (environment:AIMANAGER_RETRY__ATTEMPTS): accepted is a whole number",
        ),
        ("AIMANAGER_SERVER__TLS", "server.tls (environment:AIMANAGER_SERVER__TLS): accepted is a table"),
        ("AIMANAGER_SERVER__REFLECTION", "accepted is true or false"),
        ("AIMANAGER_PROVIDERS__CLAUDE__KEY_VARIABLE__X", "accepted is text"),
    ],
)
def test_a_variable_that_cannot_be_used_is_refused(variable: str, hint: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load({}, None, {variable: "x"})

    assert hint in str(caught.value)


def test_a_value_where_a_higher_level_has_a_table_is_refused() -> None:
    with pytest.raises(SettingsError) as caught:
        load({"server": {"listen": "localhost:1"}}, None, {"AIMANAGER_SERVER": "x"})

    assert str(caught.value).endswith("- server (environment:AIMANAGER_SERVER): accepted is a table")


@pytest.mark.parametrize(
    "variable",
    [
        "AIMANAGER_CONFIG",
        "AIMANAGER_SERVICE_HOST",
        "AIMANAGER_SERVICE_PORT_GRPC",
        "AIMANAGER_PORT",
        "AIMANAGER_PORT_50051_TCP",
        "AIMANAGER_PORT_50051_TCP_ADDR",
        "AIMANAGER_SERVER_SERVICE_HOST",
    ],
)
def test_the_config_variable_and_those_of_kubernetes_are_no_settings(variable: str) -> None:
    assert load({}, None, {variable: "x"}).settings == Settings()


def test_a_place_nobody_spoke_of_has_no_source() -> None:
    assert Tree().source_of(("server", "listen")) == ""
