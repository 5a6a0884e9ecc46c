"""Filter the texts of one call: count what is found, number the placeholders, and stop where something is blocked."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from hashlib import blake2b
from typing import TypeVar

from .scanner import CONTEXT, Finding, Rule, Scanner

Result = TypeVar("Result")

MAX_MATCHES = 10_000
"""Places that are masked in the requests, or in the answers, of one call; more are refused."""

SLICE_CHARACTERS = 16 * 1024
"""Text that is searched in one step."""

TEXT_COST = 64
"""Characters that the search of a text counts for in addition to its own: short ones take time too."""

MIN_RESCAN = 256
"""Characters held back from which on a text is not searched again for every few that arrive."""

NUMBERS = frozenset(("PHONE", "CARD", "IBAN", "NATIONAL_ID"))


class Blocked(Exception):
    """A text must not pass. `rule` is the name of the detector or limit, `field` where it is."""

    def __init__(self, rule: str, field: str) -> None:
        super().__init__(f"{field}: {rule}")
        self.rule = rule
        self.field = field


class Abandoned(Exception):
    """Nobody waits for the result any longer."""


class Placeholders:
    """Placeholders for the values of one call: the same value always has the same one. Keeps no value."""

    def __init__(self, *, are_numbered: bool = True) -> None:
        self._are_numbered = are_numbered
        self._numbers: dict[bytes, int] = {}
        self._counts: Counter[str] = Counter()

    def of(self, label: str, value: str) -> str:
        """Return the placeholder, such as [EMAIL_1].

        >>> placeholders = Placeholders()
        >>> [placeholders.of("CARD", number) for number in ("4111 1111", "42", "4111-1111")]
        ['[CARD_1]', '[CARD_2]', '[CARD_1]']
        """
        if not self._are_numbered:
            return f"[{label}]"
        key = "".join(filter(str.isalnum, value)) if label in NUMBERS else value
        digest = blake2b(f"{label}:{key.casefold() if label == 'EMAIL' else key}".encode("utf-8", "replace")).digest()
        number = self._numbers.get(digest)
        if number is None:
            self._counts[label] += 1
            number = self._numbers[digest] = self._counts[label]
        return f"[{label}_{number}]"


class FilterRun:
    """One direction of one call. Not safe for use by several threads at once, but for `abandon`.

    Work in a thread of its own pauses after each step of SLICE_CHARACTERS, see `in_steps`; other work never does.
    """

    def __init__(
        self,
        scanner: Scanner,
        placeholders: Placeholders,
        max_characters: int | None = None,
    ) -> None:
        self.scanner = scanner
        self.masked: Counter[tuple[str, str]] = Counter()
        """Places that were masked, by field and rule."""
        self._placeholders = placeholders
        self._max_characters = max_characters
        self._left = max_characters
        self._matches = 0
        self._pause: Callable[[float], None] | None = None
        self._resumed_at = 0.0
        self._spent = 0
        self._is_abandoned = False

    def in_steps(self, pause: Callable[[float], None], work: Callable[[], Result]) -> Result:
        """Return the result of work with this run, in the thread that calls this. Raises Abandoned, and what it raises.

        `pause` is called after each step with the seconds that it took.
        """
        self._pause, self._resumed_at, self._spent = pause, time.perf_counter(), 0
        try:
            return work()
        finally:
            self._pause = None

    def abandon(self) -> None:
        """Let the work in steps end after its current step. Safe to call from any thread."""
        self._is_abandoned = True

    def spend(self, characters: int) -> None:
        """Count work, and pause if a step of it is done. Raises Abandoned."""
        self._spent += characters
        if self._pause is None or self._spent < SLICE_CHARACTERS:
            return
        self._pause(time.perf_counter() - self._resumed_at)
        if self._is_abandoned:
            raise Abandoned
        self._resumed_at, self._spent = time.perf_counter(), 0

    def restart(self) -> None:
        """Forget what was counted."""
        self.masked.clear()
        self._matches, self._left = 0, self._max_characters

    def uncounted(self, filter_text: Callable[[FilterRun, str, str], str], field: str, text: str) -> str:
        """Filter a text that repeats another one. Raises Blocked."""
        counted = self.masked.copy(), self._matches, self._left
        try:
            return filter_text(self, field, text)
        finally:
            self.masked, self._matches, self._left = counted

    def text(self, field: str, text: str) -> str:
        """Return the text with placeholders. Raises Blocked."""
        if not text:
            return text
        stream = TextFilter(self, field)
        pieces = []
        for position in range(0, len(text), SLICE_CHARACTERS):
            end = position + SLICE_CHARACTERS
            pieces.append(stream.feed(text[position:end], is_last=end >= len(text)))
            self.spend(min(end, len(text)) - position + TEXT_COST)
        return "".join(pieces)

    def find(self, field: str, text: str) -> Iterator[tuple[int, int, Rule]]:
        """Yield what would be masked, in order. Raises Blocked."""
        stream = TextFilter(self, field)
        for position in range(0, len(text), SLICE_CHARACTERS):
            end = position + SLICE_CHARACTERS
            for finding, shift in stream.advance(text[position:end], is_last=end >= len(text)):
                yield finding.start + shift, finding.end + shift, finding.rule
            self.spend(min(end, len(text)) - position + TEXT_COST)

    def placeholder(self, field: str, rule: Rule, value: str) -> str:
        """Return what replaces a value, and count it."""
        self.masked[field, rule.name] += 1
        return self._placeholders.of(rule.label, value)

    def admit(self, field: str, finding: Finding) -> None:
        """Raises Blocked for a finding of a rule that blocks, and for too many."""
        self._matches += 1
        if finding.rule.action == "block":
            raise Blocked(finding.rule.name, field)
        if self._matches > MAX_MATCHES:
            raise Blocked("max_matches", field)

    def count_characters(self, field: str, count: int) -> None:
        """Count what was read. Raises Blocked beyond the maximum."""
        if self._left is not None:
            self._left -= count
            if self._left < 0:
                raise Blocked("max_characters", field)


class TextFilter:
    """Filters one text that arrives in pieces, with the same result however it is divided."""

    __slots__ = ("_field", "_read", "_run", "_scanned", "_start", "_text")

    def __init__(self, run: FilterRun, field: str) -> None:
        self._run = run
        self._field = field
        self._text = ""
        self._start = 0
        self._scanned = 0
        self._read = 0

    @property
    def held_back(self) -> int:
        """Return how many characters were read and are not final yet."""
        return len(self._text) - self._start

    def feed(self, text: str, *, is_last: bool = False) -> str:
        """Add text, and return what is final and was not returned before. Raises Blocked."""
        if not self._adds_enough(text, is_last=is_last):
            return ""
        found, final = self._scan(text, is_last=is_last)
        pieces: list[str] = []
        position = self._start
        for finding in found:
            value = self._text[finding.start : finding.end]
            pieces += self._text[position : finding.start], self._run.placeholder(self._field, finding.rule, value)
            position = finding.end
        pieces.append(self._text[position:final])
        self._release(final)
        return "".join(pieces)

    def advance(self, text: str, *, is_last: bool) -> Iterator[tuple[Finding, int]]:
        """Add text, and yield what was found in it with the offset of its positions in the whole text."""
        found, final = self._scan(text, is_last=is_last)
        shift = self._read
        self._release(final)
        for finding in found:
            yield finding, shift

    def _adds_enough(self, text: str, *, is_last: bool) -> bool:
        """Return whether to search now. Text held back is searched again only after it has grown by an eighth."""
        held = self._scanned - self._start
        if is_last or held < MIN_RESCAN or len(self._text) + len(text) - self._scanned >= held // 8:
            return True
        self._text += text
        self._run.count_characters(self._field, len(text))
        return False

    def _scan(self, text: str, *, is_last: bool) -> tuple[list[Finding], int]:
        self._run.count_characters(self._field, len(text))
        self._text += text
        found, final = self._run.scanner.scan(self._text, self._start, is_complete=is_last)
        self._scanned = len(self._text)
        for finding in found:
            self._run.admit(self._field, finding)
        return found, final

    def _release(self, final: int) -> None:
        kept = max(0, final - CONTEXT)
        self._text = self._text[kept:]
        self._start = final - kept
        self._scanned -= kept
        self._read += kept
