"""Which whitespace is left out of a text, and which is not."""

from __future__ import annotations

import json
import random
import re
from time import process_time

import pytest

from aimanager_server.pipeline.whitespace import compacted


def compact(text: str) -> str:
    return "".join(compacted(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("One.", "One."),
        ("One. \nTwo.", "One.\nTwo."),
        ("One. \r\nTwo.\r\n", "One.\r\nTwo.\r\n"),
        ("One.\n\n\n\nTwo.", "One.\n\nTwo."),
        ("One.\r\n\r\n \r\n\r\nTwo.", "One.\r\n\r\nTwo."),
        ("One.   \n  \n   \nTwo.", "One.\n\nTwo."),
        ("\n\n\nOne.\n\n\n", "\nOne.\n\n"),
        ("```\ncode \n\n\n\n```\n\n\n\nOne. \nTwo.", "```\ncode \n\n\n\n```\n\nOne.\nTwo."),
        ("- a \n- b \n\n\n1. c", "- a\n- b\n\n1. c"),
        ("inline ```x``` here \nnext \n.", "inline ```x``` here\nnext\n."),
        ("Use `a` and ``b`c``. \nNext. \n.", "Use `a` and ``b`c``.\nNext.\n."),
        ("- ```py\n  x \n  ```\n\n\n\n```\ny \n```", "- ```py\n  x \n  ```\n\n```\ny \n```"),
    ],
)
def test_spaces_at_line_ends_and_further_blank_lines_are_left_out(text: str, expected: str) -> None:
    assert compact(text) == expected
    assert compact(expected) == expected


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("The answer is ", id="the end of the text, which the model may continue"),
        pytest.param("One.  \nTwo.", id="hard line break"),
        pytest.param("def f():\n    return 1 \n\n\n\n    # end \n", id="indented lines"),
        pytest.param("\tx = 1 \n\n\n\ty = 2\n", id="lines indented by a tab"),
        pytest.param("name\tvalue\t\nrow\t\t\n", id="tabs, which may be empty columns"),
        pytest.param("| a | b \n| - | - \n", id="table"),
        pytest.param("a | b \n- | - \n1 | \n", id="table without outer bars"),
        pytest.param("```text\nx \n\n\n\ny \n```", id="code block"),
        pytest.param("~~~\nx \n```\n\n\ny \n~~~", id="code block that contains another fence"),
        pytest.param("````\n```\nx \n```\n\n\ny \n````", id="code block with a longer fence"),
        pytest.param("```\nnever closed \n\n\n\n", id="code block without an end"),
        pytest.param("1. a\n\n   ```py\n   x \n\n\n   ```", id="code block in a list"),
        pytest.param("- ```py\nx \n  ```\n\n\n\n```\ny \n```\nz \n", id="code in a list that may have ended"),
        pytest.param("1.      x \n", id="code on the line of a list item"),
        pytest.param("C:\\ \nnext", id="backslash that would break the line"),
        pytest.param("`one \ntwo \nthree` \n", id="code span over several lines"),
        pytest.param("> ```\n> x \n> \n> \n> ```", id="code block in a quotation"),
        pytest.param("<PRE>\na \n\n\n\nb \n</PRE>", id="preformatted HTML"),
        pytest.param("diff --git a/x b/x\n@@ -1 +1 @@\n-a \n+a\n \n \n", id="diff"),
        pytest.param("x" * 70_000 + " \n\n\n\nnext \n", id="a line that is no prose, and what follows"),
        pytest.param("  \u00a0 \nOne.\u3000\n", id="other spaces"),
    ],
)
def test_what_may_have_a_meaning_stays(text: str) -> None:
    assert compact(text) == text


def test_json_keeps_its_value() -> None:
    value = {"text": "two  \n\n\n\nlines \n", "list": [1, {"a": " \n"}]}
    written = json.dumps(value, indent=1).replace(",\n", ", \n\n\n\n")

    assert json.loads(compact(written)) == value


def test_only_spaces_and_line_ends_are_left_out_of_any_text() -> None:
    generator = random.Random(7)
    pieces = ("a", "B.", " ", "  ", "\n", "\n\n", "\r\n", "```", "~~~", "    ", "|", "> ", "- ", "\t", "<pre>", "@@ ")
    for _ in range(3_000):
        text = "".join(generator.choices(pieces, k=generator.randrange(40)))

        shorter = compact(text)

        assert re.sub(r"[ \r\n]", "", shorter) == re.sub(r"[ \r\n]", "", text)
        assert re.sub(r" *\r?\n", "\n", shorter).split() == text.split()
        assert len(shorter) <= len(text)
        assert compact(shorter) == shorter


def test_markdown_is_rendered_as_before() -> None:
    markdown_it = pytest.importorskip("markdown_it")
    render = markdown_it.MarkdownIt("commonmark").enable("table").render
    pieces = (
        *(
            "a",
            "B. ",
            " ",
            "  ",
            "   ",
            "\n",
            "\n",
            "\n\n",
            "\n \n",
            "\n   \n\n",
            "```",
            "````",
            "~~~",
            "    ",
            "\t",
            "| ",
            "> ",
        ),
        *("- ", "* ", "1. ", "10) ", "# ", "=", "---", "`", "\\", "[x](y)", "***", "a | b\n- | -\n"),
    )
    generator, changed = random.Random(11), 0
    for _ in range(3_000):
        text = "".join(generator.choices(pieces, k=generator.randrange(1, 30)))

        shorter = compact(text)

        if shorter != text:
            changed += 1
            assert render(shorter) == render(text), text
    assert changed > 500


@pytest.mark.parametrize(
    "hostile", ["\n", " \n", " ", "`", "```\n", "> ", "a" + " " * 999, "<", "x \n\n\n", "1. ", "~~~~ `\n"]
)
def test_the_time_is_linear(hostile: str) -> None:
    def seconds(length: int) -> float:
        text = hostile * (length // len(hostile))
        began_at = process_time()
        compact(text)
        return process_time() - began_at

    assert min(seconds(400_000) for _ in range(2)) < 16 * max(seconds(100_000), 0.005)
