"""What the settings hold where nothing is said, and which values they accept."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from aimanager_server.config.errors import SettingsError
from aimanager_server.config.loader import load
from aimanager_server.config.settings import CallerSettings, ProviderSettings, Server, Settings

DIGEST = "ab" * 32


def refusal(arguments: Mapping[str, Any]) -> str:
    with pytest.raises(SettingsError) as caught:
        load(arguments, None, {})
    return str(caught.value)


def provider(**said: object) -> Mapping[str, Any]:
    host = {"wire": "chat_completions", "base_url": "https://host/v1", "models": ["m"]}
    return {"providers": {"host": host | said}}


def test_the_built_in_providers_are_there_without_being_said() -> None:
    providers = Settings().providers

    assert {name: (made.wire, made.base_url, made.key_variable) for name, made in providers.items()} == {
        "mock": ("mock", "", ""),
        "claude": ("claude", "https://api.anthropic.com", "ANTHROPIC_API_KEY"),
        "openai": ("responses", "https://api.openai.com/v1", "OPENAI_API_KEY"),
        "deepseek": ("chat_completions", "https://api.deepseek.com", "DEEPSEEK_API_KEY"),
        "gemini": ("gemini", "https://generativelanguage.googleapis.com/v1beta", "GOOGLE_API_KEY"),
    }


def test_a_provider_made_in_code_stands_beside_the_built_in_ones() -> None:
    made = ProviderSettings(wire="mock", models=["m"])

    providers = Settings(providers={"scripted": made}).providers

    assert list(providers) == ["mock", "claude", "openai", "deepseek", "gemini", "scripted"]
    assert providers["scripted"] == made


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Server().listen = "127.0.0.1:1"  # type: ignore[misc]  # what the test is about


def test_a_providers_key_variable_follows_its_name() -> None:
    settings = load(provider(), None, {"HOST_API_KEY": "k"}).settings

    assert settings.providers["host"].credentials()[0].key == "k"


def test_the_last_slash_of_a_base_url_is_dropped() -> None:
    settings = load(provider(base_url="https://host/v1/"), None, {}).settings

    assert settings.providers["host"].base_url == "https://host/v1"


def test_keys_keep_their_order_and_weight(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("from-file\n")
    keys = [{"api_key_file": str(tmp_path / "key"), "weight": 2}, {"api_key": "itself"}]

    settings = load({"providers": {"claude": {"keys": keys}}}, None, {}).settings

    assert [(held.key, held.weight) for held in settings.providers["claude"].credentials()] == [
        ("from-file", 2),
        ("itself", 1),
    ]


def test_a_key_file_is_read_without_its_line_end(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("  from-file\r\n")

    settings = load({"providers": {"claude": {"api_key_file": str(tmp_path / "key")}}}, None, {}).settings

    assert settings.providers["claude"].credentials()[0].key == "from-file"


@pytest.mark.parametrize("said", ["127.0.0.1:50051", "localhost:0", "[::1]:65535", "127.9.9.9:1"])
def test_a_loopback_listener_needs_no_authentication(said: str) -> None:
    assert load({"server": {"listen": said}}, None, {}).settings.server.listen == said


@pytest.mark.parametrize(
    "beside",
    [{"callers": {"a": {"token_sha256": DIGEST}}}, {"server": {"allow_anonymous": True}}],
)
def test_an_open_listener_is_accepted_with_callers_or_when_anonymous(beside: Mapping[str, Any]) -> None:
    server = {"listen": "0.0.0.0:50051"} | beside.get("server", {})

    assert load({**beside, "server": server}, None, {}).settings.server.listen == "0.0.0.0:50051"


def test_an_open_listener_is_accepted_with_client_certificates(tmp_path: Path) -> None:
    (tmp_path / "pem").write_text("pem")
    tls = dict.fromkeys(("certificate_file", "key_file", "client_ca_file"), str(tmp_path / "pem"))

    settings = load({"server": {"listen": "[::]:1", "tls": tls}}, None, {}).settings

    assert settings.server.tls is not None
    assert settings.server.tls.client_ca_file == tmp_path / "pem"


def test_an_open_listener_with_tls_alone_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pem").write_text("pem")
    tls = dict.fromkeys(("certificate_file", "key_file"), str(tmp_path / "pem"))

    assert "server.listen (argument): is open to other machines" in refusal(
        {"server": {"listen": "[::]:1", "tls": tls}}
    )


@pytest.mark.parametrize("name", ["health_listen", "metrics_listen"])
def test_health_and_metrics_may_be_open_or_off(name: str) -> None:
    opened = load({"server": {name: "[::]:9464"}}, None, {}).settings.server
    closed = load({"server": {name: "off"}}, None, {}).settings.server

    assert (getattr(opened, name), getattr(closed, name)) == ("[::]:9464", None)


@pytest.mark.parametrize(
    "said", ["50051", ":50051", "host", "host:65536", "::1:1", "[1.2.3]:1", "http://h:1", "h :1", "unix:/x", ""]
)
def test_what_is_no_address_is_refused(said: str) -> None:
    assert refusal({"server": {"listen": said}}).endswith(
        "- server.listen (argument): is not an address; accepted is host:port, such as 127.0.0.1:50051 or [::]:50051"
    )


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000", "http://localhost/v1", "http://[::1]:1", "https://10.0.0.1"])
def test_http_to_this_machine_and_https_anywhere_are_accepted(url: str) -> None:
    assert load(provider(base_url=url), None, {}).settings.providers["host"].base_url == url


def test_plaintext_beyond_this_machine_must_be_allowed() -> None:
    allowed = load(provider(base_url="http://host", allow_plaintext=True), None, {}).settings

    assert allowed.providers["host"].base_url == "http://host"
    assert "providers.host.base_url (argument): would send keys in the open" in refusal(
        provider(base_url="http://host")
    )


@pytest.mark.parametrize(
    "url", ["ftp://h", "h", "https://u:p@h", "https://h?a=b", "https://h#a", "https://", "https://h:0", "https://h /"]
)
def test_a_base_url_with_more_than_host_and_path_is_refused(url: str) -> None:
    assert "providers.host.base_url (argument): is not a plain http or https URL" in refusal(provider(base_url=url))


@pytest.mark.parametrize("url", ["https://h:x", "https://[::"])
def test_a_base_url_that_is_none_is_refused(url: str) -> None:
    assert "providers.host.base_url (argument): is not a URL" in refusal(provider(base_url=url))


def test_a_caller_needs_no_tier_where_there_are_none() -> None:
    assert Settings(callers={"a": CallerSettings(token_sha256=DIGEST)}).callers["a"].tier == "free"


def test_a_digest_is_kept_in_lower_case() -> None:
    assert CallerSettings(token_sha256=DIGEST.upper()).token_sha256 == DIGEST
