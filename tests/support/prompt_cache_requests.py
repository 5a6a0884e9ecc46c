"""Encode requests of conversations, and find the markers in their bodies."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from aimanager_server.catalog.catalog import Catalog
from aimanager_server.config.settings import Limits
from aimanager_server.core.content import (
    CacheHint,
    Message,
    Part,
    Role,
    Text,
    Tool,
)
from aimanager_server.core.conversation import ConversationTurn
from aimanager_server.core.request import Attempt, Call, Caller, Target
from aimanager_server.providers.factory import wires_of
from aimanager_server.providers.wires.wire import HttpRequest
from tests.support.resolver import provider_settings
from tests.support.wire_cases import user

CATALOG = Catalog.load()
LONG, SHORT = CacheHint.LONG, CacheHint.SHORT
CLAUDE, OPENAI = ("claude", "claude-opus-5-5"), ("openai", "gpt-6.2-sol")
CHAT = {"wire": "chat_completions"}
TOOL = Tool("look", "Looks at the place. " * 150, "{}")
SYSTEM = "You know everything about lighthouses. " * 150
QUESTION = "What does the next lighthouse look like from the sea, and what from the land? " * 8

Json = dict[str, Any]


def request_of(
    model: tuple[str, str], *messages: Message, settings: Mapping[str, Any] | None = None, **fields: Any
) -> HttpRequest:
    """Return the encoded request. `options` and `defaulted_fields` belong to its target, `kept` limits its messages."""
    provider, model_id = model
    kept, key = fields.pop("kept", messages), fields.pop("key", "sk-canary")
    target = Target(provider, model_id, options=fields.pop("options", {}))
    fields = {"caller": Caller("ann"), **fields}
    call = Call(id="call-1", requested_model=model_id, messages=messages, targets=(target,), deadline=1e9, **fields)
    attempt: Attempt[Call] = Attempt.of(call, target, 0.0)
    attempt.messages = tuple(kept)
    configured = provider_settings(provider, **{"api_key": "sk-1", **(settings or {})})
    catalog = CATALOG.with_providers({provider: configured})
    default, wire_for = wires_of(provider, configured, Limits(), partial(catalog.find, provider))
    wire = default if wire_for is None else wire_for(model_id)
    return wire.encode(attempt, key)


def body_of(model: tuple[str, str], *messages: Message, **fields: Any) -> Json:
    body: Json = json.loads(request_of(model, *messages, **fields).body)
    return body


def warnings_of(model: tuple[str, str], *messages: Message, **fields: Any) -> list[tuple[str, str]]:
    return [(warning.field, warning.message) for warning in request_of(model, *messages, **fields).warnings]


def answer(*parts: Part | str, model: tuple[str, str] = CLAUDE) -> Message:
    return Message(Role.ASSISTANT, tuple(Text(part) if isinstance(part, str) else part for part in parts), *model)


def turn(messages: Sequence[Message], new: int = 1, **fields: Any) -> ConversationTurn:
    """Return the turn whose last `new` messages are not history."""
    return ConversationTurn("conv_1", len(messages) // 2, len(messages) - new, **fields)


def conversation(turns: int, model: tuple[str, str] = CLAUDE) -> list[Message]:
    """Return the messages of a conversation, the last of the user."""
    messages: list[Message] = []
    for number in range(turns - 1):
        messages += [user(f"{number}: {QUESTION}"), answer(f"{number}: A tower. " * 20, model=model)]
    return [*messages, user(f"{turns}: {QUESTION}")]


def markers_in(value: Any, path: str = "") -> list[tuple[str, str]]:
    """Return the paths of all markers in a body, with their lifetimes."""
    found = []
    for name, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        if name in ("cache_control", "prompt_cache_breakpoint"):
            found.append((path.strip("."), item.get("ttl", "")))
        else:
            found += markers_in(item, f"{path}.{name}")
    return found
