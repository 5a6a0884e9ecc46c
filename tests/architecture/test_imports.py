"""Imports point down, files stay short, names say something: held for the tree, and shown to be noticed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.architecture.import_rules import violations
from tests.support.paths import ROOT


def test_the_tree_keeps_its_floors() -> None:
    found = violations(ROOT)

    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("server/aimanager_server/fault.py", "from .errors import Internal"),
        ("server/aimanager_server/content.py", "from .reply import Usage"),
        ("server/aimanager_server/call.py", "import pydantic"),
        ("server/aimanager_server/handler.py", "from .settings import Settings"),
        ("server/aimanager_server/settings_cascade.py", "from . import catalogue"),
        ("server/aimanager_server/metrics.py", "from .log import bind"),
        ("server/aimanager_server/state/breaker.py", "from ..settings import Breaker"),
        ("server/aimanager_server/pipeline/attempt.py", "from ..providers.sse import lines"),
        ("server/aimanager_server/pipeline/attempt.py", "from .. import providers"),
        ("server/aimanager_server/pipeline/attempt.py", "def late():\n    import aimanager_server.rpc.wire"),
        ("server/aimanager_server/providers/claude/encode.py", "from ...pipeline.resolve import resolve"),
        ("server/aimanager_server/providers/sse.py", "from ..app import build"),
        ("server/aimanager_server/rpc/wire.py", "from ..pipeline.attempt import Attempt"),
        ("server/aimanager_server/rpc/wire.py", "from ..providers.dialect import Parts"),
        ("server/aimanager_server/rpc/wire.py", "import httpx"),
        ("server/aimanager_server/pipeline/resolve.py", "import grpc.aio"),
        ("server/aimanager_server/cli.py", "from google.protobuf import json_format"),
        ("server/aimanager_server/pipeline/limit.py", "from aimanager.v1 import usage_pb2"),
        ("server/aimanager_server/server.py", "from aimanager import AIManager"),
        ("clients/python/aimanager/client.py", "from aimanager_server.app import build"),
        ("clients/python/aimanager/embedded.py", "from aimanager_server.app import build"),
        ("clients/python/aimanager/client.py", "import httpx"),
        ("clients/python/aimanager/v1/content_pb2.py", "from aimanager.client import AIManager"),
        ("server/aimanager_server/state/store_helpers.py", ""),
        ("tests/rpc/utils.py", ""),
        ("tests/test_long.py", "a = 1\n" * 251),
        ("clients/typescript/src/long.ts", "export {};\n" * 251),
    ],
)
def test_a_broken_rule_is_noticed(tmp_path: Path, path: str, source: str) -> None:
    plant(tmp_path, path, source)

    found = violations(tmp_path)

    assert len(found) == 1, found
    assert found[0].startswith(f"{path}: ")


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("server/aimanager_server/errors.py", "from .errors import Fault"),
        ("server/aimanager_server/reply.py", "from .errors import ProviderProtocol"),
        (
            "server/aimanager_server/fault.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .reply import Usage",
        ),
        ("server/aimanager_server/settings.py", "from .settings_provider import ProviderSettings"),
        ("server/aimanager_server/state/breaker.py", "from ..handler import Clock\nfrom .vitals import Report"),
        ("server/aimanager_server/pipeline/guard.py", "from ..state.breaker import Breaker\nfrom .. import metrics"),
        ("server/aimanager_server/providers/http.py", "import httpx\nfrom .dialect import Dialect"),
        ("server/aimanager_server/rpc/generation.py", "import grpc\nfrom ..pipeline.resolve import Resolver"),
        ("server/aimanager_server/app.py", "import httpx\nfrom .providers import http\nfrom .rpc import generation"),
        ("server/aimanager_server/demo.py", "from aimanager import AIManager"),
        ("clients/python/aimanager/embedded.py", "def start():\n    from aimanager_server.app import build"),
        ("clients/python/aimanager/client.py", "import grpc\nfrom .v1 import usage_pb2"),
        ("clients/python/aimanager/v1/long_pb2.py", "a = 1\n" * 251),
    ],
)
def test_what_points_down_is_let_be(tmp_path: Path, path: str, source: str) -> None:
    plant(tmp_path, path, source)

    assert violations(tmp_path) == []


def plant(root: Path, path: str, source: str) -> None:
    """Put one file into a tree of its own."""
    (root / path).parent.mkdir(parents=True)
    (root / path).write_text(source)
