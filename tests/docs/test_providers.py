"""docs/providers.md: the tables match the catalog, the examples work, and the plug-in answers in a gateway."""

from __future__ import annotations

import re
import runpy
import shlex
import subprocess
import sys
import tomllib
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from aimanager import AIManager
from aimanager_server.config.loader import load
from aimanager_server.config.provider_defaults import BUILT_IN_PROVIDERS
from aimanager_server.config.providers import ProviderSettings
from aimanager_server.config.settings import CircuitBreakerSettings
from aimanager_server.providers.plugins.registry import ENTRY_POINT_GROUP, ProviderRegistry
from tests.docs.test_code_blocks import with_existing_files
from tests.support.aimock import aimock, reason_to_skip
from tests.support.doc_blocks import DOCS, CodeBlock, code_blocks
from tests.support.gateway import settings_with, started_gateway
from tests.support.paths import ROOT

RUNS = {
    ("providers.md", "python"): "test_the_plugins_answer_in_a_gateway",
    ("providers.md", "toml"): "test_toml_block_is_a_valid_config_file_or_entry_point",
    ("providers.md", "console"): "test_console_transcript_is_reproducible",
}

PAGE = (DOCS / "providers.md").read_text("utf-8")


def test_tables_are_up_to_date() -> None:
    with_tables = runpy.run_path(str(ROOT / ".ci" / "providers_table.py"))["with_tables"]

    assert with_tables(PAGE) == PAGE, "run 'make providers-table'"


def test_the_plugins_answer_in_a_gateway() -> None:
    namespace: dict[str, Any] = {}
    out = StringIO()
    with redirect_stdout(out):
        for block in code_blocks("providers.md", "python"):
            exec(compile(block.text, "providers.md", "exec"), namespace)
    registry = ProviderRegistry(())
    for plugin in ("Mockingbird", "ParrotPlugin"):
        registry.register_provider(namespace[plugin]())

    with (
        started_gateway(settings_with(plugins={"providers": ["mockingbird", "parrot"]}), registry) as target,
        AIManager.gateway(target) as ai,
    ):
        answer = ai.request("Hello.", model="mockingbird/song")
        repeated = [ai.request("Hello", model="parrot/gray").content, *ai.stream("Hello", model="parrot/gray").text]

    assert (out.getvalue(), answer.content) == ("mockingbird passed\n", "Tweet.")
    assert repeated == ["Hello!", "Hello", "!"]


@pytest.mark.parametrize("block", code_blocks("providers.md", "toml"), ids=str)
def test_toml_block_is_a_valid_config_file_or_entry_point(block: CodeBlock, tmp_path: Path) -> None:
    table = tomllib.loads(block.text)

    if "project" in table:
        assert list(table["project"]["entry-points"]) == [ENTRY_POINT_GROUP]
    else:
        load(with_existing_files(table, tmp_path), None, {})


@pytest.mark.skipif(bool(reason_to_skip()), reason=reason_to_skip() or "-")
def test_console_transcript_is_reproducible() -> None:
    (block,) = code_blocks("providers.md", "console")
    commands = re.findall(r"^\$ aimanager (.*)\n(.*)$", block.text, re.MULTILINE)
    aimanager = str(Path(sys.executable).with_name("aimanager"))

    with aimock() as upstream:
        urls = {"claude": upstream.url, "openai": f"{upstream.url}/v1", "deepseek": f"{upstream.url}/v1"}
        providers = {name: {"base_url": url, "api_key": "sk-of-the-server"} for name, url in urls.items()}
        with started_gateway(settings_with(providers=providers)) as target:
            processes = [
                subprocess.Popen(
                    [aimanager, *shlex.split(arguments), "--target", target], stdout=subprocess.PIPE, text=True
                )
                for arguments, _ in commands
            ]
            outputs = [process.communicate(timeout=60)[0].strip() for process in processes]
        paths = [request["path"] for request in upstream.requests()]

    assert outputs == [output for _, output in commands]
    assert sorted(paths) == ["/v1/chat/completions", "/v1/chat/completions", "/v1/messages"]


def test_built_in_providers_are_those_of_the_code() -> None:
    (named,) = re.findall(r"^((?:`\w+`,? (?:and )?)+)are always configured", PAGE, re.MULTILINE)

    assert tuple(re.findall(r"`(\w+)`", named)) == BUILT_IN_PROVIDERS


def test_every_wire_has_a_row() -> None:
    table = PAGE.partition("| wire | protocol |")[2].partition("\n\n")[0]
    (wires,) = (field.annotation for name, field in ProviderSettings.model_fields.items() if name == "wire")

    assert {*re.findall(r"^\| `(\w+)`", table, re.MULTILINE), "plugin"} == set(wires.__args__)  # type: ignore[union-attr]


def test_the_quarantine_is_the_default_of_the_setting() -> None:
    assert CircuitBreakerSettings().credentials_open_seconds == 5 * 60
