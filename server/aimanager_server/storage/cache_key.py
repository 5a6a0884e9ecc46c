"""Keys of the response cache: equal for equal requests of one owner, and different for all others."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import fields
from operator import attrgetter
from typing import Any

from ..config.providers import ProviderSettings
from ..config.types import Section
from ..core.content import ReasoningOptions, Role, Sampling, Text, ToolChoice
from ..core.request import Call, Caller
from ..core.value import dataclass
from ..resilience.fingerprint import Fingerprints

FORMAT = "1"
"""Of the keys and of what is stored under them. Change it with either: entries in a database outlive the server."""


def _reader(kind: Any) -> Callable[[Any], tuple[Any, ...]]:
    """Return a function that returns the values of all fields of a dataclass with several."""
    return attrgetter(*(field.name for field in fields(kind)))


# The parts of nearly every request, whose fields are hashed side by side: a third of the time of nested ones.
SAMPLING, REASONING, TOOL_CHOICE, TEXT = map(_reader, (Sampling, ReasoningOptions, ToolChoice, Text))


@dataclass(frozen=True, slots=True)
class OwnerScope:
    """Whose responses are stored: the name of a caller, and a digest of it and the caller's own provider keys.

    A caller that sends keys of its own sees only what these keys generated.
    """

    name: str
    digest: bytes

    @classmethod
    def of(cls, caller: Caller) -> OwnerScope:
        """Return the scope of a caller."""
        return cls(
            caller.name, hashlib.sha256(repr((caller.name, sorted(caller.provider_keys.items()))).encode()).digest()
        )


class CacheKey:
    """The key of one owner's response. `content` is a digest of everything that determines the response.

    `digest`, of both, identifies the entry; no key exists without an owner.
    """

    __slots__ = ("digest", "owner")

    def __init__(self, owner: OwnerScope, content: bytes) -> None:
        self.owner = owner
        self.digest = hashlib.sha256(owner.digest + content).digest()


def context_digest(providers: Mapping[str, ProviderSettings], *sections: Section) -> bytes:
    """Return a digest of what changes responses besides the requests themselves.

    That is where and how each provider is called, and the `sections` of the settings that change requests or responses.
    """
    called = {
        name: (provider.wire, provider.base_url, provider.api_version, provider.headers, provider.options)
        for name, provider in providers.items()
    }
    encoded = json.dumps(
        [called, [section.model_dump(mode="json") for section in sections]], sort_keys=True, default=str
    )
    return hashlib.sha256(encoded.encode()).digest()


class CacheKeys:
    """Make the keys of calls. `context` is a `context_digest`."""

    def __init__(self, context: bytes = b"") -> None:
        self._context = context
        self._fingerprints = Fingerprints()

    async def of(self, call: Call) -> CacheKey:
        """Return the key of a call. Other tasks may run between slices of a large request."""
        targets = call.targets
        # Load balancing changes the order of the targets of a route. With several targets the requested name says which
        # one is asked first; with one, its alias and its name are the same request.
        name = call.requested_model if len(targets) > 1 else ""
        values: list[Any] = [FORMAT, self._context, name, len(targets)]
        for target in targets if len(targets) == 1 else sorted(targets, key=lambda target: target.key):
            values += (target.provider, target.model, *SAMPLING(target.sampling), *REASONING(target.reasoning))
            values.append(target.options or None)
        values += (call.system_instruction, call.extract_artifacts, *TOOL_CHOICE(call.tool_choice))
        values += (call.output_format, call.tools or None, sorted(call.optimizations) or None, _turns(call))
        for message in call.messages:
            values += (message.role is Role.USER, message.provider, message.model, len(message.parts))
            for part in message.parts:
                values += (None, *TEXT(part)) if type(part) is Text else (part,)
        content = await self._fingerprints.digest(*values)
        return CacheKey(OwnerScope.of(call.caller), content)


def _turns(call: Call) -> tuple[object, ...] | None:
    """Return what decides which turns are left out if the history does not fit: nothing for the first turn."""
    turn = call.turn
    return None if turn is None or not turn.number else (turn.turn_starts, sorted(turn.pinned_starts), turn.omitted)
