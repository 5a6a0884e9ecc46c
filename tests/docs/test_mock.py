"""docs/mock.md: every directive is on the page, and every example has its outcome."""

from __future__ import annotations

import re
import tomllib

import pytest

from aimanager_server.catalog.catalog import Catalog
from aimanager_server.core.response import FinishReason
from aimanager_server.providers.mock.call_counts import MAX_TRACKED_PROMPTS
from aimanager_server.providers.mock.embeddings import MAX_INPUT_LENGTH
from aimanager_server.providers.mock.options import MockOptions
from aimanager_server.providers.mock.playback import SINGLE_TOKENS, TOKENS_PER_DELTA
from aimanager_server.providers.mock.prompt import TOKENS_PER_ATTACHMENT
from aimanager_server.providers.mock.script_parser import MAX_ANSWER_LENGTH, MAX_DIRECTIVES, MAX_HIDDEN_TOKENS
from aimanager_server.providers.mock.script_scanner import DIRECTIVES, MAX_BRACKETS, MAX_OPENINGS
from tests.support.doc_blocks import DOCS, CodeBlock, code_blocks, run_python
from tests.support.gateway import settings_with, started_gateway

RUNS = {("mock.md", "python"): "test_example_has_its_outcome"}

PAGE = (DOCS / "mock.md").read_text("utf-8")
EXAMPLES = "".join(block.text for block in code_blocks("mock.md", "python"))


@pytest.mark.parametrize("block", code_blocks("mock.md", "python"), ids=str)
def test_example_has_its_outcome(block: CodeBlock) -> None:
    """Run an example against a gateway with the scripts of the page; its assertions state the outcome."""
    [config] = code_blocks("mock.md", "toml")

    with started_gateway(settings_with(**tomllib.loads(config.text))) as target:
        run_python(block, target)

    assert "assert " in block.text


@pytest.mark.parametrize("name", DIRECTIVES)
def test_directive_is_described_and_has_an_example(name: str) -> None:
    assert re.search(rf"^\| `\[\[{name}(?:: [^`]+)?\]\]` \|", PAGE, re.MULTILINE)
    assert re.search(rf"\[\[{name}(?:: [^\]\n]+)?\]\]", EXAMPLES)


def test_every_option_of_a_directive_has_an_example() -> None:
    options = {option for example in DIRECTIVES.values() for option in re.findall(r"(\w+)=", example)}

    assert {option for option in options if not re.search(rf"\[\[\w+: [^\]]*\b{option}=", EXAMPLES)} == set()


def test_the_page_names_what_the_code_accepts() -> None:
    models = {f"`{model.id}`" for model in Catalog.load().models("mock")}
    settings = {f"`{name}`" for name in MockOptions.model_fields} - {"`scripts`"}
    reasons = {f"`{reason}`" for reason in FinishReason}

    assert {name for name in models | settings | reasons if name not in PAGE} == set()


def test_the_page_states_the_limits() -> None:
    text = " ".join(PAGE.split())

    assert f"{MAX_DIRECTIVES} directives, {MAX_ANSWER_LENGTH:,} characters of text" in text
    assert f"{MAX_HIDDEN_TOKENS:,} tokens of hidden reasoning, {MAX_BRACKETS:,} brackets" in text
    assert f"the first {MAX_OPENINGS:,} double brackets" in text
    assert f"the last {MAX_TRACKED_PROMPTS} prompts" in text
    assert f"an attachment counts as {TOKENS_PER_ATTACHMENT}" in text
    assert f"its first {SINGLE_TOKENS} tokens, then in pieces of {TOKENS_PER_DELTA} tokens" in text
    assert f"An input has at most {MAX_INPUT_LENGTH:,} characters" in text
