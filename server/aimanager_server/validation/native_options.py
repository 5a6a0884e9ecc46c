"""Check the native options of a request: known providers, bounded depth, and no field that is restricted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..config.providers import ProviderSettings
from ..config.restricted_options import canonical_name, canonical_path
from ..core.errors import FieldViolation
from .json_depth import check_depth
from .violations import MAX_QUOTED_LENGTH, entry_path

FIELD = "provider_options_json"

_Restrictions = Mapping[str, "str | _Restrictions"]
"""By the canonical name of a field: why a caller may not set it, or the restrictions of the fields inside it."""


class NativeOptionsRules:
    """The fields of native options that callers may not set, for each provider.

    `restricted` are the fields of each wire, as paths with the reason. A provider's `allowed_options` are exempt.
    """

    def __init__(
        self,
        providers: Mapping[str, ProviderSettings],
        restricted: Mapping[str, Mapping[str, str]],
        max_json_depth: int,
    ) -> None:
        self._max_json_depth = max_json_depth
        self._restrictions = {
            name: _restrictions(restricted.get(settings.wire, {}), settings.allowed_options)
            for name, settings in providers.items()
        }

    def violations(self, provider_options: Mapping[str, Mapping[str, Any]]) -> Iterator[FieldViolation]:
        """Yield options for unknown providers, options that are nested too deeply, and restricted fields."""
        for name, options in provider_options.items():
            field = entry_path(FIELD, name)
            restrictions = self._restrictions.get(name)
            if restrictions is None:
                known = ", ".join(sorted(self._restrictions))
                yield FieldViolation(field, f"names an unknown provider; use one of {known}")
                continue
            try:
                check_depth(dict(options), self._max_json_depth)
            except ValueError as error:
                yield FieldViolation(field, str(error))
                continue
            allow = f"the operator can allow it with providers.{name}.allowed_options"
            for path, reason in _restricted_fields(options, restrictions):
                yield FieldViolation(f"{field}.{path}", f"{reason}; {allow}")


def _restrictions(reasons: Mapping[str, str], allowed: list[str]) -> _Restrictions:
    """Return the reasons as a tree, without the allowed paths."""
    exempt = set(map(canonical_path, allowed))
    tree: dict[str, Any] = {}
    for path, reason in reasons.items():
        *parents, last = canonical_path(path)
        if (*parents, last) in exempt:
            continue
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = reason
    return tree


def _restricted_fields(options: Mapping[str, Any], restrictions: _Restrictions) -> Iterator[tuple[str, str]]:
    """Yield the path of each restricted field that is set, in the caller's spelling, and the reason."""
    if not restrictions:
        return
    for name, value in options.items():
        found = restrictions.get(canonical_name(name))
        if found is None:
            continue
        shown = name[:MAX_QUOTED_LENGTH]
        if isinstance(found, str):
            yield shown, found
        elif isinstance(value, Mapping):
            for path, reason in _restricted_fields(value, found):
                yield f"{shown}.{path}", reason
        else:
            # Null would remove the object with what the gateway decides in it.
            yield shown, "must be an object, since the gateway decides some of its fields"
