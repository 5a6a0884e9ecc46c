"""Find everything that a filter looks for in a text, also while the text is still arriving."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import re2

from .detector import MAX_MATCH, Detector, Span, compiled
from .patterns import Patterns

Action = Literal["mask", "block"]

CONTEXT = 8
"""Characters before a text that decide whether a match may begin with it."""

BEFORE_BREAK = frozenset(b"abcdefghijklmnopqrstuvwxyz,;!")
SECRET_ENDINGS = (
    *(b"key", b"word", b"asswd", b"pwd", b"phrase", b"secret", b"token", b"credential", b"credentials"),
    *(b"bearer", b"basic"),
)
"""Ends of the words whose values may follow after a space."""


SPACES_AND_HYPHENS = tuple(
    (character, ascii_character)
    for characters, ascii_character in (("\u00a0\u2007\u2009\u202f", " "), ("\u2010\u2011\u2012\u2013\u2212", "-"))
    for character in characters
)
FULL_WIDTH = tuple(
    (chr(code), chr(code - 0xFEE0))
    for code in (*range(0xFF10, 0xFF1A), *range(0xFF20, 0xFF3B), *range(0xFF41, 0xFF5B), 0xFF0B, 0xFF0D, 0xFF0E)
)
FULL_WIDTH_BYTE = b"\xef"
"""What UTF-8 has in all of them, and in few others."""
HAS_FULL_WIDTH = re2.compile(f"[{''.join(character for character, _ in FULL_WIDTH)}]").search


@dataclass(frozen=True, slots=True)
class Rule:
    """One detector or pattern: its name in settings, metrics and errors, its placeholder, and what to do."""

    name: str
    label: str
    action: Action


@dataclass(frozen=True, slots=True)
class Finding:
    """A part of a text that a rule applies to."""

    start: int
    end: int
    rule: Rule


class Scanner:
    """Applies rules to texts. Immutable, and safe to use from any thread."""

    def __init__(
        self, detectors: Sequence[tuple[Rule, Detector]], patterns: Patterns | None, pattern_rules: Sequence[Rule]
    ) -> None:
        self._anchored = [(rule, detector) for rule, detector in detectors if detector.required]
        others = [(rule, detector) for rule, detector in detectors if not detector.required]
        groups = [[each for each in others if each[1].group == number] for number in {one.group for _, one in others}]
        self._groups = [(_search_any([one.pattern for _, one in group]), group) for group in groups]
        self._patterns = patterns
        self._pattern_rules = pattern_rules
        self._longest_prefix = max((one.longest_prefix for _, one in detectors), default=0)
        self._longest_with_spaces = max((one.longest_prefix for _, one in detectors if one.has_spaces), default=0)
        longest_pattern = 0 if patterns is None else patterns.longest + 1
        self._longest_pattern = longest_pattern
        self.max_held_back = MAX_MATCH + max(self._longest_prefix, longest_pattern)
        """Most characters that a stream holds back."""

    @property
    def has_patterns(self) -> bool:
        """Return whether patterns are searched for, which match any text."""
        return self._patterns is not None

    def scan(self, text: str, start: int, *, is_complete: bool) -> tuple[list[Finding], int]:
        """Return the findings from `start` on, in order and without overlaps, and up to where they are final.

        What precedes `start` is context. More text can change nothing before the end that is returned.
        """
        view = _ascii_view(text)
        final = len(view) if is_complete else self._last_break(view, start)
        findings: list[Finding] = []
        spans: list[Span] = []
        for rule, detector in self._candidates(view, start):
            for (first, end), span in detector.find(view, start):
                if span is not None:
                    first, end = min(first, span[0]), max(end, span[1])
                    findings.append(Finding(*span, rule))
                spans.append((first, len(view) + 1 if detector.may_continue(view, end) else end))
        if self._patterns is not None:
            for number, span in self._patterns.find(text, start):
                findings.append(Finding(*span, self._pattern_rules[number]))
                spans.append(span)
        if not is_complete and spans:
            final = max(start, _before_open(spans, final))
        return _merged(findings, final), final

    def findings(self, text: str) -> list[Finding]:
        """Return the findings of a complete text, in order and without overlaps."""
        return self.scan(text, 0, is_complete=True)[0]

    def _candidates(self, view: bytes, start: int) -> Iterator[tuple[Rule, Detector]]:
        """Yield the detectors that may find something. Those of one group are searched for together first."""
        for rule, detector in self._anchored:
            if detector.required in view:
                yield rule, detector
        for search, group in self._groups:
            if search(view, start) is not None:
                yield from group

    def _last_break(self, view: bytes, start: int) -> int:
        """Return the last place that no match goes across, but for private keys, or where none can have begun.

        That is the end of a line, or a space after a word that is neither a number nor in capital letters nor the name
        of a secret. A question mark stands for any letter beyond ASCII. What patterns could still match is left out.
        Any space will do where all matches that have spaces must have ended or begun to match.
        """
        end = max(start, len(view) - self._longest_pattern)
        tail = max(start, min(end, len(view) - self._longest_prefix))
        last = max(view.rfind(b"\n", tail, end), view.rfind(b"?", tail, end))
        space, any_space = end, len(view) - self._longest_with_spaces
        while (space := max(view.rfind(b" ", tail, space), view.rfind(b"\t", tail, space))) > last:
            if space < any_space:
                return space + 1
            if view[space - 1] in BEFORE_BREAK and not view[max(0, space - 12) : space].lower().endswith(
                SECRET_ENDINGS
            ):
                return space + 1
        return max(last + 1, tail)


def _search_any(patterns: Sequence[bytes]) -> Callable[[bytes, int], object]:
    search: Callable[[bytes, int], object] = compiled(b"|".join(b"(?:" + pattern + b")" for pattern in patterns)).search
    return search


def _ascii_view(text: str) -> bytes:
    """Return the text with one ASCII character for each of its own."""
    if text.isascii():
        return text.encode("ascii")
    # Keyboards and typesetting put these in place of ASCII characters.
    for character, ascii_character in SPACES_AND_HYPHENS:
        text = text.replace(character, ascii_character)
    data = text.encode("utf-8", "surrogatepass")
    if FULL_WIDTH_BYTE in data and HAS_FULL_WIDTH(data) is not None:
        for character, ascii_character in FULL_WIDTH:
            text = text.replace(character, ascii_character)
    return text.encode("ascii", "replace")


def _before_open(spans: list[Span], final: int) -> int:
    """Return the last place up to `final` that is not inside a span."""
    spans.sort(reverse=True)
    for start, end in spans:
        if start < final < end:
            final = start
    return final


def _merged(findings: list[Finding], final: int) -> list[Finding]:
    """Return the findings that end by `final`. Those that overlap become one, of the stricter rule."""
    findings.sort(key=lambda finding: (finding.start, -finding.end))
    merged: list[Finding] = []
    for finding in findings:
        if finding.end > final:
            continue
        last = merged[-1] if merged else None
        if last is None or finding.start >= last.end:
            merged.append(finding)
        else:
            rule = finding.rule if finding.rule.action == "block" else last.rule
            merged[-1] = Finding(last.start, max(last.end, finding.end), rule)
    return merged
