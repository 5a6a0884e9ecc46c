"""Sections of a config file for tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def with_mock(sections: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sections with the mock provider, which a server has only if its settings name it."""
    return {**sections, "providers": {"mock": {}, **sections.get("providers", {})}}
