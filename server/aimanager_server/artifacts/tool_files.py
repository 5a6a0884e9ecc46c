"""Finds the files that a model writes by way of a tool call.

The rule: an object in the arguments that names a file under one of PATHS and has its text under one of CONTENTS is a
file. It is looked for at the top and in the list under `files`. Which tool is called does not matter, nor whether the
caller runs it; calls that change a part of a file have no such pair and are passed over.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic_core import from_json

from ..core.content import ToolCall

PATHS = ("path", "file_path", "filepath", "filename", "file_name")
CONTENTS = ("content", "contents", "file_text", "file_content")
SEVERAL = "files"


def files_in(call: ToolCall, longest: int) -> Iterator[tuple[str, str]]:
    """Name and text of every file that is written; arguments that are no JSON, and empty files, give none.

    >>> list(files_in(ToolCall("1", "write_file", '{"path": "a.txt", "content": "Hi"}'), 100))
    [('a.txt', 'Hi')]
    """
    # Names and the JSON around a file take room too, but a long text is never the work of a moment.
    if len(call.arguments_json) > 4 * longest or not any(f'"{name}"' in call.arguments_json for name in CONTENTS):
        return
    try:
        arguments = from_json(call.arguments_json)
    except ValueError:
        return
    if not isinstance(arguments, dict):
        return
    several = arguments.get(SEVERAL)
    for item in (arguments, *(several if isinstance(several, list) else ())):
        name, text = _first(item, PATHS), _first(item, CONTENTS)
        if name and text and len(text) <= longest:
            yield name, text


def _first(item: Any, keys: tuple[str, ...]) -> str:
    """The first value that is a text and not empty."""
    if not isinstance(item, dict):
        return ""
    return next((item[key] for key in keys if isinstance(item.get(key), str) and item[key]), "")
