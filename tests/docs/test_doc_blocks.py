"""The reader of pages finds every block, link and anchor, and the checks notice what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.test_code_blocks import exists, is_executable, run, with_existing_files, yaml_problem
from tests.support.doc_blocks import CodeBlock, anchors, code_blocks, commands, inline_code, links

PAGE = """\
# A `page` of [links](other.md), v1.0

See [this](other.md#one-two "title"), [that][ref] and `[not](a-link)`.

```python
# Not a heading
print("[x](y)")
```

- In a list:

  ~~~~toml title="x"
  a = 1
    b = 2
  ~~~
  ~~~~

## Same
## Same

```
no language
```

[ref]: https://example.com/
"""


@pytest.fixture
def page(tmp_path: Path) -> Path:
    (tmp_path / "page.md").write_text(PAGE)
    (tmp_path / "other.md").write_text('# One `two`\n\n<a id="there"></a>\n')
    return tmp_path / "page.md"


def test_blocks_have_page_line_language_and_text(page: Path) -> None:
    assert code_blocks(page) == [
        CodeBlock("page.md", 5, "python", '# Not a heading\nprint("[x](y)")\n'),
        CodeBlock("page.md", 12, "toml", "a = 1\n  b = 2\n~~~\n"),
        CodeBlock("page.md", 21, "", "no language\n"),
    ]
    assert [block.line for block in code_blocks(page, "toml", "sh")] == [12]


def test_an_open_block_is_an_error(page: Path) -> None:
    page.write_text("```sh\nls\n")

    with pytest.raises(ValueError, match=r"page\.md:1: the code block is not closed"):
        code_blocks(page)


def test_links_and_anchors_are_those_outside_of_code(page: Path) -> None:
    assert links(page) == ["other.md", "other.md#one-two", "https://example.com/"]
    assert anchors(page) == {"a-page-of-links-v10", "same", "same-1"}
    assert inline_code(page) == ["page", "[not](a-link)"]


@pytest.mark.parametrize(
    ("link", "leads_somewhere"),
    [
        ("other.md", True),
        ("other.md#one-two", True),
        ("other.md#there", True),
        ("#same-1", True),
        ("missing.md", False),
        ("other.md#three", False),
        ("#same-2", False),
    ],
)
def test_a_link_without_target_is_noticed(link: str, leads_somewhere: bool, page: Path) -> None:
    assert exists(link, page) == leads_somewhere


@pytest.mark.parametrize(
    ("document", "is_valid"),
    [("a: { b: 1 }\n", True), ("- a\n- b: [1, 2]\n", True), ("a: [1\n", False), ("a:\n   b: 1\n  c: 2\n", False)],
)
def test_a_yaml_syntax_error_is_noticed(document: str, is_valid: bool, tmp_path: Path) -> None:
    assert (yaml_problem(document, tmp_path) == "") == is_valid


def test_commands_of_a_transcript_are_its_input_lines() -> None:
    block = CodeBlock("a.md", 1, "console", "$ aimanager models\nmock\n$ aimanager health \\\n    --json\n")

    assert commands(block) == ["aimanager models", "aimanager health --json"]


def test_only_commands_that_end_are_run(gateway: str, tmp_path: Path) -> None:
    assert is_executable("aimanager-server config --sample > aimanager.toml")
    assert not is_executable("aimanager-server --reflection")
    assert not is_executable("make test")

    run("aimanager-server config --sample > aimanager.toml", gateway, tmp_path)
    with pytest.raises(AssertionError, match="No such file"):
        run("aimanager-server config --config missing.toml", gateway, tmp_path)

    assert "[server]" in (tmp_path / "aimanager.toml").read_text()


def test_files_that_an_example_names_exist(tmp_path: Path) -> None:
    table = with_existing_files({"tls": {"key_file": "k.pem"}, "keys": [{"api_key_file": "a"}], "n": 1}, tmp_path)

    assert table == {
        "tls": {"key_file": str(tmp_path / "key_file")},
        "keys": [{"api_key_file": str(tmp_path / "api_key_file")}],
        "n": 1,
    }
