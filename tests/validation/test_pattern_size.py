"""The estimated size of a regular expression: repetitions multiply in every spelling, and nothing is missed."""

from __future__ import annotations

import pytest

from aimanager_server.validation.pattern_size import pattern_size
from aimanager_server.validation.patterns import MAX_PATTERN_SIZE, compile_pattern


@pytest.mark.parametrize(
    ("pattern", "positions"),
    [
        ("", 0),
        ("abc", 3),
        ("^a|b$", 2),
        ("a{3}", 3),
        ("a{2,5}b", 6),
        ("a{5,}", 5),
        ("a{,5}", 5),
        ("a{ 3 , 4 }", 4),
        ("a{0}", 1),
        ("a*b+c?", 3),
        ("a{3}{4}", 12),
        ("(?:a(?P<n>bc){2}){10}", 50),
        ("((a)(?i:b)){2}", 4),
        ("[a-z]{7}", 7),
        (r"[^\]\w[a[:alpha:]]&&[x]]{2}", 2),
        ("[]a]{2}", 2),
        (r"\d{4}-\p{L}\x41\u{1F600}", 8),
        (r"\b\Aa\z", 1),
        (r"\{3\}\(", 4),
        ("é{9}", 9),
    ],
)
def test_positions_are_characters_times_repetitions(pattern: str, positions: int) -> None:
    assert pattern_size(pattern).positions == positions


def test_wide_classes_are_larger_than_narrow_ones() -> None:
    sizes = [pattern_size(rf"{element}{{10}}").states for element in ("a", "[a-z]", ".", r"\d", r"\w", r"\p{L}")]

    assert sizes == sorted(sizes)
    assert sizes[-2] > 50 * sizes[0]


@pytest.mark.parametrize(
    "pattern",
    [
        r"(?:\w{1,100}x){2}",
        r"(?:[^\W]{1,100}x){2}",
        r"(?:[a-z\w]{ 1 , 100 }x){2}",
        "((a{0,100}){0,100}){0,100}",
        "a{1000}{1000}",
        r"(?i)\w{100}",
        r"(?:\p{L}|\pN){40}",
        "a{99999999999999999999}",
        "(" * 100 + "a" + "{9})" * 100,
    ],
)
def test_a_large_pattern_is_not_compiled(pattern: str) -> None:
    assert pattern_size(pattern).states > MAX_PATTERN_SIZE
    with pytest.raises(ValueError, match="must have at most 10000 states when compiled"):
        compile_pattern(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        r"^[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9.-]{1,253}\.[A-Za-z]{2,63}$",
        r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?(?:Z|[+-]\d{2}:\d{2})$",
        r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
        r"^https?://[^\s/$.?#].[^\s]*$",
        r"^#(?:[0-9a-fA-F]{3}){1,2}$",
        r"^\+?[1-9]\d{1,14}$",
        r"^[^\n]{1,500}$",
        r"^[A-Za-z0-9+/]{4,1000}={0,2}$",
        r"^(?:\w+\s?){1,5}$",
        r"^[\p{L} '-]{2,10}$",
    ],
)
def test_patterns_in_use_are_compiled(pattern: str) -> None:
    assert compile_pattern(pattern)


@pytest.mark.parametrize("pattern", ["(", ")", "a)", "[a", "a{1", "{1}", "a{x}", "(?P<n", "\\", "(?x)a b"])
def test_an_invalid_pattern_raises_value_error(pattern: str) -> None:
    with pytest.raises(ValueError, match="must "):
        compile_pattern(pattern)
