import pytest

from aimanager_server.artifacts.fences import Block
from aimanager_server.artifacts.file_types import KINDS, kind_of
from aimanager_server.artifacts.filenames import named


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
def test_the_words_behind_a_fence_say_language_and_name(info: str, language: str, name: str) -> None:
    assert named(Block(info, "", "")) == (language, name)


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
def test_a_line_above_that_is_nothing_but_a_name_names_the_block(line: str, name: str) -> None:
    assert named(Block("", line, "")) == ("", name)


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
def test_a_comment_in_the_first_line_names_the_block(line: str, name: str) -> None:
    assert named(Block("", "", f"{line}\nmore\n")) == ("", name)


def test_the_fence_beats_the_line_above_which_beats_the_first_line() -> None:
    both = Block("python:a.py", "**b.py**", "# c.py\n")

    assert named(both)[1] == "a.py"
    assert named(Block("python", "**b.py**", "# c.py\n"))[1] == "b.py"


@pytest.mark.parametrize(
    ("language", "name", "text", "expected"),
    [
        ("py", "", "", ("python", "text/x-python", ".py")),
        ("", "x.tsx", "", ("tsx", "text/tsx", ".tsx")),
        ("", "Dockerfile", "", ("dockerfile", "text/x-dockerfile", ".dockerfile")),
        ("", "LICENSE", "", ("", "text/plain", ".txt")),
        ("", "x.unheard", "", ("", "text/plain", ".txt")),
        ("md", "", "", ("", "text/markdown", ".md")),
        ("html", "", "<p>", ("", "text/html", ".html")),
        ("csv", "", "", ("", "text/csv", ".csv")),
        ("yml", "", "", ("", "application/yaml", ".yaml")),
        ("json", "", "", ("", "application/json", ".json")),
        ("svg", "", "", ("", "image/svg+xml", ".svg")),
        ("xml", "", "\n<svg xmlns='…'>", ("", "image/svg+xml", ".svg")),
        ("text", "x.py", "", ("python", "text/x-python", ".py")),
        ("text", "", "", ("", "text/plain", ".txt")),
        ("diff", "x.py", "", ("diff", "text/x-diff", ".diff")),
        ("zork", "", "", ("zork", "text/plain", ".txt")),
    ],
)
def test_language_and_name_say_what_kind_of_file_it_is(
    language: str, name: str, text: str, expected: tuple[str, str, str]
) -> None:
    kind = kind_of(language, name, text)

    assert (kind.language, kind.mime_type, kind.ending) == expected


def test_every_kind_is_known_by_the_ending_of_its_files() -> None:
    assert all(KINDS[kind.ending[1:]].ending == kind.ending for kind in KINDS.values())
