"""Every cache of functools is listed here with its keys: none holds text of callers without a limit."""

from __future__ import annotations

import re

from tests.support.paths import ROOT

SERVER = ROOT / "server/aimanager_server"
USE = re.compile(r"@(?:lru_)?cache\b|\b(?:lru_)?cache\(")

CACHES = {
    ("catalog/catalog.py", "self._unlisted = lru_cache(MAX_UNLISTED_MODELS)(self._unlisted_model)"): "model names",
    ("telemetry/metrics.py", "self._attempts = cache(partial(metrics.upstream_attempts.labels, *labels))"): "reasons",
    ("telemetry/metrics.py", "self._cost = cache(partial(metrics.cost.labels, *labels))"): "currencies",
    ("telemetry/metrics.py", "self._for_target = cache(self._bind)"): "models of the catalog, and other",
    ("telemetry/metrics.py", "self._rpc = cache(self.rpc_duration.labels)"): "methods and status codes",
    ("providers/factory.py", "tls = cache(partial(tls_context, settings.ca_file))"): "",
    ("providers/mock/script_parser.py", "@cache"): "",
    (
        "providers/http/transport.py",
        "self._parse_url = lru_cache(maxsize=URL_CACHE_SIZE)(parse_url)",
    ): "URLs",
    (
        "providers/http/transport.py",
        "self._connector = Connector(self._resolver, tls or cache(tls_context), proxy)",
    ): "",
}
"""Each use of a cache, with what its keys are; empty without arguments."""


def test_every_cache_is_listed_with_its_keys() -> None:
    found = {
        (str(path.relative_to(SERVER)), line.strip())
        for path in SERVER.rglob("*.py")
        for line in path.read_text("utf-8").splitlines()
        if USE.search(line)
    }

    assert found == set(CACHES)
