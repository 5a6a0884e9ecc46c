"""Precedence of the sources of settings: arguments, file, environment, provider defaults, system defaults."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from aimanager_server.config.environment import unknown_variables
from aimanager_server.config.errors import SettingsError
from aimanager_server.config.layers import ConfigLayers
from aimanager_server.config.loader import LoadedSettings, load
from aimanager_server.config.settings import Settings

SOURCES = ("argument", "file", "environment", "provider default")


def base_url_from(source: str, folder: Path) -> Mapping[str, Any]:
    """Arguments of `load` with which this source sets the base URL of Claude; the provider default always does."""
    match source:
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


def load_from(*sources: Mapping[str, Any]) -> LoadedSettings:
    given: dict[str, Any] = {"arguments": {}, "config": None, "environment": {}}
    for source in sources:
        given |= source
    return load(**given)


@pytest.mark.parametrize(("higher", "lower"), list(combinations(SOURCES, 2)))
def test_the_source_with_higher_precedence_wins(higher: str, lower: str, tmp_path: Path) -> None:
    loaded = load_from(base_url_from(lower, tmp_path), base_url_from(higher, tmp_path))

    assert loaded.settings.providers["claude"].base_url == f"https://{higher}"
    assert loaded.origin(("providers", "claude", "base_url")).startswith(higher)


@pytest.mark.parametrize("source", SOURCES[:3])
def test_every_source_overrides_the_system_default(source: str, tmp_path: Path) -> None:
    (tmp_path / "aimanager.toml").write_text("[retry]\nmax_attempts = 7\n")
    given: Mapping[str, Mapping[str, Any]] = {
        "argument": {"arguments": {"retry": {"max_attempts": 7}}},
        "file": {"config": tmp_path / "aimanager.toml"},
        "environment": {"environment": {"AIMANAGER_RETRY__MAX_ATTEMPTS": "7"}},
    }

    loaded = load_from(given[source])

    assert loaded.settings.retry.max_attempts == 7
    assert loaded.origin(("retry", "max_attempts")).startswith(source)


def test_a_provider_default_overrides_the_system_default() -> None:
    loaded = load_from()

    assert loaded.settings.providers["claude"].base_url == "https://api.anthropic.com"
    assert loaded.origin(("providers", "claude", "base_url")) == "provider default"


def test_without_sources_all_settings_have_their_defaults() -> None:
    loaded = load_from()

    assert loaded.settings == Settings()
    assert loaded.origin(("server", "listen")) == "default"


def test_sources_are_merged_key_by_key(tmp_path: Path) -> None:
    config = tmp_path / "a.toml"
    config.write_text('[server]\nlog_level = "error"\n')

    server = load(
        {"server": {"listen": "localhost:1"}}, config, {"AIMANAGER_SERVER__REFLECTION": "true"}
    ).settings.server

    assert (server.listen, server.log_level, server.reflection) == ("localhost:1", "error", True)


@pytest.mark.parametrize(
    ("variable", "text", "setting", "value"),
    [
        ("AIMANAGER_SERVER__REFLECTION", "1", "server.reflection", True),
        ("AIMANAGER_SERVER__REFLECTION", "No", "server.reflection", False),
        ("AIMANAGER_SERVER__DRAIN_TIMEOUT_SECONDS", "1.5", "server.drain_timeout_seconds", 1.5),
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
def test_a_variable_is_converted_to_the_type_of_its_setting(
    variable: str, text: str, setting: str, value: object
) -> None:
    loaded = load({}, None, {variable: text})

    found: Any = loaded.settings
    for part in setting.split("."):
        found = found[part] if isinstance(found, dict) else getattr(found, part)
    assert found == value
    assert loaded.origin(tuple(setting.split("."))) == f"environment:{variable}"


def test_an_empty_variable_is_ignored() -> None:
    environment = {"AIMANAGER_SERVER__LISTEN": "", "OPENAI_BASE_URL": "", "OPENAI_API_KEY": " "}

    assert load({}, None, environment).settings == Settings()


def test_the_more_specific_variable_wins() -> None:
    environment = {"AIMANAGER_SERVER": '{"log_level": "error"}', "AIMANAGER_SERVER__LOG_LEVEL": "debug"}

    assert load({}, None, environment).settings.server.log_level == "debug"


def test_an_aimanager_variable_overrides_the_vendors_variable() -> None:
    environment = {"AIMANAGER_PROVIDERS__OPENAI__BASE_URL": "https://ours", "OPENAI_BASE_URL": "https://theirs"}

    assert load({}, None, environment).settings.providers["openai"].base_url == "https://ours"


@pytest.mark.parametrize("vendor", ["ANTHROPIC", "OPENAI", "DEEPSEEK"])
def test_the_vendors_variables_set_api_key_and_base_url(vendor: str) -> None:
    name = {"ANTHROPIC": "claude"}.get(vendor, vendor.lower())

    loaded = load({}, None, {f"{vendor}_API_KEY": " k\n", f"{vendor}_BASE_URL": "https://theirs"})

    provider = loaded.settings.providers[name]
    assert (provider.base_url, provider.credentials()[0].key) == ("https://theirs", "k")
    assert loaded.origin(("providers", name, "api_key")) == f"environment:{vendor}_API_KEY"


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
def test_openai_at_another_host_uses_the_chat_completions_wire(base_url: str, wire: str) -> None:
    providers = {"openai": {"base_url": base_url}} if base_url else {}

    assert load({}, None, {"OPENAI_BASE_URL": base_url}).settings.providers["openai"].wire == wire
    assert load({"providers": providers}, None, {}).settings.providers["openai"].wire == wire
    assert Settings.model_validate({"providers": providers}).providers["openai"].wire == wire


@pytest.mark.parametrize("wire", ["responses", "chat_completions"])
def test_a_configured_wire_overrides_the_default_for_the_host(wire: str) -> None:
    arguments = {"providers": {"openai": {"base_url": "http://localhost:8000/v1", "wire": wire}}}

    loaded = load(arguments, None, {"OPENAI_BASE_URL": "https://api.openai.com/v1"})

    assert loaded.settings.providers["openai"].wire == wire


@pytest.mark.parametrize("keys", [{"api_key": "file"}, {"keys": [{"api_key": "file"}]}])
def test_api_keys_of_a_higher_source_replace_all_keys_of_lower_ones(keys: Mapping[str, object]) -> None:
    environment = {
        "ANTHROPIC_API_KEY": "vendor",
        "AIMANAGER_PROVIDERS__CLAUDE__API_KEY": "environment",
        "AIMANAGER_PROVIDERS__CLAUDE__KEYS": '[{"api_key": "listed"}]',
    }

    loaded = load({"providers": {"claude": keys}}, None, environment)

    assert [credential.key for credential in loaded.settings.providers["claude"].credentials()] == ["file"]


def test_a_disabled_provider_gets_no_api_key() -> None:
    loaded = load({}, None, {"OPENAI_API_KEY": "k", "AIMANAGER_PROVIDERS__OPENAI__ENABLED": "false"})

    assert loaded.settings.providers["openai"].credentials() == ()


def test_api_key_env_names_the_variable_of_the_api_key() -> None:
    environment = {"MY_KEY": "k", "OPENAI_API_KEY": "no"}

    loaded = load({"providers": {"openai": {"api_key_env": "MY_KEY"}}}, None, environment)

    assert loaded.settings.providers["openai"].credentials()[0].key == "k"


@pytest.mark.parametrize(
    ("variable", "message"),
    [
        (
            "AIMANAGER_SERVER__LISTN",
            "server.listn (environment:AIMANAGER_SERVER__LISTN): unknown setting; did you mean listen",
        ),
        (
            "AIMANAGER_SERVR__LISTEN",
            "servr (environment:AIMANAGER_SERVR__LISTEN): unknown setting; did you mean server",
        ),
        (
            "AIMANAGER_SERVER__LISTEN__HOST",
            "server.listen (environment:AIMANAGER_SERVER__LISTEN__HOST): must be a string",
        ),
        (
            "AIMANAGER_RETRY__MAX_ATTEMPTS",
            "retry.max_attempts (environment:AIMANAGER_RETRY__MAX_ATTEMPTS): must be an integer",
        ),
        ("AIMANAGER_SERVER__TLS", "server.tls (environment:AIMANAGER_SERVER__TLS): must be a table"),
        ("AIMANAGER_SERVER__REFLECTION", "must be true or false"),
        ("AIMANAGER_PROVIDERS__CLAUDE__API_KEY_ENV__X", "must be a string"),
    ],
)
def test_an_invalid_variable_is_reported_by_name(variable: str, message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load({}, None, {variable: "x"})

    assert message in str(caught.value)


def test_a_value_instead_of_a_table_of_a_higher_source_is_reported() -> None:
    with pytest.raises(SettingsError) as caught:
        load({"server": {"listen": "localhost:1"}}, None, {"AIMANAGER_SERVER": "x"})

    assert str(caught.value).endswith("- server (environment:AIMANAGER_SERVER): must be a table")


@pytest.mark.parametrize(
    "variable",
    [
        "AIMANAGER_CONFIG",
        "AIMANAGER_TARGET",
        "AIMANAGER_TOKEN",
        "AIMANAGER_SERVICE_HOST",
        "AIMANAGER_SERVICE_PORT_GRPC",
        "AIMANAGER_PORT",
        "AIMANAGER_PORT_50051_TCP",
        "AIMANAGER_PORT_50051_TCP_ADDR",
        "AIMANAGER_SERVER_SERVICE_HOST",
    ],
)
def test_variables_of_other_programs_are_neither_settings_nor_unknown(variable: str) -> None:
    assert load({}, None, {variable: "x"}).settings == Settings()
    assert unknown_variables({variable: "x"}) == ()


@pytest.mark.parametrize(
    ("variable", "nearest"),
    [
        ("AIMANAGER_IMAGE_TAG", ""),
        ("AIMANAGER_LISTEN", "AIMANAGER_SERVER__LISTEN"),
        ("AIMANAGER_SERVER_LISTEN", "AIMANAGER_SERVER__LISTEN"),
        ("AIMANAGER_RETRY_MAX_ATTEMPT", "AIMANAGER_RETRY__MAX_ATTEMPTS"),
        ("AIMANAGER_TARGETS", "AIMANAGER_TARGET"),
    ],
)
def test_a_variable_outside_the_form_of_settings_is_ignored_with_the_nearest_name(variable: str, nearest: str) -> None:
    environment = {variable: "x", "OTHER": "x"}

    assert load({}, None, environment).settings == Settings()
    assert [(each.name, each.nearest) for each in unknown_variables(environment)] == [(variable, nearest)]


def test_an_unset_path_has_no_origin() -> None:
    assert ConfigLayers().origin_of(("server", "listen")) == ""
