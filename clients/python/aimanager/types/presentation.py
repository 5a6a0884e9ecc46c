"""How results show themselves: as one line, and as read-only mappings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any, ClassVar


def short_repr(value: object, *names: str) -> str:
    """Return a repr of the attributes that are known: not None, and not empty.

    >>> from types import SimpleNamespace
    >>> short_repr(SimpleNamespace(id="a", cost=None, tokens=0), "id", "cost", "tokens")
    "SimpleNamespace(id='a', tokens=0)"
    """
    known = [(name, each) for name in names if (each := getattr(value, name)) not in (None, "", ())]
    return f"{type(value).__name__}({', '.join(f'{name}={each!r}' for name, each in known)})"


class FieldMapping(Mapping[str, Any]):
    """A dataclass that can also be read as a mapping: `usage["input_tokens"]`, `usage.get("cost")`, `dict(usage)`."""

    __slots__ = ()
    computed: ClassVar[tuple[str, ...]] = ()
    """Properties that are keys too."""

    def __getitem__(self, name: str) -> Any:
        if name in self._names():
            return getattr(self, name)
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names())

    def __len__(self) -> int:
        return len(self._names())

    def _names(self) -> tuple[str, ...]:
        return (*(field.name for field in fields(self)), *self.computed)  # type: ignore[arg-type]  # subclasses are dataclasses
