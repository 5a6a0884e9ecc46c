import random

import pytest

from aimanager_server.artifacts.fences import MAX_LINE_LENGTH, FencedBlock, FenceReader

ANSWER = """Here are two files.

**`app.py`**
```python
print("a")
```

1. And, in a list:

   ~~~js title="b.js"
   let b = 1;

     ```
   ~~~~

- ```css
  a { }
  ```

````markdown
# Title
```python
inner
```
````
```
none\r
```\r
    ```yaml
    a: 1
    ```
Then `inline` and ```code in one line```.
```python
never closed
"""


def blocks(text: str, cuts: list[int], max_characters: int = 10_000) -> list[FencedBlock]:
    reader = FenceReader(max_characters)
    ends = [*sorted(cuts), len(text)]
    starts = [0, *ends[:-1]]
    found = [block for start, end in zip(starts, ends, strict=True) for block in reader.feed(text[start:end])]
    return found + reader.finish()


def contents(text: str, max_characters: int = 10_000) -> list[str]:
    return [block.text for block in blocks(text, [], max_characters)]


def test_blocks_are_returned_with_info_string_and_preceding_line() -> None:
    found = blocks(ANSWER, [])

    assert found == [
        FencedBlock("python", "**`app.py`**", 'print("a")\n'),
        FencedBlock('js title="b.js"', "1. And, in a list:", "let b = 1;\n\n  ```\n"),
        FencedBlock("css", "", "a { }\n"),
        FencedBlock("markdown", "", "# Title\n```python\ninner\n```\n"),
        FencedBlock("", "", "none\r\n"),
        FencedBlock("yaml", "", "a: 1\n"),
    ]


def test_one_split_at_any_position_gives_the_same_blocks() -> None:
    expected = blocks(ANSWER, [])

    different = [cut for cut in range(len(ANSWER)) if blocks(ANSWER, [cut]) != expected]

    assert different == []


def random_text(chance: random.Random) -> str:
    lines = ["```", "````py", "~~~", "~~~~", "x", "  ```  ", "    ```", "", "a" * 40, "- ```js", "```a`b", "``", "\r"]
    return "".join(chance.choice(lines) + chance.choice(["\n", "\n", "\r\n", ""]) for _ in range(30))


def test_random_splits_of_random_text_give_the_same_blocks() -> None:
    different = []

    for seed in range(200):
        chance = random.Random(seed)
        text = random_text(chance)
        cuts = chance.choices(range(len(text) + 1), k=chance.randrange(40))
        if blocks(text, cuts, 60) != blocks(text, [], 60):
            different.append(seed)

    assert different == []


def test_single_characters_give_the_same_blocks() -> None:
    assert blocks(ANSWER, list(range(len(ANSWER)))) == blocks(ANSWER, [])


def test_unclosed_block_is_discarded() -> None:
    assert contents("```python\nx\n") == []
    assert contents("```python") == []


def test_closing_fence_at_end_of_text_needs_no_newline() -> None:
    assert contents("```python\nx\n```") == ["x\n"]


def test_empty_block_is_discarded() -> None:
    assert contents("```python\n```\n") == []


@pytest.mark.parametrize("line", ["``", "~~~", "``` x", "    ```", "```py"])
def test_line_that_is_not_a_closing_fence_is_content(line: str) -> None:
    assert contents(f"```python\n{line}\n```\n") == [f"{line}\n"]


@pytest.mark.parametrize(
    "content",
    [f"{'x' * 30}\n{'y' * 30}", "x" * 99, f"{'x' * 99}\n{'`' * (2 * MAX_LINE_LENGTH)}"],
    ids=["many lines", "one long line", "long line of backticks"],
)
def test_block_over_the_limit_is_skipped_and_the_next_one_found(content: str) -> None:
    assert contents(f"```py\n{content}\n```\n```py\nok\n```\n", max_characters=50) == ["ok\n"]


def test_buffered_line_is_bounded() -> None:
    reader = FenceReader(100)

    for _ in range(1000):
        reader.feed("x" * 1000)

    assert sum(map(len, reader._line)) <= MAX_LINE_LENGTH + 1


def test_long_line_hides_the_line_above_it() -> None:
    found = blocks(f"**a.py**\n{'x' * 5000}\n```py\n1\n```\n", [])

    assert found == [FencedBlock("py", "…", "1\n")]


def test_preceding_line_is_dropped_after_two_blank_lines() -> None:
    found = blocks("a.py\n\n```\n1\n```\nb.py\n\n\n```\n2\n```\n", [])

    assert [block.preceding_line for block in found] == ["a.py", ""]
