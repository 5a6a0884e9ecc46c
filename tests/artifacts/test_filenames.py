import pytest

from aimanager_server.artifacts.fences import FencedBlock
from aimanager_server.artifacts.filenames import language_and_filename


@pytest.mark.parametrize(
    ("info", "language", "name"),
    [
        ("", "", ""),
        ("python", "python", ""),
        ("Python", "python", ""),
        ('python title="x.py"', "python", "x.py"),
        ("python title='my file.py'", "python", "my file.py"),
        ("python filename=src/x.py", "python", "src/x.py"),
        ("python {1,3} name=x.py", "python", "x.py"),
        ("python, path: x.py", "python", "x.py"),
        ('title="x.py"', "", "x.py"),
        ("python:x.py", "python", "x.py"),
        ("ts:src/app/x.module.ts", "ts", "src/app/x.module.ts"),
        ("12:15:src/x.py", "", ""),
        ("x.py", "", "x.py"),
        ("src/x.unheard", "", "src/x.unheard"),
        ("python x.py", "python", "x.py"),
        ("python linenos", "python", ""),
        ("{.python #code}", "python", ""),
        ("{r}", "r", ""),
        ("js{1,3}", "js", ""),
        ("c++", "c++", ""),
        ("C#", "c#", ""),
        ("python3.11", "python3.11", ""),
        ("Dockerfile", "dockerfile", "Dockerfile"),
        ("dockerfile", "dockerfile", ""),
        ("!important", "", ""),
    ],
)
def test_info_string_gives_language_and_filename(info: str, language: str, name: str) -> None:
    assert language_and_filename(FencedBlock(info, "", "")) == (language, name)


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("**`x.py`**", "x.py"),
        ("**x.py**", "x.py"),
        ("`src/x.py`:", "src/x.py"),
        ("### x.py", "x.py"),
        ("1. **x.py**:", "x.py"),
        ("- `Makefile`", "Makefile"),
        ("File: x.py", "x.py"),
        ("**Filename:** `x.unheard`", "x.unheard"),
        ("x.py", "x.py"),
        ("Here is x.py", ""),
        ("Use version 3.11:", ""),
        ("3.11", ""),
        ("e.g.", ""),
        ("**Note**", ""),
        ("File: none of yours", ""),
        ("", ""),
    ],
)
def test_line_above_with_only_a_filename_names_the_block(line: str, name: str) -> None:
    assert language_and_filename(FencedBlock("", line, "")) == ("", name)


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("# file: x.py", "x.py"),
        ("# x.py", "x.py"),
        ("// src/x.js", "src/x.js"),
        ("-- filename: x.sql", "x.sql"),
        ("<!-- x.html -->", "x.html"),
        ("/* x.css */", "x.css"),
        ("# a comment", ""),
        ("#!/bin/sh", ""),
        ("x.py", ""),
        ("#", ""),
    ],
)
def test_comment_in_the_first_line_names_the_block(line: str, name: str) -> None:
    assert language_and_filename(FencedBlock("", "", f"{line}\nmore\n")) == ("", name)


@pytest.mark.parametrize(
    ("block", "name"),
    [
        (FencedBlock("python:a.py", "**b.py**", "# c.py\n"), "a.py"),
        (FencedBlock("python", "**b.py**", "# c.py\n"), "b.py"),
        (FencedBlock("python", "", "# c.py\n"), "c.py"),
    ],
    ids=["info string", "line above", "first line"],
)
def test_info_string_precedes_line_above_which_precedes_first_line(block: FencedBlock, name: str) -> None:
    assert language_and_filename(block)[1] == name
