"""Write the generated pages and tables into docs/ below the working directory: `make docs`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from ..error_reference import error_reference
from .configuration import configuration_parts
from .logs import log_parts
from .markdown import fill
from .metrics import metrics_parts

DOCS = Path("docs")

PARTS: Mapping[str, Callable[[], Mapping[str, str]]] = {
    "configuration.md": configuration_parts,
    "logs.md": log_parts,
    "metrics.md": metrics_parts,
}
"""Pages with generated parts between markers."""


def main() -> None:
    """Write every page. Raises ValueError if a page lacks a marker."""
    (DOCS / "errors.md").write_text(error_reference(), "utf-8")
    for name, parts in PARTS.items():
        page = DOCS / name
        page.write_text(fill(page.read_text("utf-8"), parts()), "utf-8")


if __name__ == "__main__":
    main()
