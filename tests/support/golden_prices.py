"""Expected costs, calculated by hand: a price of 1 dollar per million tokens is 1000 nanodollars per token."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

from aimanager_server.core.usage import Usage, UsageSource

FRIDAY_PEAK = datetime(2026, 11, 20, 2, 0, tzinfo=UTC)
FRIDAY_NIGHT = datetime(2026, 11, 20, 20, 0, tzinfo=UTC)
SATURDAY = datetime(2026, 11, 21, 2, 0, tzinfo=UTC)
NOVEMBER = datetime(2026, 11, 30, 23, 59, tzinfo=UTC)
DECEMBER = datetime(2026, 12, 1, tzinfo=UTC)
STILL_NOVEMBER = datetime(2026, 12, 1, 0, 59, tzinfo=timezone(timedelta(hours=1)))
OLD_YEAR, NEW_YEAR = datetime(2026, 12, 31, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)
DOLLAR = 1_000_000_000


@dataclass(frozen=True, slots=True)
class GoldenCost:
    """The cost of a usage at a time: the model as 'provider/id', and the nanodollars for input and output."""

    model: str
    usage: Usage
    sent: int
    produced: int
    at: datetime = FRIDAY_PEAK


def used(sent: int, produced: int, read: int = 0, written: int = 0, thought: int = 0) -> Usage:
    return Usage(sent, produced, read, written, thought, UsageSource.REPORTED)


CLAUDE = [
    # Opus 5.5: 4 / 20 / 0.20 / 5
    GoldenCost("claude/claude-opus-5-5", used(1_000_000, 1_000_000), 4 * DOLLAR, 20 * DOLLAR),
    GoldenCost("claude/claude-opus-5-5", used(1, 1), 4_000, 20_000),
    GoldenCost("claude/claude-opus-5-5", used(1000, 100, read=900), 400_000 + 180_000, 2_000_000),
    GoldenCost("claude/claude-opus-5-5", used(1000, 0, written=1000), 5_000_000, 0),
    GoldenCost("claude/claude-opus-5-5", used(1000, 0, read=300, written=200), 2_000_000 + 60_000 + 1_000_000, 0),
    # Reported zero usage costs nothing
    GoldenCost("claude/claude-opus-5-5", used(0, 0), 0, 0),
    # More cached than input tokens: no cost is negative
    GoldenCost("claude/claude-opus-5-5", used(10, 0, read=20), 4_000, 0),
    # Fable 5.2: 8 / 40 / 0.20 / 10; 5.1: 10 / 50 / 0.25 / 12.5
    GoldenCost("claude/claude-fable-5-2", used(10, 10, read=4, written=2), 32_000 + 800 + 20_000, 400_000),
    GoldenCost("claude/claude-fable-5-1", used(10, 1, read=10), 2_500, 50_000),
    # Sonnet 5.5: 2 / 10 / 0.10 / 2.5; reasoning is part of the output
    GoldenCost("claude/claude-sonnet-5-5", used(100, 20, 60, 30, thought=15), 20_000 + 6_000 + 75_000, 200_000),
    # Haiku 5.5: 0.10 / 0.50 / 0.01 / 0.125, five times that above 100,000 tokens of input
    GoldenCost("claude/claude-haiku-5-5", used(100_000, 1000), 10_000_000, 500_000),
    GoldenCost("claude/claude-haiku-5-5", used(100_001, 1000), 50_000_500, 2_500_000),
    GoldenCost("claude/claude-haiku-5-5", used(200_000, 0, read=100_000), 50_000_000 + 5_000_000, 0),
    GoldenCost(
        "claude/claude-haiku-5-5", used(100_001, 200, read=1, written=100_000, thought=200), 62_500_050, 500_000
    ),
    # Opus 5 and 4.5: 5 / 25 / 0.5 / 6.25; Sonnet 4.6 and 4.5: 3 / 15 / 0.3 / 3.75; Haiku 4.5: 1 / 5 / 0.1 / 1.25
    GoldenCost("claude/claude-opus-5", used(3, 2, written=1), 10_000 + 6_250, 50_000),
    GoldenCost("claude/claude-opus-4-5-20251101", used(200, 30), 1_000_000, 750_000),
    GoldenCost("claude/claude-sonnet-4-6", used(3, 1, read=1, written=1), 3_000 + 300 + 3_750, 15_000),
    GoldenCost("claude/claude-sonnet-4-5", used(7, 3, written=7), 26_250, 45_000),
    GoldenCost("claude/claude-haiku-4-5-20251001", used(4, 2, read=2, written=1), 1_000 + 200 + 1_250, 10_000),
]
OPENAI = [
    # gpt-6.2-sol: 2 / 10 / 0.10 / 2.5, twice and one and a half times that above 272,000
    GoldenCost("openai/gpt-6.2-sol", used(272_000, 1000), 544_000_000, 10_000_000),
    GoldenCost("openai/gpt-6.2-sol", used(272_001, 1000), 1_088_004_000, 15_000_000),
    GoldenCost("openai/gpt-6.2-sol", used(300_000, 0, 200_000, 50_000), 200_000_000 + 40_000_000 + 250_000_000, 0),
    # gpt-6.2-astra: 8 / 40 / 0.40 / 10; gpt-6-astra: 10 / 50, above 272,000 20 / 75
    GoldenCost("openai/gpt-6.2-astra", used(10, 5, 5, 5, thought=5), 2_000 + 50_000, 200_000),
    GoldenCost("openai/gpt-6-astra", used(272_001, 2), 5_440_020_000, 150_000),
    # gpt-6.1-terra: 1 / 5 / 0.05; gpt-6-luna: 0.10 / 0.50 / 0.01 / 0.125
    GoldenCost("openai/gpt-6.1-terra", used(272_001, 10, read=1), 544_000_000 + 100, 75_000),
    GoldenCost("openai/gpt-6-luna", used(8, 8, written=8), 1_000, 4_000),
    GoldenCost("openai/gpt-6-luna", used(300_000, 4), 60_000_000, 3_000),
    # gpt-5.6-terra: 2 / 12 / 0.2 / 2.5; -luna: 0.2 / 1.2 / 0.02; gpt-5.5: 5 / 30 / 0.5; gpt-5.5-pro: 30 / 180
    GoldenCost("openai/gpt-5.6-terra", used(5, 5, read=3, written=1), 2_000 + 600 + 2_500, 60_000),
    GoldenCost("openai/gpt-5.6-luna", used(100, 100, read=50), 10_000 + 1_000, 120_000),
    GoldenCost("openai/gpt-5.5", used(6, 1, read=3), 15_000 + 1_500, 30_000),
    GoldenCost("openai/gpt-5.5-pro", used(272_001, 1), 16_320_060_000, 270_000),
    # A pro model without a cache price: cached tokens cost as much as input
    GoldenCost("openai/gpt-5.4-pro", used(100, 0, read=50), 3_000_000, 0),
    # gpt-5.4-mini: 0.75 / 4.5 / 0.075; -nano: 0.2 / 1.25 / 0.02, cache writes have no separate price
    GoldenCost("openai/gpt-5.4-mini", used(3, 2, read=1), 1_500 + 75, 9_000),
    GoldenCost("openai/gpt-5.4-nano", used(10, 10, written=10), 2_000, 12_500),
    # gpt-5.2: 1.75 / 14 / 0.175; gpt-5.1 and gpt-5: 1.25 / 10 / 0.125; o3: 2 / 8; gpt-4.1: 2 / 8 / 0.5
    GoldenCost("openai/gpt-5.2", used(4, 1, read=2), 3_500 + 350, 14_000),
    GoldenCost("openai/gpt-5.1", used(2, 1, read=1), 1_250 + 125, 10_000),
    GoldenCost("openai/gpt-5", used(10, 10, read=1), 9 * 1_250 + 125, 100_000),
    GoldenCost("openai/o3", used(5, 5, thought=4), 10_000, 40_000),
    GoldenCost("openai/gpt-4.1", used(10, 1, read=4), 12_000 + 2_000, 8_000),
    # gpt-4o: 2.5 / 10 / 1.25; -mini: 0.15 / 0.6 / 0.075
    GoldenCost("openai/gpt-4o-2024-11-20", used(4, 4), 10_000, 40_000),
    GoldenCost("openai/gpt-4o-mini", used(3, 1, read=2), 150 + 150, 600),
]
DEEPSEEK = [
    # deepseek-flash at peak: 0.30 / 1.20 / 0.006; half of that otherwise
    GoldenCost("deepseek/deepseek-flash", used(1000, 1000, read=100), 270_000 + 600, 1_200_000),
    GoldenCost("deepseek/deepseek-flash", used(1000, 1000, read=100), 135_000 + 300, 600_000, FRIDAY_NIGHT),
    GoldenCost("deepseek/deepseek-flash", used(1, 1, read=1), 3, 600, SATURDAY),
    GoldenCost("deepseek/deepseek-v4-flash", used(2, 1, read=1), 306, 1_200),
    # deepseek-v4-pro at peak: 1.32 / 3.96 / 0.044
    GoldenCost("deepseek/deepseek-v4-pro", used(1000, 1000, 500, thought=900), 660_000 + 22_000, 3_960_000),
    GoldenCost("deepseek/deepseek-v4-pro", used(1000, 1000, 500, thought=900), 341_000, 1_980_000, FRIDAY_NIGHT),
]
GEMINI = [
    # gemini-4-argon: 2 / 10 / 0.10 until the end of November, then 4 / 20 / 0.20
    GoldenCost("gemini/gemini-4-argon", used(1000, 1000, read=100), 1_800_000 + 10_000, 10_000_000, NOVEMBER),
    GoldenCost("gemini/gemini-4-argon", used(1000, 1000, read=100), 3_600_000 + 20_000, 20_000_000, DECEMBER),
    GoldenCost("gemini/gemini-4-argon", used(1000, 1000, read=100), 1_810_000, 10_000_000, STILL_NOVEMBER),
    # gemini-3.8-flash: 0.75 / 3.75 / 0.075 until the end of the year, then twice that
    GoldenCost("gemini/gemini-3.8-flash", used(1000, 1000, read=100), 675_000 + 7_500, 3_750_000, OLD_YEAR),
    GoldenCost("gemini/gemini-3.8-flash", used(1000, 1000, read=100), 1_350_000 + 15_000, 7_500_000, NEW_YEAR),
    # gemini-3.1-pro-preview: 2 / 12 / 0.2, above 200,000 tokens 4 / 18
    GoldenCost("gemini/gemini-pro-latest", used(200_000, 10, read=10), 199_990 * 2_000 + 10 * 200, 120_000),
    GoldenCost("gemini/gemini-3.1-pro-preview", used(200_001, 10, read=1), 200_000 * 4_000 + 400, 180_000),
    # 3.5 Flash-Lite: 0.30 / 2.50 / 0.03; 3.1 Flash-Lite: 0.25 / 1.50 / 0.025
    GoldenCost("gemini/gemini-3.5-flash-lite", used(10, 10, read=5, thought=8), 1_500 + 150, 25_000),
    GoldenCost("gemini/gemini-3.1-flash-lite", used(2, 2, read=1), 250 + 25, 3_000),
    # 2.5 Pro: 1.25 / 10; Flash: 0.3 / 2.5; Flash-Lite: 0.1 / 0.4 / 0.01
    GoldenCost("gemini/gemini-2.5-pro", used(4, 1), 5_000, 10_000),
    GoldenCost("gemini/gemini-2.5-flash", used(1, 1), 300, 2_500),
    GoldenCost("gemini/gemini-2.5-flash-lite", used(1000, 10, read=100), 90_000 + 1_000, 4_000),
]
MISTRAL = [
    # Large 4: 1.36 / 4.18, no cache price; Medium 3.5: 1.5 / 7.5; Small 4: 0.15 / 0.6; Large 3: 0.5 / 1.5
    GoldenCost("mistral/mistral-large-4", used(10, 10, read=5), 13_600, 41_800),
    GoldenCost("mistral/mistral-medium-3-5", used(2, 2), 3_000, 15_000),
    GoldenCost("mistral/mistral-small-latest", used(2, 1), 300, 600),
    GoldenCost("mistral/mistral-large-latest", used(3, 3), 1_500, 4_500),
    # Codestral: 0.3 / 0.9; Devstral: 0.4 / 2
    GoldenCost("mistral/codestral-latest", used(3, 3), 900, 2_700),
    GoldenCost("mistral/devstral-latest", used(3, 3), 1_200, 6_000),
]
XAI = [
    # Grok 4.7 and 4.6: 2 / 6 / 0.5, twice that from 200,000 tokens on; 4.5: cached 0.3; 4.3: 1.25 / 2.5 / 0.2
    GoldenCost("xai/grok-4.7", used(199_999, 10, read=9), 199_990 * 2_000 + 9 * 500, 60_000),
    GoldenCost("xai/grok-4.7", used(200_000, 10, read=10), 199_990 * 4_000 + 10 * 1_000, 120_000),
    GoldenCost("xai/grok-4.6", used(3, 1, read=1, thought=1), 4_000 + 500, 6_000),
    GoldenCost("xai/grok-4.5", used(3, 1, read=1), 4_000 + 300, 6_000),
    GoldenCost("xai/grok-4.3", used(2, 1, read=1), 1_250 + 200, 2_500),
]
GROQ = [
    # GPT-OSS 120B: 0.15 / 0.6; 20B: 0.075 / 0.3, cached at half price; half a nanodollar rounds to even
    GoldenCost("groq/openai/gpt-oss-120b", used(2, 2), 300, 1_200),
    GoldenCost("groq/openai/gpt-oss-20b", used(3, 3, read=1), 2 * 75 + 38, 900),
    # Qwen 3.8: 0.8 / 4
    GoldenCost("groq/qwen/qwen3.8-27b", used(2, 1), 1_600, 4_000),
]
EMBEDDINGS = [
    GoldenCost("openai/text-embedding-3-large", used(1000, 0), 130_000, 0),
    GoldenCost("openai/text-embedding-3-small", used(3, 0), 60, 0),
    GoldenCost("gemini/gemini-embedding-2", used(7, 0), 1_400, 0),
    GoldenCost("gemini/gemini-embedding-001", used(7, 0), 1_050, 0),
]
MOCK = [
    # Made-up, exact prices
    GoldenCost("mock/mock-large", used(3, 2), 12_000, 40_000),
    GoldenCost("mock/mock-small", used(1, 1), 100, 500),
]
GOLDEN = [*CLAUDE, *OPENAI, *DEEPSEEK, *GEMINI, *MISTRAL, *XAI, *GROQ, *EMBEDDINGS, *MOCK]
