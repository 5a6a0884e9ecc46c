"""Recognize events of a stream that a proxy or a reconnecting server sends again."""

from __future__ import annotations

from array import array
from typing import Any
from zlib import crc32


class RepeatedEvents:
    """Remember the numbered events of a stream, in four bytes each.

    An event is a repetition if its number and its data were received before. Some servers number badly: every event 0,
    or from 0 again for each item. Other data under a known number is therefore a new event.

    >>> repeated = RepeatedEvents()
    >>> [repeated.add(number, data) for number, data in ((0, b"a"), (1, b"b"), (1, b"b"), (0, b"c"), (1, b"b"))]
    [False, False, True, False, False]
    """

    __slots__ = ("_checksums", "_first")

    def __init__(self) -> None:
        self._first = 0
        self._checksums = array("I")

    def add(self, number: Any, data: bytes) -> bool:
        """Return whether the event is a repetition; otherwise remember it. `number` may be anything."""
        if not isinstance(number, int):
            return False
        position, checksum = number - self._first, crc32(data)
        if 0 <= position < len(self._checksums) and self._checksums[position] == checksum:
            return True
        if position != len(self._checksums):
            # The first event, a gap, or numbers that start again.
            self._first, self._checksums = number, array("I")
        self._checksums.append(checksum)
        return False
