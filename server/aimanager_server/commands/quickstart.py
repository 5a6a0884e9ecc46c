"""Example commands for a server that has just started, printed by `make run`."""

from __future__ import annotations

import sys
from pathlib import Path

from ..config.settings import Settings

BUF = Path(sys.executable).with_name("buf")
"""Installed with the development tools only."""


def quickstart_text(settings: Settings, port: int) -> str:
    """Return commands that work against the server on this port."""
    target = f"127.0.0.1:{port}"
    enabled = {name: provider for name, provider in settings.providers.items() if provider.enabled}
    with_keys = [name for name, provider in enabled.items() if provider.credentials()]
    without_keys = "no API keys found: using the mock provider" if "mock" in enabled else "no API keys found"
    keys = f"API keys found for: {', '.join(with_keys)}" if with_keys else without_keys
    tls = f" --ca {settings.server.tls.certificate_file}" if settings.server.tls else ""
    lines = [
        f"aimanager is listening on {target}; {keys}. Press Ctrl-C to stop. Try in another terminal:",
        f'  .venv/bin/aimanager ask --target {target}{tls} "What can you do?"',
        f"  .venv/bin/aimanager models --target {target}{tls}",
        f"  .venv/bin/aimanager health --target {target}{tls}",
    ]
    if BUF.exists() and not tls:
        lines += [
            "  .venv/bin/buf curl --protocol grpc --http2-prior-knowledge"
            """ -d '{"request":{"messages":[{"role":"ROLE_USER","parts":[{"text":"Hi"}]}]}}' \\""",
            f"    http://{target}/aimanager.v1.GenerationService/StreamGenerate",
        ]
    if settings.server.metrics_listen is not None:
        lines.append(f"  curl http://{settings.server.metrics_listen}/metrics")
    return "\n".join(lines)
