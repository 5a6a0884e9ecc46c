"""An end-to-end demo: a real server on a free port, one streamed and one unary call, and provider health."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

from aimanager import AIResponse, AsyncAIManager

from ..config.loader import load
from ..config.settings import ServerSettings, Settings
from ..lifecycle import running_server
from ..telemetry import logs
from .serve import startup_errors

PROMPT = "In two sentences: why put one gateway in front of every model provider?"
SECOND_PROMPT = "And what should it never do?"
MOCK_SETTINGS = {"mock": {"options": {"rate": 25}}}
"""Slow enough to watch."""


async def run_demo(settings: Settings, out: TextIO) -> None:
    """Start a server, call it, print the results, and stop it."""
    async with running_server(settings) as server, AsyncAIManager.gateway(f"127.0.0.1:{server.port}") as ai:
        out.write(f"A gRPC server is listening on 127.0.0.1:{server.port}.\n\nStreamGenerate  {PROMPT}\n> ")
        stream = ai.stream(PROMPT)
        async for text in stream.text:
            out.write(text)
            out.flush()
        out.write(f"\n{_summary(stream.response)}\n\nGenerate        {SECOND_PROMPT}\n")
        response = await ai.request(SECOND_PROMPT)
        out.write(f"> {response}\n{_summary(response)}\n\nProvider health\n")
        for health in await ai.health.list():
            out.write(f"  {health.provider:10} {health.status:15} {health.solution}\n")
    out.write("\nThe server has stopped. Use 'make run' to keep one running.\n")


def _summary(response: AIResponse) -> str:
    usage, metadata = response.usage, response.metadata
    cost = "unknown cost" if response.cost is None else f"{response.cost} {metadata.currency}"
    first_token = f"first token after {1000 * (metadata.time_to_first_token or 0):.1f} ms"
    tokens = f"{usage.input_tokens} input tokens, {usage.output_tokens} output tokens"
    model = f"{metadata.provider}/{metadata.model}"
    return f"  {model}: {tokens}, {cost}; {first_token}; attempts: {len(metadata.attempts)}"


def demo_settings(environment: Mapping[str, str]) -> Settings:
    """Return the operator's providers with a server that listens on loopback only. Raises SettingsError."""
    config = Path("aimanager.toml")
    settings = load({"providers": MOCK_SETTINGS}, config if config.exists() else None, environment).settings
    server = ServerSettings(listen="127.0.0.1:0", metrics_listen=None, default_model=settings.server.default_model)
    return settings.model_copy(update={"server": server, "callers": {}, "tiers": {}})


def main() -> int:
    """Run the demo and return the exit status."""
    with startup_errors() as status:
        settings = demo_settings(os.environ)
        logs.configure("error", str)
        asyncio.run(run_demo(settings, sys.stdout))
    return status.code


if __name__ == "__main__":
    sys.exit(main())
