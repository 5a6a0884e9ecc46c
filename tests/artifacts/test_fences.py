import random

import pytest

from aimanager_server.artifacts.fences import LONGEST_LINE, Block, FenceReader

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


def blocks(text: str, cuts: list[int], longest: int = 10_000) -> list[Block]:
    reader = FenceReader(longest)
    ends = [*sorted(cuts), len(text)]
    starts = [0, *ends[:-1]]
    found = [block for start, end in zip(starts, ends, strict=True) for block in reader.feed(text[start:end])]
    return found + reader.end()


def contents(text: str) -> list[str]:
    return [block.text for block in blocks(text, [])]


def test_every_block_is_found_with_what_stands_around_it() -> None:
    found = blocks(ANSWER, [])

    assert found == [
        Block("python", "**`app.py`**", 'print("a")\n'),
        Block('js title="b.js"', "1. And, in a list:", "let b = 1;\n\n  ```\n"),
        Block("css", "", "a { }\n"),
        Block("markdown", "", "# Title\n```python\ninner\n```\n"),
        Block("", "", "none\r\n"),
        Block("yaml", "", "a: 1\n"),
    ]


@pytest.mark.parametrize("cut", range(0, len(ANSWER), 1))
def test_one_cut_anywhere_changes_nothing(cut: int) -> None:
    assert blocks(ANSWER, [cut]) == blocks(ANSWER, [])


@pytest.mark.parametrize("seed", range(200))
def test_any_cuts_change_nothing(seed: int) -> None:
    chance = random.Random(seed)
    lines = ["```", "````py", "~~~", "~~~~", "x", "  ```  ", "    ```", "", "a" * 40, "- ```js", "```a`b", "``", "\r"]
    text = "".join(chance.choice(lines) + chance.choice(["\n", "\n", "\r\n", ""]) for _ in range(30))
    cuts = chance.choices(range(len(text) + 1), k=chance.randrange(40))

    assert blocks(text, cuts, longest=60) == blocks(text, [], longest=60)


def test_letter_by_letter_is_the_same() -> None:
    assert blocks(ANSWER, list(range(len(ANSWER)))) == blocks(ANSWER, [])


def test_a_block_that_is_never_closed_is_none() -> None:
    assert contents("```python\nx\n") == []
    assert contents("```python") == []


def test_a_fence_at_the_very_end_needs_no_line_end() -> None:
    assert contents("```python\nx\n```") == ["x\n"]


def test_an_empty_block_is_none() -> None:
    assert contents("```python\n```\n") == []


@pytest.mark.parametrize("inside", ["``", "~~~", "``` x", "    ```", "```py"])
def test_what_is_no_closing_fence_is_content(inside: str) -> None:
    assert contents(f"```python\n{inside}\n```\n") == [f"{inside}\n"]


def test_a_block_that_is_too_long_is_passed_over_and_the_next_one_found() -> None:
    text = f"```py\n{'x' * 30}\n{'y' * 30}\n```\n```py\nok\n```\n"

    assert [block.text for block in blocks(text, [], longest=50)] == ["ok\n"]


def test_a_line_that_is_too_long_ends_a_block_as_too_long() -> None:
    text = f"```py\n{'x' * 99}\n```\n```py\nok\n```\n"

    assert [block.text for block in blocks(text, [], longest=50)] == ["ok\n"]


def test_a_block_that_is_passed_over_is_closed_by_no_line_beyond_all_measure() -> None:
    text = f"```py\n{'x' * 99}\n{'`' * (2 * LONGEST_LINE)}\n```\n```py\nok\n```\n"

    assert [block.text for block in blocks(text, [], longest=50)] == ["ok\n"]


def test_memory_is_bounded_however_long_a_line_is() -> None:
    reader = FenceReader(100)

    for _ in range(1000):
        reader.feed("x" * 1000)

    assert sum(map(len, reader._line)) <= LONGEST_LINE + 1


def test_a_long_line_names_nothing_and_hides_what_stood_above_it() -> None:
    found = blocks(f"**a.py**\n{'x' * 5000}\n```py\n1\n```\n", [])

    assert found == [Block("py", "…", "1\n")]


def test_a_name_further_above_than_one_blank_line_is_not_told() -> None:
    assert [block.before for block in blocks("a.py\n\n```\n1\n```\nb.py\n\n\n```\n2\n```\n", [])] == ["a.py", ""]
