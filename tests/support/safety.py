"""Texts for the safety filters, built from pieces so that no scanner of secrets takes them for real ones."""

from __future__ import annotations

from typing import Any

from aimanager_server.config.safety_filters import SafetyFilterSettings
from aimanager_server.safety.filter_run import FilterRun, Placeholders, TextFilter
from aimanager_server.safety.filters import DETECTORS, SafetyFilters

ALL: Any = dict.fromkeys(DETECTORS, "mask")
RANDOM = "aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC1dF3gH5jK7mN9qR1tV3xY5zA7cD9fG1hJ3k"
HEX = "0a1b2c3d4e5f60718293a4b5c6d7e8f9" * 2
JWT = ".".join(("eyJhbGciOiJIUzI1NiJ9", "eyJzdWIiOiIxMjM0NTY3ODkwIn0", RANDOM[:43]))
KEY_LINES = "\n".join((RANDOM[:64], RANDOM[:40] + "=="))


def private_key(kind: str = "RSA ", headers: str = "") -> str:
    """Return a private key in PEM."""
    dashes = "-" * 5
    return f"{dashes}BEGIN {kind}PRIVATE KEY{dashes}\n{headers}{KEY_LINES}\n{dashes}END {kind}PRIVATE KEY{dashes}"


def filters(**settings: Any) -> SafetyFilters:
    """Return filters; without settings, those that mask everything in requests."""
    return SafetyFilters(SafetyFilterSettings.model_validate(settings or {"input": ALL}))


EVERYTHING = filters()


def run_of(built: SafetyFilters = EVERYTHING, max_characters: int | None = None) -> FilterRun:
    """Return the filter of one call."""
    assert built.input is not None
    return FilterRun(built.input, Placeholders(), max_characters)


def masked(text: str, built: SafetyFilters = EVERYTHING) -> str:
    """Return a text as a provider receives it."""
    return run_of(built).text("text", text)


def masked_in_pieces(pieces: list[str], built: SafetyFilters = EVERYTHING) -> tuple[str, int]:
    """Return the concatenated output for a text that arrives in pieces, and the most characters held back."""
    stream = TextFilter(run_of(built), "text")
    read = held = 0
    output: list[str] = []
    for piece in pieces:
        read += len(piece)
        output.append(stream.feed(piece))
        held = max(held, stream.held_back)
    output.append(stream.feed("", is_last=True))
    return "".join(output), held
