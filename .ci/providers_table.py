"""Write the tables of docs/providers.md, from the catalog and the provider defaults.

Usage: make providers-table.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "server"))

from aimanager_server.catalog.catalog import Catalog
from aimanager_server.catalog.model import Capability, SupportLevel
from aimanager_server.commands.reference.markdown import fill, table
from aimanager_server.config.provider_defaults import KNOWN_PROVIDERS
from aimanager_server.providers.factory import PROVIDERS_WITHOUT_EMBEDDINGS

PAGE = Path(__file__).parents[1] / "docs" / "providers.md"
ALIASES = ("latest", "current", "fast", "reasoning")
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


def provider_table() -> str:
    """Return the table of the providers and their capabilities."""
    head = ["provider", "wire", "key", *COLUMNS.values(), "embeddings", "token counts"]
    return table(head, map(list, map(_row, KNOWN_PROVIDERS)))


def alias_table() -> str:
    """Return the table of the models to which the aliases of each provider resolve."""
    catalog = Catalog.load()
    with_models = {model.provider for model in catalog.models() if model.embedding is None}
    names = [name for name in KNOWN_PROVIDERS if name in with_models]
    rows = [[f"`{name}`", *(_alias(catalog, name, alias) for alias in ALIASES)] for name in names]
    return table(["provider", *(f"`{alias}`" for alias in ALIASES)], rows)


def end_user_table() -> str:
    """Return the table of the providers that accept the id of an end user, and its native field."""
    fields = {name: defaults.get("end_user_field", "") for name, defaults in KNOWN_PROVIDERS.items()}
    return table(["provider", "field"], [[f"`{name}`", f"`{field}`"] for name, field in fields.items() if field])


TABLES: Mapping[str, Callable[[], str]] = {
    "providers": provider_table,
    "aliases": alias_table,
    "end-users": end_user_table,
}
"""The tables by the name of their markers."""


def with_tables(page: str) -> str:
    """Return the page with the tables between their markers. Raises ValueError unless each marker occurs once."""
    return fill(page, {name: write() for name, write in TABLES.items()})


def _alias(catalog: Catalog, provider: str, name: str) -> str:
    alias = catalog.alias(provider, name)
    if alias is None:
        raise ValueError(f"provider {provider!r} has no alias {name!r}")
    return f"`{alias.model}`"


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
    PAGE.write_text(with_tables(PAGE.read_text("utf-8")), "utf-8")
