"""docs/configuration.md matches the settings, and its examples do what it says."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import get_args

import pytest

from aimanager_server.commands.main import main
from aimanager_server.commands.reference.configuration import configuration_parts, field_docstrings, sections
from aimanager_server.commands.reference.markdown import fill
from aimanager_server.config.loader import load
from aimanager_server.config.models import CapabilityName
from aimanager_server.config.restart import RESTART_SETTINGS
from aimanager_server.config.routes import RoutingPolicy
from aimanager_server.config.settings import Settings
from aimanager_server.config.types import Section
from aimanager_server.reload import ReloadTimings
from tests.support.doc_blocks import DOCS, inline_code
from tests.support.tokens import token_of, token_settings

PAGE = DOCS / "configuration.md"


def test_the_tables_are_up_to_date() -> None:
    text = PAGE.read_text("utf-8")

    assert fill(text, configuration_parts()) == text, "run 'make docs'"


def test_every_section_has_a_table() -> None:
    shown = {section for _, section in sections()}

    assert set(Settings.model_fields) == {path.split(".")[0] for path, _ in sections()}
    assert {section for section in descendants(Section) - {Settings} if section.model_fields} <= shown


def test_a_setting_without_a_docstring_is_reported() -> None:
    class Incomplete(Section):
        described: int = 1
        """Described."""
        undescribed: int = 2

    with pytest.raises(ValueError, match="Incomplete has fields without a docstring: undescribed"):
        field_docstrings(Incomplete)


def test_a_page_without_a_part_is_reported() -> None:
    with pytest.raises(ValueError, match=r"must have the parts \['a', 'b'\], each once, got \['a'\]"):
        fill("<!-- a -->\n<!-- /a -->\n", {"a": "", "b": ""})
    with pytest.raises(ValueError, match="<!-- a --> must be followed by <!-- /a -->"):
        fill("<!-- a -->\n<!-- /b -->\n", {"a": ""})


def test_every_source_sets_the_value_that_the_page_shows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.toml").write_text("[retry]\nmax_attempts = 2\n")
    sources = {"--set retry.max_attempts=2", "max_attempts = 2", "AIMANAGER_RETRY__MAX_ATTEMPTS=2"}

    assert sources <= set(inline_code(PAGE))
    by_file = load({}, tmp_path / "a.toml", {"AIMANAGER_RETRY__MAX_ATTEMPTS": "4"})
    by_variable = load({}, None, {"AIMANAGER_RETRY__MAX_ATTEMPTS": "2"})
    main(["config", "--config", str(tmp_path / "a.toml"), "--set", "retry.max_attempts=5"], {})
    assert (by_file.settings.retry.max_attempts, by_variable.settings.retry.max_attempts) == (2, 2)
    assert re.search(r"^max_attempts = 5 +# argument$", capsys.readouterr().out, re.MULTILINE)


def test_every_flag_is_described(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["serve", "--help"])
    flags = {word.rstrip(",]").removeprefix("[") for word in capsys.readouterr().out.split() if "--" in word[:3]}

    described = {code.split()[0] for code in inline_code(PAGE)}
    assert flags - described == {"--help"}


def test_every_policy_and_capability_is_described() -> None:
    described = set(inline_code(PAGE))

    assert set(get_args(RoutingPolicy)) | set(get_args(CapabilityName)) <= described


def test_the_digest_of_a_token_is_the_one_that_a_caller_needs() -> None:
    [command] = [code for code in inline_code(PAGE) if "sha256sum" in code]
    token = token_of("ann")

    done = subprocess.run(["sh", "-c", command], env={"TOKEN": token}, capture_output=True, text=True, check=True)

    assert done.stdout.split()[0] == token_settings(token)["sha256"]


def descendants(kind: type[Section]) -> set[type[Section]]:
    children = {child for child in kind.__subclasses__() if child.__module__.startswith("aimanager_server.")}
    return children.union(*map(descendants, children))


def test_the_page_says_when_a_change_is_used_and_what_needs_a_restart() -> None:
    section = PAGE.read_text("utf-8").partition("## Changes while the server runs")[2].partition("\n## ")[0]
    timings = ReloadTimings()

    assert timings.poll + timings.max_settle + timings.settle < 5
    assert timings.settle == 0.25
    assert [name for name in RESTART_SETTINGS if f"`server.{name}`" not in section] == []
