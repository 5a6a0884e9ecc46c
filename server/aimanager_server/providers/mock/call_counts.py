"""Count the calls with the same prompt, for faults that apply to the first calls only."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from ...core.request import Attempt
from .pace import Pace
from .prompt import digest

MAX_TRACKED_PROMPTS = 1000
"""Prompts whose calls are counted; the least recently used is dropped first."""


class CallCounts:
    """Numbers of calls by caller and prompt, across models. Keeps a digest of each prompt."""

    def __init__(self) -> None:
        self._counts: OrderedDict[bytes, int] = OrderedDict()

    async def count(self, attempt: Attempt[Any], prompt: str, pace: Pace) -> int:
        """Return the 1-based number of this caller's calls with this prompt."""
        key = await digest(f"{len(attempt.messages)} {attempt.caller.name}", prompt, pace)
        number = self._counts.pop(key, 0) + 1
        self._counts[key] = number
        if len(self._counts) > MAX_TRACKED_PROMPTS:
            self._counts.popitem(last=False)
        return number
