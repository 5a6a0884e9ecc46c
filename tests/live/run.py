"""Send one small request to every provider whose API key is in the environment, through a real server.

This is the only code in the repository that contacts a provider. Usage: make live. Exits with 1 if a call failed.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping
from typing import TextIO

from aimanager import AIError, AsyncAIManager
from aimanager_server import lifecycle
from aimanager_server.config.errors import SettingsError
from aimanager_server.config.loader import load
from aimanager_server.config.provider_defaults import KNOWN_PROVIDERS, api_key_envs, provider_defaults
from aimanager_server.telemetry import logs

PROMPT = "Why is the sky blue?"
MODEL = "fast"
MAX_TOKENS = 16
CALL_TIMEOUT_SECONDS = 30.0
EXCERPT_LENGTH = 60
SERVER = {"listen": "127.0.0.1:0", "metrics_listen": "off", "drain_timeout_seconds": 1.0, "drain_delay_seconds": 0.0}


def api_key_variables() -> Mapping[str, tuple[str, ...]]:
    """Return the environment variables that may hold the API key of each provider."""
    variables = {name: provider_defaults(name).get("api_key_env", "") for name in KNOWN_PROVIDERS}
    return {name: api_key_envs(name, variable) for name, variable in variables.items() if variable}


async def run(environment: Mapping[str, str], out: TextIO) -> bool:
    """Call the providers one after the other; return whether all calls succeeded. Raises SettingsError."""
    providers = []
    for name, variables in api_key_variables().items():
        if any(environment.get(variable, "").strip() for variable in variables):
            providers.append(name)
        else:
            print(f"{name}: skipped: {variables[0]} is not set", file=out)
    if not providers:
        return True
    settings = load({"server": SERVER}, None, environment).settings
    async with lifecycle.running_server(settings) as server, AsyncAIManager.gateway(f"127.0.0.1:{server.port}") as ai:
        succeeded = [await call(ai, name, out) for name in providers]
    return all(succeeded)


async def call(ai: AsyncAIManager, provider: str, out: TextIO) -> bool:
    """Send one request to a provider and print the result; return whether it succeeded."""
    try:
        response = await ai.request(
            PROMPT, model=f"{provider}/{MODEL}", max_tokens=MAX_TOKENS, timeout=CALL_TIMEOUT_SECONDS
        )
    except AIError as error:
        print(f"{provider}: failed: {error.reason}: {error} Solution: {error.solution}", file=out)
        return False
    usage = f"{response.usage.input_tokens} tokens in, {response.usage.output_tokens} out"
    cost = "unknown" if response.cost is None else f"{response.cost} {response.metadata.currency}"
    excerpt = " ".join(str(response).split())[:EXCERPT_LENGTH]
    print(f"{provider}: {response.metadata.model}: {usage}, cost {cost}: {excerpt!r}", file=out)
    return True


def main() -> int:
    """Run with the environment of the process and return the exit code."""
    logs.configure("critical", str)
    try:
        return 0 if asyncio.run(run(os.environ, sys.stdout)) else 1
    except SettingsError as error:
        print(f"live: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
