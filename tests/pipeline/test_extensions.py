"""Extensions run once on every path of a call, in a complete gateway."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from aimanager import AIManager
from aimanager_server.extensions import FeatureManager
from tests.support.extensions import DictTagging, Tagging, enabling, features
from tests.support.gateway import started_gateway


@contextmanager
def client(manager: FeatureManager, *, each: dict[str, Any] | None = None, **sections: Any) -> Iterator[AIManager]:
    """A client of a gateway that uses all extensions of the manager, in their order."""
    settings = enabling(*manager.extensions, each=each, **sections)
    with started_gateway(settings, features=manager) as target, AIManager.gateway(target, model="mock/latest") as ai:
        yield ai


def unary(ai: AIManager) -> str:
    return ai.request("Hi").content


def stream(ai: AIManager) -> str:
    return "".join(ai.stream("Hi").text)


def conversation(ai: AIManager) -> str:
    return str(ai.conversation().request("Hi").send())


def batch(ai: AIManager) -> str:
    (answer,) = ai.batch(["Hi"])
    return str(answer)


PATHS = [unary, stream, conversation, batch]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("run_in", ["event_loop", "thread"])
def test_requests_pass_extensions_in_order_and_responses_in_reverse(path: Any, run_in: str) -> None:
    first, last = Tagging("first"), Tagging("last")

    with client(features(first, DictTagging(), last), each={"run_in": run_in}) as ai:
        answer = path(ai)

    assert 'You said: "Hi +first +dicts +last"' in answer
    assert answer.endswith(" -last -dicts -first")
    for extension in (first, last):
        assert [hook for hook, _ in extension.seen] == ["on_request", "on_completion"]
