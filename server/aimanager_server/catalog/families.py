"""Find the family of a model that only the provider lists: known models whose id differs in the version alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from .model import Capability, Model, Support, SupportLevel

SEPARATOR = re.compile(r"[-_./:@]")
STAGES = frozenset(("beta", "exp", "experimental", "latest", "preview"))
"""Words of an id that say how far a model is, not what it is."""


class Families:
    """The known models of one provider by the words of their ids, such as claude and opus of claude-opus-5-5."""

    def __init__(self, models: Iterable[Model]) -> None:
        self._families: dict[tuple[str, ...], list[Model]] = {}
        for model in models:
            if model.is_known and model.embedding is None:
                for model_id in (model.id, *model.alternate_ids):
                    self._families.setdefault(_words(model_id), []).append(model)

    def inherit(self, listed: Model) -> Model:
        """Return the listed model with the capabilities of its family, each with a note; unchanged without one.

        Of a family, the model whose id has the longest beginning in common counts, then the newest. What that model
        lacks stays unknown, because a newer one may have it; an unknown capability rejects nothing.
        """
        words = _words(listed.id)
        family = self._families.get(words, ()) if words else ()
        nearest = max(family, key=lambda model: _common_beginning(model.id, listed.id), default=None)
        if nearest is None:
            return listed
        note = f"As {nearest.id}, the nearest model with known facts."
        inherited: Mapping[Capability, Support] = {
            capability: Support(support.level, note)
            for capability, support in nearest.capabilities.items()
            if support.level is not SupportLevel.NONE
        }
        return replace(listed, capabilities={**inherited, **listed.capabilities})


def _words(model_id: str) -> tuple[str, ...]:
    """Return the parts of an id without digits, sorted.

    >>> _words("claude-opus-5-5"), _words("qwen/qwen3.8-27b"), _words("gemini-3.1-flash-lite-preview")
    (('claude', 'opus'), ('qwen',), ('flash', 'gemini', 'lite'))
    """
    words = SEPARATOR.split(model_id.lower())
    return tuple(sorted(word for word in words if word.isalpha() and word not in STAGES))


def _common_beginning(first: str, second: str) -> int:
    """Return how many parts both ids begin with.

    >>> _common_beginning("gpt-4o-mini", "gpt-4o-2024-11-20")
    2
    """
    count = 0
    for one, other in zip(SEPARATOR.split(first), SEPARATOR.split(second), strict=False):
        if one != other:
            break
        count += 1
    return count
