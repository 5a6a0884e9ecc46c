"""Format models as a table of 80 columns: those that can be called first, with a letter for each capability."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

from ..types.model import Model, Pricing
from .tables import UNKNOWN, format_money, format_tokens, table

CAPABILITY_LETTERS = {
    "streaming": "S",
    "image_input": "I",
    "document_input": "P",
    "tool_calling": "T",
    "structured_output": "J",
    "reasoning": "R",
    "prompt_caching": "C",
    "image_output": "O",
}
NOT_SUPPORTED = "."
NAMES_WIDTH = 12
MODEL_WIDTH = 27
NOT_CALLABLE = "Not callable now: no API key, or the provider is failing (aimanager health)"
HEADING = ("MODEL", "ALSO CALLED", "CONTEXT", "INPUT", "OUTPUT", "CAN")

ALIAS_MEANINGS = {
    "latest": "the flagship, recommended for most tasks",
    "current": "for general use, at a medium price",
    "fast": "low latency and cost",
    "reasoning": "for difficult problems, with high reasoning effort",
}
CAPABILITIES = "S stream  I images  P PDF  T tools  J JSON schema  R reasoning  C cache  O draws"
LEGEND = "\n".join(
    [
        *(f"{name:9}  {meaning}" for name, meaning in ALIAS_MEANINGS.items()),
        CAPABILITIES,
        f"small letter: emulated by the gateway  {NOT_SUPPORTED} not supported  {UNKNOWN} not known",
        "prices per million tokens",
    ]
)
"""Meanings of the aliases and of the signs."""


def models_table(models: Iterable[Model]) -> str:
    """Format the models that can be called, then the others. Long names continue on further lines."""
    rows = sorted(models, key=lambda model: not model.available)  # keeps the order otherwise
    groups = [[line for model in rows if model.available is able for line in _row(model)] for able in (True, False)]
    heading, *lines = table(HEADING, [*groups[0], *groups[1]]).split("\n")
    others = lines[len(groups[0]) :]
    return "\n".join([heading, *lines[: len(groups[0])], *(["", NOT_CALLABLE, *others] if others else [])])


def _row(model: Model) -> list[Sequence[str]]:
    names = textwrap.wrap(", ".join([*model.aliases, *(f"@{route}" for route in model.routes)]), NAMES_WIDTH)
    ids = textwrap.wrap(model.id, MODEL_WIDTH, break_on_hyphens=True)
    first = [
        format_tokens(model.context_window_tokens),
        _price(model.pricing, "input"),
        _price(model.pricing, "output"),
        "".join(_letter(model.capabilities.get(name), letter) for name, letter in CAPABILITY_LETTERS.items()),
    ]
    count = max(len(names), len(ids))
    return [
        [_at(ids, number), _at(names, number), *(first if number == 0 else [""] * len(first))]
        for number in range(count)
    ]


def _at(parts: Sequence[str], number: int) -> str:
    return parts[number] if number < len(parts) else ""


def _letter(level: str | None, letter: str) -> str:
    letters = {"native": letter, "emulated": letter.lower(), "none": NOT_SUPPORTED}
    return letters.get(level or "", UNKNOWN)


def _price(pricing: Pricing | None, side: str) -> str:
    return format_money(getattr(pricing, side), pricing.currency) if pricing else UNKNOWN
