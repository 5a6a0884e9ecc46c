"""Secrets never leave the server in text that others wrote."""

from __future__ import annotations

import time

import pytest

from aimanager_server.telemetry.redaction import ConfiguredSecrets, redact, without_quotations

KEYS = [
    "sk-proj-Ab12Cd34Ef56",
    "sk-ant-api03-Zz99_yy-88",
    "sk-abc***********wxyz",
    "gsk_0123456789abcdef",
    "xai-0123456789abcdef",
    "AIzaSyA1234567890bcdef",
    "hf_abcdefghijk",
    "eyJhbGciOiJIUzI1.eyJzdWIiOiIx.c2ln",
    "eyJhbGciOiJIUzI1",
]


@pytest.mark.parametrize("key", KEYS)
def test_key_shaped_text_is_redacted(key: str) -> None:
    assert redact(f"The key '{key}' is wrong.") == "The key '[redacted]' is wrong."


def test_bearer_token_of_any_shape_is_redacted() -> None:
    assert redact("Authorization: Bearer tokentoken!") == "Authorization: Bearer [redacted]"


@pytest.mark.parametrize(
    "text", ["task-oriented and risk-averse", "invalid_request_error", "desk-based work", "bearer of news"]
)
def test_plain_words_are_unchanged(text: str) -> None:
    assert redact(text) == text


@pytest.mark.parametrize("beginning", ["eyJ", "sk-", "AIza", "Bearer ", "eyJ0123456789."])
def test_effort_grows_linearly_with_the_length(beginning: str) -> None:
    text = beginning * (128 * 1024 // len(beginning))

    started_at = time.process_time()
    redact(text, ["0123456789abcdef"])

    assert time.process_time() - started_at < 1.0  # a tenth of what quadratic effort takes, ten times what linear does


def test_known_secret_is_redacted_whatever_its_shape() -> None:
    assert redact("you said hunter2!", ["hunter2", ""]) == "you said [redacted]!"


def test_text_is_truncated_after_redaction() -> None:
    assert redact("x" * 8 + "hunter2" + "y" * 20, ["hunter2"], max_length=12) == "xxxxxxxx[re…"


def test_secrets_of_earlier_configurations_stay_redacted_while_calls_may_use_them() -> None:
    secrets = ConfiguredSecrets(["first"])
    for added in (["second"], ["third"], ["third"], ["fourth"]):
        secrets.add(added)

    assert secrets.all() == ("second", "third", "fourth")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('No "tell me" here', 'No "…" here'),
        ("The model `gpt-6` and 'x' stay", "The model `gpt-6` and 'x' stay"),
        ("It's the provider's word", "It's the provider's word"),
        ("Cut “in the middle", "Cut “…“"),
        ("'" + "x" * 100 + "'", "'…'"),
    ],
)
def test_quotations_are_left_out_unless_they_are_one_short_word(text: str, expected: str) -> None:
    assert without_quotations(text) == expected
