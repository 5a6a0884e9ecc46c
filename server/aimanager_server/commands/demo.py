"""Shows the main job end to end: a real server on a free port, one streamed answer, one whole, and what they took."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

from aimanager import AIResponse, AsyncAIManager

from .. import app
from ..config.errors import SettingsError
from ..config.loader import load
from ..config.settings import Server, Settings
from ..telemetry import logs as log

QUESTION = "In two sentences: why put one gateway in front of every model provider?"
SECOND_QUESTION = "And what should it never do?"
MOCK = {"mock": {"options": {"rate": 25}}}
"""Slow enough to watch."""


async def demonstrate(settings: Settings, out: TextIO) -> None:
    """Run the demonstration against a server of its own, and stop that."""
    async with app.running(settings) as server, AsyncAIManager.gateway(f"127.0.0.1:{server.port}") as ai:
        out.write(f"A gRPC server is listening on 127.0.0.1:{server.port}.\n\nStreamGenerate  {QUESTION}\n> ")
        stream = ai.stream(QUESTION)
        async for piece in stream.text:
            out.write(piece)
            out.flush()
        out.write(f"\n{_facts(stream.response)}\n\nGenerate        {SECOND_QUESTION}\n")
        answer = await ai.request(SECOND_QUESTION)
        out.write(f"> {answer}\n{_facts(answer)}\n\nProvider health\n")
        for health in await ai.health.list():
            out.write(f"  {health.provider:10} {health.status:15} {health.solution}\n")
    out.write("\nThe server has stopped. 'make run' keeps one running.\n")


def _facts(answer: AIResponse) -> str:
    usage, metadata = answer.usage, answer.metadata
    cost = "cost unknown" if answer.cost is None else f"{answer.cost} {metadata.currency}"
    first = f"first content after {1000 * (metadata.time_to_first_token or 0):.1f} ms"
    return (
        f"  {metadata.provider}/{metadata.model}: {usage.input_tokens} tokens in, {usage.output_tokens} out, {cost};"
        f" {first}, {len(metadata.attempts)} attempt"
    )


def settings_of(environment: Mapping[str, str]) -> Settings:
    """The operator's providers behind a server that listens on loopback only. Raises SettingsError."""
    config = Path("aimanager.toml")
    settings = load({"providers": MOCK}, config if config.exists() else None, environment).settings
    server = Server(listen="127.0.0.1:0", metrics_listen=None, default_model=settings.server.default_model)
    return settings.model_copy(update={"server": server, "callers": {}, "tiers": {}})


def main() -> int:
    """Demonstrate; the exit code."""
    try:
        settings = settings_of(os.environ)
    except SettingsError as error:
        sys.stderr.write(f"demo: {error}\n")
        return 2
    log.configure("error", str)
    asyncio.run(demonstrate(settings, sys.stdout))
    return 0


if __name__ == "__main__":
    sys.exit(main())
