"""Find the files that a model writes through tool calls.

A JSON object in the arguments, at the top level or in the list `files`, is a file if it has a name under one of
PATH_KEYS and text under one of CONTENT_KEYS. The name of the tool does not matter, nor whether the caller runs it.
Calls that edit a part of a file have no such pair and are ignored.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic_core import from_json

from ..core.content import ToolCall

PATH_KEYS = ("path", "file_path", "filepath", "filename", "file_name")
CONTENT_KEYS = ("content", "contents", "file_text", "file_content")
FILES_KEY = "files"


def files_in_tool_call(call: ToolCall, max_characters: int) -> Iterator[tuple[str, str]]:
    """Yield the name and text of each file of at most `max_characters`; skip empty files and invalid JSON.

    >>> list(files_in_tool_call(ToolCall("1", "write_file", '{"path": "a.txt", "content": "Hi"}'), 100))
    [('a.txt', 'Hi')]
    """
    # The limit of 4 leaves space for names and JSON syntax, and bounds the time to parse on the event loop.
    too_long = len(call.arguments_json) > 4 * max_characters
    if too_long or not any(f'"{key}"' in call.arguments_json for key in CONTENT_KEYS):
        return
    try:
        arguments = from_json(call.arguments_json)
    except ValueError:
        return
    if not isinstance(arguments, dict):
        return
    files = arguments.get(FILES_KEY)
    for item in (arguments, *(files if isinstance(files, list) else ())):
        name, text = _first_text(item, PATH_KEYS), _first_text(item, CONTENT_KEYS)
        if name and text and len(text) <= max_characters:
            yield name, text


def _first_text(item: Any, keys: tuple[str, ...]) -> str:
    """Return the first non-empty string under one of the keys."""
    if not isinstance(item, dict):
        return ""
    return next((item[key] for key in keys if isinstance(item.get(key), str) and item[key]), "")
