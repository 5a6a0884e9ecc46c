"""A secret is never shown: not in an error, not by `config`, not by a model's text or dump, wherever it was put."""

from __future__ import annotations

import json
import re
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from aimanager_server.config.errors import SettingsError
from aimanager_server.config.loader import load
from aimanager_server.config.report import report
from aimanager_server.config.settings import Settings

CANARY = "canary7f3e"
SHAPED = "sk-ant-canary7f3e"
DIGEST = "ab" * 32


def with_secrets(folder: Path) -> tuple[Mapping[str, Any], Mapping[str, str]]:
    """Arguments and environment with a canary in every place where a secret belongs."""
    (folder / "key").write_text(CANARY)
    providers = {
        "claude": {"api_key": CANARY, "headers": {"x-api-key": CANARY}, "options": {"auth": {"token": CANARY}}},
        "openai": {"keys": [{"api_key": CANARY}, {"api_key_file": str(folder / "key")}]},
        "deepseek": {"api_key_file": str(folder / "key")},
        "host": {"wire": "claude", "base_url": "https://host", "models": ["m"]},
    }
    return {"providers": providers}, {"HOST_API_KEY": CANARY}


def test_text_and_dumps_of_settings_hold_no_secret(tmp_path: Path) -> None:
    arguments, environment = with_secrets(tmp_path)

    settings = load(arguments, None, environment).settings

    bare = {name: made.model_copy(update={"options": {}}) for name, made in settings.providers.items()}
    made = settings.model_copy(update={"providers": bare})
    shown = [repr(settings), str(settings), str(made.model_dump()), made.model_dump_json()]
    assert [text for text in shown if CANARY in text] == []
    assert all(held.key == CANARY for name in bare for held in settings.providers[name].credentials())
    assert CANARY not in repr([settings.providers[name].credentials() for name in bare])


def test_the_report_masks_every_secret_and_says_where_it_came_from(tmp_path: Path) -> None:
    arguments, environment = with_secrets(tmp_path)

    shown = report(load(arguments, None, environment))

    assert CANARY not in shown
    lines = [re.sub(" +# ", " # ", line) for line in shown.splitlines() if line.startswith("api_key =")]
    assert lines == ['api_key = "••••" # argument', 'api_key = "••••" # environment:HOST_API_KEY']


def test_the_report_masks_what_looks_like_a_key_in_the_wrong_place() -> None:
    said = {
        "server": {"default_model": SHAPED},
        "tiers": {SHAPED: {}},
        "callers": {"a": {"token_sha256": DIGEST, "tier": SHAPED}},
        "providers": {"mock": {"options": {"a": [SHAPED], SHAPED: 1}, "models": [SHAPED]}},
    }

    shown = report(load(said, None, {}))

    assert SHAPED not in shown
    assert DIGEST not in shown


WRONG_PLACES: list[Mapping[str, Any]] = [
    {"server": {"listen": CANARY}},
    {"server": {"listen": [CANARY]}},
    {"server": {"log_level": CANARY}},
    {"server": {"max_in_flight": CANARY}},
    {"server": {"reflection": CANARY}},
    {"server": CANARY},
    {"server": {"api_key": CANARY}},
    {"server": {"tls": {"certificate_file": CANARY, "key_file": CANARY}}},
    {"callers": {"a": {"token_sha256": CANARY}}},
    {"callers": {"a": {"token_sha256": DIGEST, "tier": CANARY}}},
    {"callers": {"a": {"token": CANARY}}},
    {"callers": {SHAPED: {}}},
    {SHAPED: 1},
    {"providers": {SHAPED: {"wire": "mock"}, "host": {"wire": CANARY}}, "tiers": {"free": {"providers": {"x": {}}}}},
    {"providers": {SHAPED: {"wire": "mock", "models": ["m"]}}, "tiers": {"free": {"providers": {"x": {}}}}},
    {"tiers": {SHAPED: {}}, "callers": {"a": {"token_sha256": DIGEST}}},
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
    {"providers": {"claude": {"version": f"{CANARY}\n"}}},
    {"providers": {"claude": {"options": CANARY}}},
    {"providers": {"claude": {"connect_timeout_seconds": CANARY}}},
]


@pytest.mark.parametrize("said", WRONG_PLACES, ids=str)
def test_no_error_about_a_secret_in_the_wrong_place_shows_it(said: Mapping[str, Any]) -> None:
    with pytest.raises(SettingsError) as caught:
        load(said, None, {})

    assert CANARY not in "".join(traceback.format_exception(caught.value)).replace("test_settings_secrets", "")


@pytest.mark.parametrize(
    "variable",
    ["AIMANAGER_SERVER__API_KEY", "AIMANAGER_PROVIDERS__CLAUDE__KEYS", "AIMANAGER_API_KEY", "AIMANAGER_SERVER__LISTEN"],
)
def test_no_error_about_a_variable_shows_its_value(variable: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load({}, None, {variable: CANARY})

    assert variable in str(caught.value)
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize("line", ["api_key = {0}", "{0}", "[{0}]\n[{0}]", "a = {{{0} = 1, {0} = 2}}", 'a = "{0}\n"'])
def test_no_error_about_bad_toml_shows_its_text(line: str, tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(line.format(CANARY))

    with pytest.raises(SettingsError) as caught:
        load({}, tmp_path / "a.toml", {})

    assert CANARY not in str(caught.value)


def test_a_model_made_in_code_shows_no_secret_when_it_is_refused() -> None:
    with pytest.raises(ValueError, match="accepted is") as caught:
        Settings.model_validate({"providers": {"claude": {"api_key": CANARY, "base_url": f"ftp://{CANARY}"}}})

    assert CANARY not in str(caught.value)


def test_a_dump_of_headers_keeps_their_names() -> None:
    settings = load({"providers": {"mock": {"headers": {"x-key": CANARY}}}}, None, {}).settings

    assert json.loads(settings.model_dump_json())["providers"]["mock"]["headers"] == {"x-key": "••••"}
