"""Every public class, function and method of the client has a docstring with an example, which pytest runs."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import aimanager
from aimanager import AIManager, AIStream, ChainableRequest, Conversation
from aimanager.resources.conversations import AsyncConversations, Conversations
from aimanager.resources.health import Health
from aimanager.resources.metrics import Metrics
from aimanager.resources.models import Models

EXAMPLE = ">>>"
CLASSES_WITH_METHODS = (AIManager, AIStream, ChainableRequest, Conversation, Conversations, Health, Metrics, Models)
"""Those that do something; the asyncio ones have the same methods. Types have an example for the class."""


def public_objects() -> Iterator[tuple[str, object]]:
    for name in sorted(name for names in aimanager._MODULES.values() for name in names):
        value = getattr(aimanager, name)
        if (inspect.isclass(value) or inspect.isfunction(value)) and not value.__module__.startswith("aimanager.v1"):
            yield name, value
    for kind in CLASSES_WITH_METHODS:
        for name, member in inspect.getmembers(kind):
            if not name.startswith("_") and (inspect.isfunction(member) or inspect.ismethod(member)):
                yield f"{kind.__name__}.{name}", member


def test_every_public_name_has_an_example() -> None:
    without = [name for name, value in public_objects() if EXAMPLE not in (inspect.getdoc(value) or "")]

    assert without == []


def test_asyncio_classes_have_the_same_methods() -> None:
    for kind, other in (
        (AIManager, aimanager.AsyncAIManager),
        (AIStream, aimanager.AsyncAIStream),
        (ChainableRequest, aimanager.AsyncChainableRequest),
        (Conversation, aimanager.AsyncConversation),
        (Conversations, AsyncConversations),
    ):
        public, others = ({name for name in dir(each) if not name.startswith("_")} for each in (kind, other))
        assert public == others
