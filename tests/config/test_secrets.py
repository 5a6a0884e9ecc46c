"""Secrets never appear in errors, reports, or the text and dumps of settings, even if they are misplaced."""

from __future__ import annotations

import json
import re
import tomllib
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from aimanager_server.config.errors import SettingsError
from aimanager_server.config.loader import load
from aimanager_server.config.report import settings_report
from aimanager_server.config.settings import Settings
from tests.support.tokens import callers

CANARY = "canary7f3e"
KEY_SHAPED = "sk-ant-canary7f3e"
DIGEST = "ab" * 32


def with_secrets(folder: Path) -> tuple[Mapping[str, Any], Mapping[str, str]]:
    """Arguments and environment with a canary in every setting that holds a secret."""
    (folder / "key").write_text(CANARY)
    providers = {
        "claude": {"api_key": CANARY, "headers": {"x-api-key": CANARY}, "options": {"auth": {"token": CANARY}}},
        "openai": {"keys": [{"api_key": CANARY}, {"api_key_file": str(folder / "key")}]},
        "deepseek": {"api_key_file": str(folder / "key")},
        "host": {"wire": "anthropic", "base_url": "https://host", "models": ["m"]},
    }
    return {"providers": providers}, {"HOST_API_KEY": CANARY}


def test_text_and_dumps_of_settings_contain_no_secrets(tmp_path: Path) -> None:
    arguments, environment = with_secrets(tmp_path)

    settings = load(arguments, None, environment).settings

    without_options = {name: each.model_copy(update={"options": {}}) for name, each in settings.providers.items()}
    copy = settings.model_copy(update={"providers": without_options})
    texts = [repr(settings), str(settings), str(copy.model_dump()), copy.model_dump_json()]
    assert [text for text in texts if CANARY in text] == []
    keyed = ("claude", "openai", "deepseek", "host")
    assert all(credential.key == CANARY for name in keyed for credential in settings.providers[name].credentials())
    assert CANARY not in repr([settings.providers[name].credentials() for name in keyed])


def test_the_report_masks_secrets_and_names_their_source(tmp_path: Path) -> None:
    arguments, environment = with_secrets(tmp_path)

    report = settings_report(load(arguments, None, environment))

    assert CANARY not in report
    lines = [re.sub(" +# ", " # ", line) for line in report.splitlines() if line.startswith("api_key =")]
    assert lines == ['api_key = "••••" # argument', 'api_key = "••••" # environment:HOST_API_KEY']


def test_the_report_masks_misplaced_values_that_look_like_api_keys() -> None:
    arguments = {
        "server": {"default_model": KEY_SHAPED},
        "tiers": {KEY_SHAPED: {}},
        "callers": {"a": {"tokens": [{"id": "a", "sha256": DIGEST}], "tier": KEY_SHAPED}},
        "providers": {"mock": {"options": {"a": [KEY_SHAPED], KEY_SHAPED: 1}, "models": [KEY_SHAPED]}},
    }

    report = settings_report(load(arguments, None, {}))

    assert KEY_SHAPED not in report
    assert DIGEST not in report


SECRET_OPTIONS: dict[str, Any] = {
    **{name: CANARY for name in ("credential", "auth", "authToken", "apiKey", "x-signature", "Cookie", "passphrase")},
    "tokens": [CANARY, {"value": CANARY}],
    "session": {"nested": {"values": [[CANARY]]}},
    "deep": [{"deeper": [{"secret": CANARY}]}],
    "proxy": f"http://ann:{CANARY}@proxy:3128",
    "callback": f"https://host/hook?page=2&sig={CANARY}&access_token={CANARY}#end",
    "text": f"Bearer {CANARY}, or sk-{CANARY}",
}


def test_the_report_masks_secrets_in_options_by_name_and_by_shape() -> None:
    shown = {"max_tokens": 5, "temperature": 0.5, "user": "ann", "url": "https://host/v1?page=2"}
    arguments = {"providers": {"mock": {"base_url": "https://host/v1"}, "claude": {"options": SECRET_OPTIONS | shown}}}

    report = settings_report(load(arguments, None, {}))

    assert CANARY not in report
    options = tomllib.loads(report)["providers"]["claude"]["options"]
    assert options.keys() == SECRET_OPTIONS.keys() | shown.keys()
    assert {name: options[name] for name in shown} == shown
    assert options["callback"] == "https://host/hook?page=2&sig=••••&access_token=••••#end"


def test_the_report_masks_an_opaque_part_of_a_base_url() -> None:
    arguments = {"providers": {"claude": {"base_url": "https://host/0123456789abcdef0123456789abcdef/v1"}}}

    report = settings_report(load(arguments, None, {}))

    assert tomllib.loads(report)["providers"]["claude"]["base_url"] == "https://host/••••/v1"


