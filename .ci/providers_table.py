"""Write the provider table into README.md, from the catalog and the provider defaults.

Usage: make providers-table.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "server"))

from aimanager_server.catalog.catalog import Catalog
from aimanager_server.catalog.model import Capability, SupportLevel
from aimanager_server.config.provider_defaults import KNOWN_PROVIDERS
from aimanager_server.providers.factory import PROVIDERS_WITHOUT_EMBEDDINGS

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
COUNTING_WIRES = ("anthropic", "responses", "gemini", "mock")
"""Wires with an endpoint that counts tokens; for the others, the gateway estimates."""
UNKNOWN = "?"


def table() -> str:
    """Return the table in Markdown."""
    head = ["provider", "wire", "key", *COLUMNS.values(), "embeddings", "token counts"]
    rows = [head, ["---"] * len(head), *map(list, map(_row, KNOWN_PROVIDERS))]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def with_provider_table(text: str) -> str:
    """Return the text with the table between its markers. Raises ValueError unless each marker occurs once."""
    replaced, count = re.subn(f"{BEGIN}.*?{END}", lambda _: f"{BEGIN}\n{table()}{END}", text, flags=re.DOTALL)
    if count != 1:
        raise ValueError(f"{BEGIN} and {END} must occur once, found {count}")
    return replaced


def _row(name: str) -> Iterator[str]:
    defaults, catalog = KNOWN_PROVIDERS[name], Catalog.load()
    models = [model for model in catalog.models(name) if model.embedding is None]
    key = defaults.get("api_key_env", "")
    yield f"`{name}`"
    yield f"`{defaults['wire']}`"
    yield f"`{key}`" if key else "none"
    for capability in COLUMNS:
        yield _support([model.capabilities.get(capability) for model in models])
    yield _embeddings(name, len(catalog.models(name)) > len(models))
    yield "yes" if defaults["wire"] in COUNTING_WIRES else "estimated"


def _support(capabilities: Sequence[object]) -> str:
    """Summarize the support of one capability by all models of a provider; None is unknown."""
    levels = {getattr(capability, "level", None) for capability in capabilities}
    if not levels & {SupportLevel.NATIVE, SupportLevel.EMULATED}:
        return "no" if levels == {SupportLevel.NONE} else UNKNOWN
    if levels == {SupportLevel.NATIVE}:
        return "yes"
    return "emulated" if levels == {SupportLevel.EMULATED} else "some"


def _embeddings(name: str, has_models: bool) -> str:
    if name in PROVIDERS_WITHOUT_EMBEDDINGS:
        return "no"
    return "yes" if has_models else UNKNOWN


if __name__ == "__main__":
    README.write_text(with_provider_table(README.read_text("utf-8")), "utf-8")
