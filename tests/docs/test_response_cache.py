"""docs/response-cache.md: its examples print what they say, and its figures are those of the code."""

from __future__ import annotations

import re

import pytest

from aimanager_server.config.response_cache import ResponseCacheSettings
from aimanager_server.pipeline.response_cache import BYPASS_SECONDS
from tests.support.doc_blocks import DOCS, CodeBlock, code_blocks, run_python
from tests.support.gateway import settings_with, started_gateway

RUNS = {("response-cache.md", "python"): "test_python_block_prints_what_its_comments_say"}


@pytest.mark.parametrize("block", code_blocks("response-cache.md", "python"), ids=str)
def test_python_block_prints_what_its_comments_say(block: CodeBlock) -> None:
    with started_gateway(settings_with()) as target:
        printed = run_python(block, target)

    expected = re.findall(r"^print\(.*\)  # (.+)$", block.text, re.MULTILINE)
    assert printed.splitlines() == expected


def test_the_page_states_the_limits() -> None:
    page, settings = (DOCS / "response-cache.md").read_text("utf-8"), ResponseCacheSettings()

    assert f"at most {settings.max_entries:,} responses and {settings.max_bytes // 2**20} MiB" in page
    assert settings.ttl_seconds == 3_600
    assert "kept for an hour" in page
    assert f"longer than {settings.lookup_timeout_seconds:g} s (`lookup_timeout_seconds`) fails no call" in page
    assert f"left out for {BYPASS_SECONDS:g} s" in page
