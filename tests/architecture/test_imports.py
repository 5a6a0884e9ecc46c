"""The source tree follows its rules, and each rule notices what breaks it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.architecture.import_rules import cycle, import_edges, violations
from tests.support.paths import ROOT

SERVER = ROOT / "server/aimanager_server"
CLIENT = ROOT / "clients/python/aimanager"


def test_the_source_tree_breaks_no_rule() -> None:
    found = violations(ROOT)

    assert not found, "\n" + "\n".join(found)


def test_no_import_cycles() -> None:
    assert (cycle(SERVER), cycle(CLIENT)) == ([], [])


def test_the_server_package_stays_small_at_its_top_level() -> None:
    modules = [path.name for path in SERVER.glob("*.py")]
    layers = list((SERVER / "pipeline").rglob("*.py"))

    assert len(import_edges(SERVER)) <= 120
    assert len(modules) <= 8
    assert len(layers) <= 24


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("server/aimanager_server/core/request.py", "import pydantic"),
        ("server/aimanager_server/core/handler.py", "from ..config.settings import Settings"),
        ("server/aimanager_server/config/loader.py", "from ..catalog import catalog"),
        ("server/aimanager_server/telemetry/metrics.py", "from ..resilience.prober import Prober"),
        ("server/aimanager_server/resilience/prober.py", "from ..routing.routes import Routes"),
        ("server/aimanager_server/validation/request.py", "from ..routing.resolver import Resolver"),
        ("server/aimanager_server/pipeline/retry_and_fallback.py", "from ..providers.wires.sse import lines"),
        ("server/aimanager_server/pipeline/retry_and_fallback.py", "from .. import providers"),
        ("server/aimanager_server/pipeline/quota.py", "def late():\n    import aimanager_server.rpc.status"),
        ("server/aimanager_server/operations/embed.py", "from ..pipeline.quota import Quota"),
        ("server/aimanager_server/providers/http/pool.py", "from ...rpc.server import Server\nimport httpx"),
        ("server/aimanager_server/providers/wires/sse.py", "from ...app import App"),
        ("server/aimanager_server/providers/wires/sse.py", "import httpx"),
        ("server/aimanager_server/rpc/status.py", "from ..pipeline.retry_and_fallback import Retry"),
        ("server/aimanager_server/rpc/status.py", "import httpx"),
        ("server/aimanager_server/routing/resolver.py", "import grpc.aio"),
        ("server/aimanager_server/commands/main.py", "from google.protobuf import json_format"),
        ("server/aimanager_server/rpc/server.py", "from aimanager import AIManager"),
        ("server/aimanager_server/flat.py", "from .core import content"),
        ("clients/python/aimanager/client.py", "from aimanager_server.app import App"),
        ("clients/python/aimanager/embedded.py", "from aimanager_server.app import App"),
        ("clients/python/aimanager/client.py", "import httpx"),
        ("clients/python/aimanager/v1/content_pb2.py", "from aimanager.client import AIManager"),
        ("server/aimanager_server/resilience/store_helpers.py", ""),
        ("tests/rpc/utils.py", ""),
        ("tests/test_long.py", "a = 1\n" * 401),
        ("clients/typescript/src/long.ts", "export {};\n" * 401),
    ],
)
def test_a_broken_rule_is_reported(tmp_path: Path, path: str, source: str) -> None:
    write(tmp_path, path, source)

    found = violations(tmp_path)

    assert [line.partition(": ")[0] for line in found] == [path]


def test_allowed_imports_are_not_reported(tmp_path: Path) -> None:
    for path, source in {
        "server/aimanager_server/core/errors.py": "from .usage import Usage",
        "server/aimanager_server/config/settings.py": "import pydantic\nfrom .providers import ProviderSettings",
        "server/aimanager_server/resilience/prober.py": "from ..telemetry.metrics import Metrics",
        "server/aimanager_server/pipeline/circuit_breaker.py": "from ..resilience.breaker_registry import Breakers",
        "server/aimanager_server/providers/http/provider.py": "import httpx\nfrom ..wires.wire import Dialect",
        "server/aimanager_server/rpc/services/generation.py": "import grpc\nfrom ...routing.resolver import Resolver",
        "server/aimanager_server/app.py": "from .providers import factory\nfrom .rpc import server",
        "server/aimanager_server/commands/demo.py": "from aimanager import AIManager",
        "clients/python/aimanager/embedded.py": "def start():\n    from aimanager_server.app import App",
        "clients/python/aimanager/client.py": "import grpc\nfrom .v1 import usage_pb2",
        "clients/python/aimanager/v1/long_pb2.py": "a = 1\n" * 401,
    }.items():
        write(tmp_path, path, source)

    assert violations(tmp_path) == []


def test_a_cycle_is_found_through_other_modules(tmp_path: Path) -> None:
    package = tmp_path / "server/aimanager_server"
    write(tmp_path, "server/aimanager_server/core/a.py", "from .b import B")
    write(tmp_path, "server/aimanager_server/core/b.py", "from . import c")
    write(tmp_path, "server/aimanager_server/core/c.py", "from .a import A")

    found = cycle(package)

    assert {name.rpartition(".")[2] for name in found} == {"a", "b", "c"}


def write(root: Path, path: str, source: str) -> None:
    """Put one file into the tree under `root`."""
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(source)
