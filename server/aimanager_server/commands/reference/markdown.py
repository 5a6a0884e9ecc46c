"""Format Markdown tables, and fill the generated parts of a page."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    r"""Return a table. A vertical bar in a cell is escaped.

    >>> print(table(["name", "type"], [["`a`", "x | y"]]), end="")
    | name | type |
    | --- | --- |
    | `a` | x \| y |
    """
    lines = [head, ["---"] * len(head), *([cell.replace("|", r"\|") for cell in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def fill(page: str, parts: Mapping[str, str]) -> str:
    r"""Return the page with each part between its markers. Raises ValueError unless the page has exactly these parts.

    >>> fill("# Page\n\n<!-- limits -->\nold\n<!-- /limits -->\n", {"limits": "new\n"})
    '# Page\n\n<!-- limits -->\nnew\n<!-- /limits -->\n'
    """
    found = re.findall(r"<!-- (?!/)(\S+) -->", page)
    if sorted(found) != sorted(parts):
        raise ValueError(f"the page must have the parts {sorted(parts)}, each once, got {sorted(found)}")
    for name, text in parts.items():
        begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        head, _, rest = page.partition(f"{begin}\n")
        if end not in rest:
            raise ValueError(f"{begin} must be followed by {end}")
        page = f"{head}{begin}\n{text}{rest[rest.index(end) :]}"
    return page
