"""What upstream, floor and load agree on."""

from __future__ import annotations

UNARY, BURST, PACED = "unary", "burst", "paced"
"""Model names; they tell the upstream how to answer."""

TOKENS = 100
TOKEN = " word"
ANSWER = TOKEN * TOKENS
PACE_SECONDS = 0.02
