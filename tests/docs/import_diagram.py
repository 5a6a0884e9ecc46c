"""Write the import diagram of docs/architecture.md: python -m tests.docs.import_diagram"""

from __future__ import annotations

import re
from collections.abc import Mapping

from tests.architecture.import_rules import LAYERS, import_edges
from tests.support.paths import ROOT

PAGE = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- imports -->", "<!-- /imports -->"
SHOWN = {name for layer in LAYERS for name in layer} - {"testing", "__main__"}

Graph = Mapping[str, set[str]]


def diagram() -> str:
    """Return the packages and their imports as a Mermaid flowchart.

    An arrow points to what a package imports. Imports that follow from other arrows are left out.
    """
    edges = import_edges(ROOT / "server" / "aimanager_server")
    imports = {name: {target for source, target in edges if source == name} & SHOWN for name in SHOWN}
    from_the_top = [name for layer in LAYERS for name in layer if name in imports][::-1]
    lines = [f"  {name} --> {target}" for name in from_the_top for target in sorted(_direct(imports, name))]
    return "\n".join(["```mermaid", "flowchart TD", *lines, "```", ""])


def with_diagram(text: str) -> str:
    """Return the text with the diagram between its markers. Raises ValueError unless each marker occurs once."""
    replaced, count = re.subn(f"{BEGIN}.*?{END}", lambda _: f"{BEGIN}\n{diagram()}{END}", text, flags=re.DOTALL)
    if count != 1:
        raise ValueError(f"{BEGIN} and {END} must occur once, found {count}")
    return replaced


def _direct(imports: Graph, name: str) -> set[str]:
    return {
        target
        for target in imports[name]
        if not any(target in _reachable(imports, other) for other in imports[name] - {target})
    }


def _reachable(imports: Graph, name: str) -> set[str]:
    found: set[str] = set()
    pending = [name]
    while pending:
        new = imports[pending.pop()] - found
        found |= new
        pending.extend(new)
    return found


if __name__ == "__main__":
    PAGE.write_text(with_diagram(PAGE.read_text("utf-8")), "utf-8")
