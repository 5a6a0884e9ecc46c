"""The workload: model names and response contents shared by the upstream, the echo server and the load generator."""

from __future__ import annotations

UNARY, BURST, PACED, WAITING, DELAYED = "unary", "burst", "paced", "waiting", "delayed"
"""Model names, which select the response: whole; a stream at once; a stream at a pace; one token, then silence; whole
after PACE_SECONDS."""

TOKENS = 100
TOKEN = " word"
ANSWER = TOKEN * TOKENS
PACE_SECONDS = 0.02
