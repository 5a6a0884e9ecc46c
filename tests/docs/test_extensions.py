"""docs/extensions.md: the examples work, and the tables name what exists."""

from __future__ import annotations

import json
import re
import tomllib
from contextlib import redirect_stdout
from io import StringIO
from typing import Any, get_type_hints

from aimanager_server.extensions import ExtensionCall, ExtensionRequest
from aimanager_server.extensions.api import HOOKS
from tests.support.doc_blocks import DOCS, code_blocks
from tests.support.extensions import client
from tests.support.gateway import settings_with
from tests.support.http_servers.recording import recording_upstream
from tests.support.paths import ROOT

RUNS = {
    ("extensions.md", "python"): "test_the_examples_work_in_a_gateway",
    ("extensions.md", "toml"): "test_the_tables_are_those_of_the_example_package_and_of_a_config_file",
}

PAGE = (DOCS / "extensions.md").read_text("utf-8")


def test_the_examples_work_in_a_gateway() -> None:
    namespace: dict[str, Any] = {}
    out = StringIO()
    with redirect_stdout(out):
        for block in code_blocks("extensions.md", "python"):
            exec(compile(block.text, "extensions.md", "exec"), namespace)

    with (
        recording_upstream(respond) as upstream,
        client(namespace["redact"], namespace["Sign"](), providers=provider_at(upstream.url)) as ai,
    ):
        conversation = ai.conversation(model="fake/m", system_instruction="Project Nightjar is secret.")
        for _ in range(2):
            answer = conversation.request("What is Project Nightjar?").send()

    sent = [[message["content"] for message in body["messages"]] for _, body in upstream.requests]
    first = ["[REDACTED] is secret.", "What is [REDACTED]?"]
    assert out.getvalue() == "redact passed\nHello.\n(by mock-large)\n"
    assert sent == [first, [*first, "Sure.\n(by m)", "What is [REDACTED]?"]]
    assert answer.content == "Sure.\n(by m)"


def provider_at(url: str) -> dict[str, Any]:
    return {"fake": {"wire": "chat_completions", "base_url": url, "api_key": "sk-canary", "allow_any_model": True}}


def respond(path: str, body: dict[str, Any]) -> bytes:
    message = {"role": "assistant", "content": "Sure."}
    usage = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
    return json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": usage}).encode()


def test_the_tables_are_those_of_the_example_package_and_of_a_config_file() -> None:
    package, config = (tomllib.loads(block.text) for block in code_blocks("extensions.md", "toml"))
    example = tomllib.loads((ROOT / "tests/example_extension/pyproject.toml").read_text("utf-8"))
    group = package["project"]["entry-points"]["aimanager.extensions"]

    assert group.items() <= example["project"]["entry-points"]["aimanager.extensions"].items()
    assert settings_with(**config).extensions.of("redact").options == {"words": ["Project Nightjar"]}


def test_the_page_names_every_method_and_field() -> None:
    named = set(re.findall(r"`(\w+)[(`]", PAGE))

    assert {*HOOKS, *ExtensionRequest.__slots__, "parts"} <= named
    assert {*get_type_hints(ExtensionCall)} - {"id"} <= {*named, "state"}
