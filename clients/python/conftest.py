"""A client of a real gateway with the mock provider, as `ai` in the examples of docstrings; its address is `target`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.server_process import server_process


@pytest.fixture(scope="session")
def gateway_target() -> Iterator[str]:
    """Run a gateway for the session, in a process of its own, since its log would be output of the examples."""
    with server_process() as server:
        yield server.target


@pytest.fixture(autouse=True)
def _example_names(request: pytest.FixtureRequest, doctest_namespace: dict[str, Any]) -> Iterator[None]:
    examples = getattr(request.node, "dtest", None)
    source = "".join(example.source for example in examples.examples) if examples else ""
    if "ai." not in source and "target" not in source:
        yield
        return
    from aimanager import AIManager

    target = request.getfixturevalue("gateway_target")
    with AIManager.gateway(target) as client:
        doctest_namespace.update(ai=client, target=target)
        yield
