"""Tokens of the mock provider: a token is a word with the space around it, or eight characters of tool arguments."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ...core.token_estimate import CHARACTERS_PER_TOKEN
from .pace import Pace

CHARACTERS_PER_ARGUMENT_TOKEN = 8

MAX_COUNTED_LENGTH = 1_000_000
"""Characters of a prompt whose words are counted; of the rest, every four characters count as one token."""

WINDOW = 16_384
"""Characters that are counted in one step."""

_WORD = re.compile(r"\s*\S*\s*")


def words(text: str) -> Iterator[str]:
    """Yield the words of a text with the space around them; joined, they equal the text.

    >>> list(words("Hello  there, you"))
    ['Hello  ', 'there, ', 'you']
    """
    return (match[0] for match in _WORD.finditer(text) if match[0])


def fragments(arguments_json: str) -> Iterator[str]:
    """Yield the tokens of a tool call's arguments.

    >>> list(fragments('{"city": "Rome"}'))
    ['{"city":', ' "Rome"}']
    """
    size = CHARACTERS_PER_ARGUMENT_TOKEN
    return (arguments_json[start : start + size] for start in range(0, len(arguments_json), size))


class TokenCounter:
    """Counts the tokens of one prompt in `total`, with pauses."""

    def __init__(self, pace: Pace) -> None:
        self.total = 0
        self._pace = pace
        self._remaining_length = MAX_COUNTED_LENGTH

    async def add_text(self, text: str) -> None:
        """Count a text: its words, or one token if it is blank."""
        counted = min(len(text), self._remaining_length)
        self._remaining_length -= counted
        total = 0
        for start in range(0, counted, WINDOW):
            total += len(text[start : min(start + WINDOW, counted)].split())
            if start and not (text[start - 1].isspace() or text[start].isspace()):
                total -= 1  # the word began in the window before
            if self._pace.is_due():
                await self._pace.pause()
        rest = len(text) - counted
        self.total += (total or min(counted, 1)) - (-rest // CHARACTERS_PER_TOKEN)

    def add_arguments(self, arguments_json: str) -> None:
        """Count the arguments of a tool call."""
        self.total -= -len(arguments_json) // CHARACTERS_PER_ARGUMENT_TOKEN
