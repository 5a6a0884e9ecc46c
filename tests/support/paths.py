"""Directories of the repository, for tests that read files."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
FIXTURES = ROOT / "tests" / "providers" / "fixtures"
"""Recorded provider responses, one directory per wire or vendor."""
