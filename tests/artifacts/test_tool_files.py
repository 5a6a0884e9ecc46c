import json

import pytest

from aimanager_server.artifacts.tool_files import files_in_tool_call
from aimanager_server.core.content import ToolCall

FILE = {"path": "a.py", "content": "pass"}


@pytest.mark.parametrize(
    "arguments",
    [
        FILE,
        {"file_path": "a.py", "file_text": "pass", "command": "create"},
        {"filename": "a.py", "contents": "pass"},
        {"files": [FILE]},
        {"path": "", "filename": "a.py", "content": "pass"},
    ],
)
def test_tool_call_with_path_and_content_writes_a_file(arguments: dict[str, object]) -> None:
    assert list(files_in_tool_call(ToolCall("1", "any", json.dumps(arguments)), 100)) == [("a.py", "pass")]


@pytest.mark.parametrize(
    "arguments",
    [
        '{"path": "a.py"}',
        '{"content": "pass"}',
        '{"path": "a.py", "content": ""}',
        '{"path": 1, "content": "pass"}',
        '{"path": "a.py", "old_str": "a", "new_str": "b"}',
        '{"files": ["content"]}',
        '{"files": "content", "x": "content"}',
        '["content"]',
        '{"path": "a.py", "content": ',
        json.dumps({"path": "a.py", "content": "x" * 101}),
        json.dumps({"path": "a.py", "content": "x" * 401}),
    ],
)
def test_other_tool_call_writes_no_file(arguments: str) -> None:
    assert list(files_in_tool_call(ToolCall("1", "any", arguments), 100)) == []
