"""Settings of the safety filters."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from .types import Name, PositiveInt, Section

FilterAction = Literal["off", "mask", "block"]


class DetectorSettings(Section):
    """What happens to each kind of text in one direction: nothing, a placeholder instead of it, or a refusal."""

    secrets: FilterAction = "off"
    """API keys, tokens, private keys and passwords in URLs, by their form."""
    named_secrets: FilterAction = "off"
    """Random values after a name such as password or api_key."""
    emails: FilterAction = "off"
    """E-mail addresses."""
    phones: FilterAction = "off"
    """Telephone numbers in international form, and those of North America."""
    cards: FilterAction = "off"
    """Payment card numbers."""
    ibans: FilterAction = "off"
    """International bank account numbers."""
    national_ids: FilterAction = "off"
    """National identification numbers of 15 countries."""


class PatternSettings(Section):
    """A regular expression of the operator."""

    pattern: Annotated[str, Field(min_length=1, max_length=2000)]
    """In RE2's syntax. It must not match more than 1000 characters, so use {0,20} instead of * and +."""
    input: FilterAction = "off"
    """What happens to what it matches in requests."""
    output: FilterAction = "off"
    """What happens to what it matches in answers."""


class SafetyFilterSettings(Section):
    """Texts that must not reach a provider, or must not come back from one."""

    input: DetectorSettings = DetectorSettings()
    """What happens to requests."""
    output: DetectorSettings = DetectorSettings()
    """What happens to answers."""
    patterns: Annotated[dict[Name, PatternSettings], Field(max_length=50)] = Field(default_factory=dict)
    """Regular expressions of the operator, at most 50."""
    exempt_callers: list[Name] = Field(default_factory=list)
    """Callers whose calls are not filtered."""
    max_input_characters: PositiveInt | None = None
    """Characters of a request that are sent to a provider; unset: the limits of [limits] alone."""
    max_output_characters: PositiveInt | None = None
    """Characters of an answer; a longer one is blocked."""
