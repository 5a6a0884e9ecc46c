"""Asks every provider whose key is in the environment one small question, through a real server.

Nothing else in this repository leaves the machine.

Usage: make live. Exit code 1 where a provider that was asked did not answer.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping
from typing import TextIO

from aimanager import AIError, AsyncAIManager
from aimanager_server import app
from aimanager_server.config.errors import SettingsError
from aimanager_server.config.loader import load
from aimanager_server.config.provider_defaults import KNOWN, defaults_of, key_variables
from aimanager_server.telemetry import logs as log

QUESTION = "Why is the sky blue?"
MODEL = "fast"
MOST_TOKENS = 16
CALL_SECONDS = 30.0
FIRST_WORDS = 60
SERVER = {"listen": "127.0.0.1:0", "metrics_listen": "off", "drain_seconds": 1.0, "drain_notice_seconds": 0.0}


def variables() -> Mapping[str, tuple[str, ...]]:
    """The providers that want a key, and the variables that may hold it."""
    known = {name: defaults_of(name).get("key_variable", "") for name in KNOWN}
    return {name: key_variables(name, variable) for name, variable in known.items() if variable}


async def run(environment: Mapping[str, str], out: TextIO) -> bool:
    """Ask them one after the other; whether all that were asked answered. Raises SettingsError."""
    asked = []
    for name, accepted in variables().items():
        if any(environment.get(variable, "").strip() for variable in accepted):
            asked.append(name)
        else:
            print(f"{name}: skipped: {accepted[0]} is not set", file=out)
    if not asked:
        return True
    settings = load({"server": SERVER}, None, environment).settings
    async with app.running(settings) as server, AsyncAIManager.gateway(f"127.0.0.1:{server.port}") as ai:
        answered = [await ask(ai, name, out) for name in asked]
    return all(answered)


async def ask(ai: AsyncAIManager, provider: str, out: TextIO) -> bool:
    """One question to one provider; whether it answered."""
    try:
        answer = await ai.request(QUESTION, model=f"{provider}/{MODEL}", max_tokens=MOST_TOKENS, timeout=CALL_SECONDS)
    except AIError as error:
        print(f"{provider}: failed: {error.reason}: {error} Solution: {error.solution}", file=out)
        return False
    usage, cost = answer.usage, "unknown" if answer.cost is None else f"{answer.cost} {answer.metadata.currency}"
    words = " ".join(str(answer).split())[:FIRST_WORDS]
    counted = f"{usage.input_tokens} tokens in, {usage.output_tokens} out"
    print(f"{provider}: {answer.metadata.model}: {counted}, cost {cost}: {words!r}", file=out)
    return True


def main() -> int:
    """Ask; the exit code."""
    log.configure("critical", str)
    try:
        return 0 if asyncio.run(run(os.environ, sys.stdout)) else 1
    except SettingsError as error:
        print(f"live: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
