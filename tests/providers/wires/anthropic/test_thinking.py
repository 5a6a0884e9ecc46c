"""Thinking fields and token limits of the Messages API."""

from __future__ import annotations

from typing import Any

import pytest

from aimanager_server.catalog.model import Model
from aimanager_server.config.providers import ProviderSettings
from aimanager_server.config.settings import Limits
from aimanager_server.core.content import Effort, ReasoningOptions, Sampling
from aimanager_server.providers.wires.anthropic import AnthropicWire
from tests.support.anthropic import NOW, make_attempt, sent_body, validated_by_sdk


@pytest.mark.parametrize(
    ("model", "reasoning", "thinking", "effort", "limit"),
    [
        # Thinking is always on.
        ("claude-opus-5-5", ReasoningOptions(), None, None, 16384),
        ("claude-opus-5-5", ReasoningOptions(Effort.NONE), None, "low", 16384),
        ("claude-opus-5-5", ReasoningOptions(Effort.MINIMAL), {"type": "adaptive"}, "low", 16384),
        ("claude-opus-5-5", ReasoningOptions(Effort.MAX), {"type": "adaptive"}, "max", 16384),
        ("claude-opus-5-5", ReasoningOptions(include=True), {"type": "adaptive", "display": "summarized"}, None, 16384),
        ("claude-opus-5-5", ReasoningOptions(budget_tokens=9000), {"type": "adaptive"}, None, 16384),
        # Adaptive thinking, on or off by default.
        ("claude-haiku-5-5", ReasoningOptions(), None, None, 16384),
        ("claude-haiku-5-5", ReasoningOptions(Effort.NONE), {"type": "disabled"}, None, 4096),
        ("claude-opus-4-8", ReasoningOptions(), None, None, 4096),
        ("claude-opus-4-8", ReasoningOptions(include=True), None, None, 4096),
        ("claude-opus-4-8", ReasoningOptions(Effort.HIGH), {"type": "adaptive"}, "high", 16384),
        ("claude-opus-4-6", ReasoningOptions(Effort.XHIGH), {"type": "adaptive"}, "high", 16384),
        # Thinking budget.
        ("claude-haiku-4-5", ReasoningOptions(), None, None, 4096),
        ("claude-haiku-4-5", ReasoningOptions(include=True), None, None, 4096),
        ("claude-haiku-4-5", ReasoningOptions(Effort.NONE), {"type": "disabled"}, None, 4096),
        ("claude-haiku-4-5", ReasoningOptions(Effort.LOW), {"type": "enabled", "budget_tokens": 2048}, None, 16384),
        ("claude-haiku-4-5", ReasoningOptions(Effort.HIGH), {"type": "enabled", "budget_tokens": 16384}, None, 20480),
        ("claude-haiku-4-5", ReasoningOptions(Effort.MAX), {"type": "enabled", "budget_tokens": 49152}, None, 53248),
        (
            "claude-haiku-4-5",
            ReasoningOptions(Effort.LOW, 63_000),
            {"type": "enabled", "budget_tokens": 63_000},
            None,
            64_000,
        ),
        # Unknown model.
        ("claude-next", ReasoningOptions(), None, None, 4096),
        (
            "claude-next",
            ReasoningOptions(Effort.HIGH, include=True),
            {"type": "adaptive", "display": "summarized"},
            "high",
            16_384,
        ),
        ("claude-next", ReasoningOptions(Effort.MINIMAL), {"type": "adaptive"}, "low", 16_384),
        ("claude-next", ReasoningOptions(Effort.NONE), {"type": "disabled"}, None, 4096),
        (
            "claude-next",
            ReasoningOptions(budget_tokens=20_000),
            {"type": "enabled", "budget_tokens": 20_000},
            None,
            24_096,
        ),
    ],
)
def test_thinking_fields_and_limit_depend_on_the_model(
    model: str, reasoning: ReasoningOptions, thinking: dict[str, Any] | None, effort: str | None, limit: int
) -> None:
    body = sent_body(make_attempt(model=model, reasoning=reasoning))

    assert body.get("thinking") == thinking
    assert body.get("output_config", {}).get("effort") == effort
    assert body["max_tokens"] == limit
    assert validated_by_sdk(body) == body


@pytest.mark.parametrize(("limit", "budget"), [(4000, 3999), (1025, 1024), (1024, None)])
def test_budget_stays_below_the_output_limit(limit: int, budget: int | None) -> None:
    body = sent_body(
        make_attempt(
            model="claude-haiku-4-5",
            sampling=Sampling(max_output_tokens=limit),
            reasoning=ReasoningOptions(Effort.HIGH),
        )
    )

    assert body["max_tokens"] == limit
    assert body.get("thinking", {}).get("budget_tokens") == budget


def test_model_without_thinking_gets_no_thinking_field() -> None:
    wire = AnthropicWire(
        ProviderSettings(wire="anthropic", base_url="http://127.0.0.1:1"),
        Limits(),
        lambda model: Model("claude", model, thinking="none", efforts=()),
        lambda: NOW,
    )

    body = sent_body(make_attempt(reasoning=ReasoningOptions(Effort.HIGH, 5000, include=True)), wire)

    assert "thinking" not in body
    assert body["max_tokens"] == 4096
