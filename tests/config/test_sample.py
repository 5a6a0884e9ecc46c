"""Errors in the config file, and the sample config file."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from aimanager_server.config.errors import SettingsError
from aimanager_server.config.loader import load
from aimanager_server.config.settings import Settings
from tests.support.paths import ROOT

SAMPLE = ROOT / "server/aimanager_server/config/sample.toml"
EXAMPLES = "# ---- Examples"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[server]\nlisten = x\n", "invalid TOML at line 2, column 10: Invalid value"),
        (b"a = 1\na = 2\n", "invalid TOML at line 2, column 6: Cannot overwrite a value"),
        (b"a = {canary = 1, canary = 2}\n", "invalid TOML at line 1, column 28: Duplicate inline table key …"),
        (b"[canary]\n[canary]\n", "invalid TOML at line 2, column 8: Cannot declare … twice"),
        (b"a = [1,", "invalid TOML at end of document: Invalid value"),
        (b"a = '\xff'", "invalid TOML: the file is not UTF-8"),
    ],
)
def test_invalid_toml_is_reported_by_line(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_bytes(content)

    with pytest.raises(SettingsError) as caught:
        load({}, tmp_path / "a.toml", {})

    assert str(caught.value).endswith(f"- config (file:{tmp_path}/a.toml): {message}")


@pytest.mark.parametrize(("name", "cause"), [("none.toml", "No such file or directory"), (".", "Is a directory")])
def test_an_unreadable_config_file_is_reported(name: str, cause: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=re.escape(f"cannot read the file ({cause}); must be the path of a TOML")):
        load({}, tmp_path / name, {})


def test_an_error_in_a_config_file_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("[providers.acme]\n")

    with pytest.raises(SettingsError) as caught:
        load({}, tmp_path / "a.toml", {})

    assert f"- providers.acme.wire (file:{tmp_path}/a.toml): is required" in str(caught.value)


def uncommented(text: str) -> str:
    return re.sub(r"^#(?=\S)", "", text, flags=re.MULTILINE)


def test_the_sample_changes_no_setting() -> None:
    assert load({}, SAMPLE, {}).settings == Settings()


def test_the_sample_shows_the_defaults(tmp_path: Path) -> None:
    defaults = uncommented(SAMPLE.read_text("utf-8").split(EXAMPLES)[0])
    (tmp_path / "a.toml").write_text(defaults)

    assert load({}, tmp_path / "a.toml", {}).settings == Settings()


def test_the_sample_shows_every_setting() -> None:
    sample = tomllib.loads(uncommented(SAMPLE.read_text("utf-8")))
    provider = Settings().providers["claude"]

    sections = "server", "limits", "retry", "circuit_breaker", "stream_timeouts", "hedging", "idempotency"
    for section in (*sections, "response_cache"):
        assert set(sample[section]) == set(type(getattr(Settings(), section)).model_fields)
    unset = {"api_key", "api_key_file", "keys", "ca_file", "max_in_flight"}
    assert set(sample["providers"]["claude"]) == set(type(provider).model_fields) - unset


def test_the_examples_of_the_sample_are_valid(tmp_path: Path) -> None:
    text = uncommented(SAMPLE.read_text("utf-8"))
    for name in ("server.pem", "server.key", "clients.pem"):
        (tmp_path / name).write_text("pem")
        text = text.replace(f'"{name}"', f'"{tmp_path / name}"')
    (tmp_path / "a.toml").write_text(text)

    settings = load({}, tmp_path / "a.toml", {}).settings

    defaults = {name: provider.defaults for name, provider in settings.providers.items()}
    sampling = {name: (each.max_output_tokens, each.temperature) for name, each in defaults.items()}
    assert sampling["claude"] == (4096, 0.7)
    assert sampling["openai"] == (2048, 0.8)
    assert sampling["deepseek"] == (2048, 0.7)
    assert settings.tiers["free"].providers["claude"].requests_per_minute == 20
    assert settings.routes["fast-chat"].weights == [3, 1]
