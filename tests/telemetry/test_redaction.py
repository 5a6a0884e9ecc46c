"""Nothing shaped like a key leaves."""

from __future__ import annotations

import pytest

from aimanager_server.telemetry.redaction import masked

KEYS = [
    "sk-proj-Ab12Cd34Ef56",
    "sk-ant-api03-Zz99_yy-88",
    "sk-abc***********wxyz",
    "gsk_0123456789abcdef",
    "xai-0123456789abcdef",
    "AIzaSyA1234567890bcdef",
    "hf_abcdefghijk",
    "eyJhbGciOiJIUzI1.eyJzdWIiOiIx.c2ln",
]


@pytest.mark.parametrize("key", KEYS)
def test_what_is_shaped_like_a_key_is_masked(key: str) -> None:
    assert masked(f"The key '{key}' is wrong.") == "The key '[masked]' is wrong."


def test_a_bearer_token_of_any_shape_is_masked() -> None:
    assert masked("Authorization: Bearer tokentoken!") == "Authorization: Bearer [masked]"


@pytest.mark.parametrize(
    "text", ["task-oriented and risk-averse", "invalid_request_error", "desk-based work", "bearer of news"]
)
def test_plain_words_stay(text: str) -> None:
    assert masked(text) == text


def test_a_known_secret_is_masked_whatever_its_shape() -> None:
    assert masked("you said hunter2!", ["hunter2", ""]) == "you said [masked]!"


def test_text_is_cut_after_the_secret_is_gone() -> None:
    assert masked("x" * 8 + "hunter2" + "y" * 20, ["hunter2"], longest=12) == "xxxxxxxx[ma…"
