"""Default settings, and the values that settings accept."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from aimanager_server.config.errors import SettingsError
from aimanager_server.config.loader import load
from aimanager_server.config.settings import CallerSettings, ProviderSettings, ServerSettings, Settings, TokenSettings
from tests.support.tokens import callers

DIGEST = "ab" * 32


def error_of(arguments: Mapping[str, Any]) -> str:
    with pytest.raises(SettingsError) as caught:
        load(arguments, None, {})
    return str(caught.value)


def provider(**settings: object) -> Mapping[str, Any]:
    return {
        "providers": {"host": {"wire": "chat_completions", "base_url": "https://host/v1", "models": ["m"]} | settings}
    }


def test_the_built_in_providers_need_no_settings() -> None:
    providers = Settings().providers

    assert {name: (each.wire, each.base_url, each.api_key_env) for name, each in providers.items()} == {
        "claude": ("anthropic", "https://api.anthropic.com", "ANTHROPIC_API_KEY"),
        "openai": ("responses", "https://api.openai.com/v1", "OPENAI_API_KEY"),
        "deepseek": ("chat_completions", "https://api.deepseek.com", "DEEPSEEK_API_KEY"),
        "gemini": ("gemini", "https://generativelanguage.googleapis.com/v1beta", "GOOGLE_API_KEY"),
    }


def test_a_provider_built_in_code_is_added_to_the_built_in_ones() -> None:
    scripted = ProviderSettings(wire="mock", models=["m"])

    providers = Settings(providers={"scripted": scripted}).providers

    assert list(providers) == ["claude", "openai", "deepseek", "gemini", "scripted"]
    assert providers["scripted"] == scripted


def test_settings_are_immutable() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        ServerSettings().listen = "127.0.0.1:1"  # type: ignore[misc]  # the assignment under test


def test_the_default_api_key_env_follows_the_name_of_the_provider() -> None:
    settings = load(provider(), None, {"HOST_API_KEY": "k"}).settings

    assert settings.providers["host"].credentials()[0].key == "k"


def test_the_trailing_slash_of_a_base_url_is_removed() -> None:
    settings = load(provider(base_url="https://host/v1/"), None, {}).settings

    assert settings.providers["host"].base_url == "https://host/v1"


def test_api_keys_keep_their_order_and_weight(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("from-file\n")
    keys = [{"api_key_file": str(tmp_path / "key"), "weight": 2}, {"api_key": "direct"}]

    settings = load({"providers": {"claude": {"keys": keys}}}, None, {}).settings

    credentials = settings.providers["claude"].credentials()
    assert [(each.key, each.weight) for each in credentials] == [("from-file", 2), ("direct", 1)]


def test_whitespace_around_the_key_in_a_key_file_is_removed(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("  from-file\r\n")

    settings = load({"providers": {"claude": {"api_key_file": str(tmp_path / "key")}}}, None, {}).settings

    assert settings.providers["claude"].credentials()[0].key == "from-file"


def test_only_providers_that_need_an_api_key_and_have_none_lack_one() -> None:
    settings = load({"providers": {"claude": {"api_key": "k"}}}, None, {}).settings

    assert settings.missing_api_keys().keys() == {"openai", "deepseek", "gemini"}
    assert settings.missing_api_keys()["openai"] == (
        "Set OPENAI_API_KEY, or api_key under [providers.openai] in the config file."
    )


@pytest.mark.parametrize("address", ["127.0.0.1:50051", "localhost:0", "[::1]:65535", "127.9.9.9:1"])
def test_a_loopback_listener_needs_no_authentication(address: str) -> None:
    assert load({"server": {"listen": address}}, None, {}).settings.server.listen == address


@pytest.mark.parametrize(
    "access",
    [{"callers": callers("a")}, {"server": {"allow_anonymous": True}}],
)
def test_a_public_listener_is_accepted_with_callers_or_allow_anonymous(access: Mapping[str, Any]) -> None:
    server = {"listen": "0.0.0.0:50051"} | access.get("server", {})

    assert load({**access, "server": server}, None, {}).settings.server.listen == "0.0.0.0:50051"


def test_a_public_listener_is_accepted_with_client_certificates(tmp_path: Path) -> None:
    (tmp_path / "pem").write_text("pem")
    tls = dict.fromkeys(("certificate_file", "key_file", "client_ca_file"), str(tmp_path / "pem"))

    settings = load({"server": {"listen": "[::]:1", "tls": tls}}, None, {}).settings

    assert settings.server.tls is not None
    assert settings.server.tls.client_ca_file == tmp_path / "pem"


def test_a_public_listener_with_only_tls_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "pem").write_text("pem")
    tls = dict.fromkeys(("certificate_file", "key_file"), str(tmp_path / "pem"))

    error = error_of({"server": {"listen": "[::]:1", "tls": tls}})

    assert "server.listen (argument): is reachable from other machines without authentication" in error


@pytest.mark.parametrize("address", ["127.0.0.1:9464", "[::]:9464", "0.0.0.0:9464"])
def test_two_listeners_must_not_share_an_address(address: str) -> None:
    error = error_of({"server": {"health_listen": address}})

    assert "server.metrics_listen" in error
    assert "must not be the address of server.health_listen" in error


@pytest.mark.parametrize("name", ["health_listen", "metrics_listen"])
def test_health_and_metrics_may_listen_publicly_or_be_off(name: str) -> None:
    public = load({"server": {name: "[::]:9465"}}, None, {}).settings.server
    off = load({"server": {name: "off"}}, None, {}).settings.server

    assert (getattr(public, name), getattr(off, name)) == ("[::]:9465", None)


@pytest.mark.parametrize(
    "address", ["50051", ":50051", "host", "host:65536", "::1:1", "[1.2.3]:1", "http://h:1", "h :1", "unix:/x", ""]
)
def test_an_invalid_listen_address_is_rejected(address: str) -> None:
    assert error_of({"server": {"listen": address}}).endswith(
        "- server.listen (argument): must be HOST:PORT, such as 127.0.0.1:50051 or [::]:50051"
    )


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000", "http://localhost/v1", "http://[::1]:1", "https://10.0.0.1"])
def test_http_to_loopback_and_https_to_any_host_are_accepted(url: str) -> None:
    assert load(provider(base_url=url), None, {}).settings.providers["host"].base_url == url


def test_http_beyond_loopback_requires_allow_plaintext() -> None:
    allowed = load(provider(base_url="http://host", allow_plaintext=True), None, {}).settings

    assert allowed.providers["host"].base_url == "http://host"
    assert "providers.host.base_url (argument): would send API keys unencrypted" in error_of(
        provider(base_url="http://host")
    )


@pytest.mark.parametrize(
    "url", ["ftp://h", "h", "https://u:p@h", "https://h?a=b", "https://h#a", "https://", "https://h:0", "https://h /"]
)
def test_a_base_url_with_more_than_host_and_path_is_rejected(url: str) -> None:
    error = error_of(provider(base_url=url))

    assert "providers.host.base_url (argument): must be an http or https URL without user" in error


@pytest.mark.parametrize("url", ["https://h:x", "https://[::"])
def test_an_invalid_base_url_is_rejected(url: str) -> None:
    assert "providers.host.base_url (argument): must be a URL such as" in error_of(provider(base_url=url))


def test_a_caller_needs_no_tier_if_none_are_defined() -> None:
    assert (
        Settings(callers={"a": CallerSettings(tokens=[TokenSettings(id="a", sha256=DIGEST)])}).callers["a"].tier
        == "free"
    )


def test_tiers_without_the_default_one_are_accepted_if_every_caller_has_a_tier() -> None:
    settings = load({"callers": callers("a", tier="gold"), "tiers": {"gold": {}}}, None, {}).settings

    assert set(settings.tiers) == {"gold"}


def mutual_tls(folder: Path) -> Mapping[str, Any]:
    (folder / "pem").write_text("pem")
    return {"tls": dict.fromkeys(("certificate_file", "key_file", "client_ca_file"), str(folder / "pem"))}


@pytest.mark.parametrize("settings", [{}, {"server": {"allow_anonymous": True}, "callers": callers("a", tier="gold")}])
def test_anonymous_callers_need_the_default_tier(settings: Mapping[str, Any]) -> None:
    error = error_of({**settings, "tiers": {"gold": {"requests_per_minute": 5}}})
    accepted = load({**settings, "tiers": {"gold": {}, "free": {}}}, None, {}).settings

    assert error.endswith(
        "- tiers.free (argument): is required, since anonymous callers have this tier and would not be limited; add "
        "[tiers.free] with their quotas, or without any to set no limits"
    )
    assert set(accepted.tiers) == {"gold", "free"}


def test_callers_named_by_a_certificate_need_the_default_tier(tmp_path: Path) -> None:
    error = error_of({"server": mutual_tls(tmp_path), "tiers": {"gold": {}}})

    assert "tiers.free (argument): is required, since callers named by a certificate have this tier" in error


def test_with_client_certificates_a_caller_needs_no_token(tmp_path: Path) -> None:
    callers = {"a": {}, "b": {"certificate_names": ["spiffe://b", "b.example"]}}

    settings = load({"server": mutual_tls(tmp_path), "callers": callers}, None, {}).settings

    assert [settings.certificate_names(name) for name in callers] == [("a",), ["spiffe://b", "b.example"]]


def test_a_certificate_name_identifies_one_caller_only(tmp_path: Path) -> None:
    callers = {"a": {}, "b": {"certificate_names": ["a"]}}

    error = error_of({"server": mutual_tls(tmp_path), "callers": callers})

    assert error.endswith("- callers.b.certificate_names[0] (argument): must name one caller only")


def test_the_expiry_of_a_token_has_a_time_zone(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(
        f'[callers.a]\ntokens = [{{ id = "a", sha256 = "{DIGEST}", expires = 2027-01-31T00:00:00+01:00 }}]\n'
    )

    (token,) = load({}, tmp_path / "a.toml", {}).settings.callers["a"].tokens

    assert token.expires == datetime(2027, 1, 30, 23, tzinfo=UTC)


def test_tokens_can_be_set_in_the_environment() -> None:
    tokens = f'[{{"id": "a", "sha256": "{DIGEST}", "expires": "2027-01-31T00:00:00Z"}}]'

    (token,) = load({}, None, {"AIMANAGER_CALLERS__A__TOKENS": tokens}).settings.callers["a"].tokens

    assert (token.id, token.expires) == ("a", datetime(2027, 1, 31, tzinfo=UTC))


def test_a_token_digest_is_converted_to_lower_case() -> None:
    assert TokenSettings(id="a", sha256=DIGEST.upper()).sha256 == DIGEST
