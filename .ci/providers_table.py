"""Writes the table of providers into README.md, from the catalogue and the defaults of providers.

Usage: make providers-table.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "server"))

from aimanager_server.catalog.catalog import Catalogue
from aimanager_server.catalog.model import Capability, Level, Model
from aimanager_server.config.provider_defaults import KNOWN
from aimanager_server.providers.endpoint_factory import NO_EMBEDDINGS

README = Path(__file__).parents[1] / "README.md"
BEGIN, END = "<!-- providers -->", "<!-- /providers -->"
COLUMNS = {
    Capability.STREAMING: "streaming",
    Capability.TOOL_CALLING: "tools",
    Capability.PARALLEL_TOOL_CALLING: "parallel tools",
    Capability.IMAGE_INPUT: "images",
    Capability.DOCUMENT_INPUT: "PDFs",
    Capability.STRUCTURED_OUTPUT: "structured output",
    Capability.REASONING: "reasoning",
    Capability.PROMPT_CACHING: "prompt caching",
}
COUNTING_WIRES = ("claude", "responses", "gemini", "mock")
"""Those with an address that counts; for the others the gateway estimates."""
UNKNOWN = "?"


def table() -> str:
    """The table, in Markdown."""
    head = ["provider", "wire", "key", *COLUMNS.values(), "embeddings", "token counts"]
    rows = [head, ["---"] * len(head), *map(list, map(_row, KNOWN))]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def within(text: str) -> str:
    """A text that has the table between its markers. Raises ValueError where they are missing."""
    found = re.subn(f"{BEGIN}.*?{END}", lambda _: f"{BEGIN}\n{table()}{END}", text, flags=re.DOTALL)
    if found[1] != 1:
        raise ValueError(f"there have to be one {BEGIN} and one {END}")
    return found[0]


def _row(name: str) -> Iterator[str]:
    known, catalogue = KNOWN[name], Catalogue.load()
    listed = [model for model in catalogue.models(name) if model.embedding is None]
    key = known.get("key_variable", "")
    yield f"`{name}`"
    yield f"`{known['wire']}`"
    yield f"`{key}`" if key else "none"
    for capability in COLUMNS:
        yield _said(listed, lambda model, capability=capability: model.capabilities.get(capability))
    yield _embeddings(name, len(catalogue.models(name)) > len(listed))
    yield "yes" if known["wire"] in COUNTING_WIRES else "estimated"


def _said(listed: list[Model], find: Callable[[Model], object]) -> str:
    levels = {getattr(find(model), "level", None) for model in listed}
    if not levels & {Level.NATIVE, Level.EMULATED}:
        return "no" if levels == {Level.NONE} else UNKNOWN
    if levels == {Level.NATIVE}:
        return "yes"
    return "emulated" if levels == {Level.EMULATED} else "some"


def _embeddings(name: str, listed: bool) -> str:
    if name in NO_EMBEDDINGS:
        return "no"
    return "yes" if listed else UNKNOWN


if __name__ == "__main__":
    README.write_text(within(README.read_text("utf-8")), "utf-8")