MISPLACED: list[Mapping[str, Any]] = [
    {"server": {"listen": CANARY}},
    {"server": {"listen": [CANARY]}},
    {"server": {"log_level": CANARY}},
    {"server": {"max_in_flight": CANARY}},
    {"server": {"reflection": CANARY}},
    {"server": CANARY},
    {"server": {"api_key": CANARY}},
    {"server": {"tls": {"certificate_file": CANARY, "key_file": CANARY}}},
    {"callers": {"a": {"token_sha256": CANARY}}},
    {"callers": callers("a", tier=CANARY)},
    {"callers": {"a": {"token": CANARY}}},
    {"callers": {KEY_SHAPED: {}}},
    {KEY_SHAPED: 1},
    {
        "providers": {KEY_SHAPED: {"wire": "mock"}, "host": {"wire": CANARY}},
        "tiers": {"free": {"providers": {"x": {}}}},
    },
    {"providers": {KEY_SHAPED: {"wire": "mock", "models": ["m"]}}, "tiers": {"free": {"providers": {"x": {}}}}},
    {"tiers": {KEY_SHAPED: {}}, "callers": callers("a")},
    {"providers": {"claude": CANARY}},
    {"providers": CANARY},
    {"providers": {"claude": {"base_url": CANARY}}},
    {"providers": {"claude": {"base_url": f"https://user:{CANARY}@host"}}},
    {"providers": {"claude": {"base_url": f"https://host?key={CANARY}"}}},
    {"providers": {"claude": {"base_url": f"https://host:{CANARY}"}}},
    {"providers": {"claude": {"wire": CANARY}}},
    {"providers": {"claude": {"api_key_file": CANARY}}},
    {"providers": {"claude": {"api_key": f"{CANARY} {CANARY}"}}},
    {"providers": {"claude": {"api_key": [CANARY]}}},
    {"providers": {"claude": {"api_key": CANARY, "api_key_file": CANARY}}},
    {"providers": {"claude": {"keys": [CANARY]}}},
    {"providers": {"claude": {"keys": CANARY}}},
    {"providers": {"claude": {"keys": [{"api_key": CANARY, "weight": CANARY}]}}},
    {"providers": {"claude": {"keys": [{"api_key": CANARY}], "api_key": CANARY}}},
    {"providers": {"claude": {"headers": {"authorization": f"{CANARY}\n"}}}},
    {"providers": {"claude": {"headers": {f"{CANARY} {CANARY}": "x"}}}},
    {"providers": {"claude": {"models": CANARY}}},
    {"providers": {"claude": {"api_version": f"{CANARY}\n"}}},
    {"providers": {"claude": {"options": CANARY}}},
    {"providers": {"claude": {"connect_timeout_seconds": CANARY}}},
]


def test_no_error_shows_a_misplaced_secret() -> None:
    shown = []

    for arguments in MISPLACED:
        with pytest.raises(SettingsError) as caught:
            load(arguments, None, {})
        if CANARY in "".join(traceback.format_exception(caught.value)):
            shown.append(arguments)

    assert shown == []


@pytest.mark.parametrize(
    "variable",
    ["AIMANAGER_SERVER__API_KEY", "AIMANAGER_PROVIDERS__CLAUDE__KEYS", "AIMANAGER_SERVER__LISTEN"],
)
def test_no_error_about_a_variable_shows_its_value(variable: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load({}, None, {variable: CANARY})

    assert variable in str(caught.value)
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize("line", ["api_key = {0}", "{0}", "[{0}]\n[{0}]", "a = {{{0} = 1, {0} = 2}}", 'a = "{0}\n"'])
def test_no_error_about_invalid_toml_shows_its_text(line: str, tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(line.format(CANARY))

    with pytest.raises(SettingsError) as caught:
        load({}, tmp_path / "a.toml", {})

    assert CANARY not in str(caught.value)


def test_no_error_about_settings_built_in_code_shows_a_secret() -> None:
    with pytest.raises(ValueError, match="must be an http or https URL") as caught:
        Settings.model_validate({"providers": {"claude": {"api_key": CANARY, "base_url": f"ftp://{CANARY}"}}})

    assert CANARY not in str(caught.value)


def test_a_dump_of_headers_keeps_their_names() -> None:
    settings = load({"providers": {"mock": {"headers": {"x-key": CANARY}}}}, None, {}).settings

    assert json.loads(settings.model_dump_json())["providers"]["mock"]["headers"] == {"x-key": "••••"}
