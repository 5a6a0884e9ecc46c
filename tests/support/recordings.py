"""Every recorded answer, with the dialect that reads it."""

from __future__ import annotations

from collections.abc import Mapping

from aimanager_server.providers.wires.dialect import Dialect
from tests.support.anthropic import claude
from tests.support.chat_completions import DIALECTS, dialect
from tests.support.gemini import gemini
from tests.support.paths import FIXTURES
from tests.support.responses import responses

WIRES: Mapping[str, Dialect] = {
    **{name: dialect(name) for name in DIALECTS},
    "claude": claude(),
    "gemini": gemini(),
    "responses": responses(),
}
"""Each dialect, by the folder of its recordings."""


def recorded(ending: str) -> list[tuple[str, str]]:
    """The folder and the path below the fixtures of every file of a kind that holds an answer, in order."""
    paths = sorted(path.relative_to(FIXTURES) for path in FIXTURES.rglob(f"*{ending}"))
    return [(path.parts[0], path.as_posix()) for path in paths if path.name != "request.json"]


STREAMS = recorded(".sse")
BODIES = recorded(".json")
