"""What to try once the server is up: printed by `make run`."""

from __future__ import annotations

import sys
from pathlib import Path

from ..config.settings import Settings

BUF = Path(sys.executable).with_name("buf")
"""Comes with the development tools alone."""


def hints_for(settings: Settings, port: int) -> str:
    """A few commands that work against this very server."""
    target = f"127.0.0.1:{port}"
    keyed = [name for name, provider in settings.providers.items() if provider.enabled and provider.credentials()]
    keys = f"keys for: {', '.join(keyed)}" if keyed else "no provider keys found: the Mock provider answers"
    tls = f" --ca {settings.server.tls.certificate_file}" if settings.server.tls else ""
    lines = [
        f"aimanager is serving on {target}; {keys}. Ctrl-C stops it. Try in another terminal:",
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
