"""Fixtures of pytest for programs that call models: clients whose answers the test scripts.

Import them in `conftest.py`: `from aimanager_server.testing.fixtures import scripted_ai`. They are not registered as a
plug-in of pytest, which would load them in the tests of every program that has aimanager installed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Any, Protocol

import pytest

from aimanager import AIManager, AsyncAIManager

Script = str | Mapping[str, str]
"""The answer to every prompt, or answers by a text that the prompt contains, of which the first applies. An answer may
have directives of the mock provider, such as `[[error: PROVIDER_OVERLOADED times=1]]`."""


class ScriptedAI(Protocol):
    """Returns a client of a server in this process with a mock provider that follows the script."""

    def __call__(self, script: Script = ..., *, model: str = ..., retries: int = ...) -> AIManager:
        """Return the client. The fixture closes it."""
        ...


class ScriptedAsyncAI(Protocol):
    """As ScriptedAI, for asyncio."""

    def __call__(self, script: Script = ..., *, model: str = ..., retries: int = ...) -> AsyncAIManager:
        """Return the client. The test closes it, best in `async with`."""
        ...


@pytest.fixture
def scripted_ai() -> Iterator[ScriptedAI]:
    """Create clients whose answers are scripted.

    def test_summary(scripted_ai):
        ai = scripted_ai({"long text": "A summary.", "": "[[error: PROVIDER_OVERLOADED]]"})
        assert summarize(ai, "A long text.") == "A summary."
    """
    with ExitStack() as stack:

        def create(script: Script = "", *, model: str = "latest", retries: int = 0) -> AIManager:
            client = AIManager.embedded(provider="mock", model=model, config=_config(script), retries=retries)
            return stack.enter_context(client)

        yield create


@pytest.fixture
def scripted_async_ai() -> ScriptedAsyncAI:
    """Create clients for asyncio whose answers are scripted."""

    def create(script: Script = "", *, model: str = "latest", retries: int = 0) -> AsyncAIManager:
        return AsyncAIManager.embedded(provider="mock", model=model, config=_config(script), retries=retries)

    return create


def _config(script: Script) -> dict[str, Any]:
    answers = script if isinstance(script, Mapping) else {"": script} if script else {}
    scripts = [{"match": text, "answer": answer} for text, answer in answers.items()]
    return {"providers": {"mock": {"options": {"scripts": scripts}}}}
