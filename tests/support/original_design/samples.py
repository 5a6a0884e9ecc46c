"""Read samples.md: the usage samples of the original design document, and what must be true after each."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

PAGE = (Path(__file__).parent / "samples.md").read_text("utf-8")
BLOCK = re.compile(r"```(?:text|python)\n(.*?)```\n", re.DOTALL)
"""Text is as in the document; Python is formatted as all code."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Lines of the document, the code that runs for them, why it differs if it does, and assertions about it."""

    document: str
    code: str
    reason: str
    check: str


def _sample(section: str) -> Sample:
    document, *adapted, check = BLOCK.findall(section)
    reason = re.search(r"\nChanged: (.*?)\n\n", section, re.DOTALL)
    assert len(adapted) == (0 if reason is None else 1), section
    return Sample(document, adapted[0] if adapted else document, reason[1] if reason else "", check)


SAMPLES: Mapping[str, Sample] = {
    heading: _sample(section) for heading, section in re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", PAGE, re.S | re.M)
}
"""By heading."""
