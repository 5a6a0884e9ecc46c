"""Make the control characters of untrusted text visible, so that an answer cannot control the terminal."""

from __future__ import annotations

import re

CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""Control characters except tab and line feed, and characters that reorder the text around them."""


def printable(text: str) -> str:
    r"""Replace control characters: C0 by their pictures, others by U+FFFD. A carriage return before a line feed goes.

    >>> printable("a\x1b[2Jb\r\n")
    'a␛[2Jb\n'
    """
    return CONTROLS.sub(_picture, text.replace("\r\n", "\n"))


def _picture(match: re.Match[str]) -> str:
    code = ord(match[0])
    return chr(0x2400 + code) if code < 0x20 else "␡" if code == 0x7F else "\ufffd"
