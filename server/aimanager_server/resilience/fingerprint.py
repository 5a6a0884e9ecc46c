"""Digest the content of a request: equal for equal requests, and different for different ones."""

from __future__ import annotations

import asyncio
import hashlib
import marshal
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from enum import Enum
from operator import attrgetter
from types import NoneType
from typing import Any

LARGE_BYTES = 64 * 1024
"""Texts and bytes above this size are hashed by themselves, without a copy."""

SLICE_BYTES = 1024 * 1024
"""Bytes hashed before other tasks may run: one to three milliseconds of work."""

MARSHAL_VERSION = 2
"""Of the encoding in memory. It has the type and length of every value, and later versions depend on identity."""


ATOMS = frozenset((NoneType, bool, int, float))

TEXT, BYTES, SEQUENCE, MAPPING, ENUM, RECORD = range(6)
"""The first item of every tuple in the plain form of a value: large texts and bytes, then what contains others."""


class Fingerprints:
    """Return SHA-256 digests of values of dataclasses, enums, mappings, sequences, strings, bytes, numbers and None.

    The encoding is injective, unlike `hash`, for which -1 equals -2.
    """

    def __init__(self) -> None:
        self._readers: dict[type, Callable[[Any], Iterable[Any]]] = {}

    async def digest(self, *values: Any) -> bytes:
        """Return the digest of the values, in linear time. Other tasks may run between slices of a large one."""
        large: list[bytes] = []
        plain = self._plain_items(values, large)
        digest = hashlib.sha256(marshal.dumps(plain, MARSHAL_VERSION))
        hashed = 0
        for data in large:
            view = memoryview(data)
            for start in range(0, len(data), SLICE_BYTES):
                part = view[start : start + SLICE_BYTES]
                digest.update(part)
                hashed += len(part)
                if hashed >= SLICE_BYTES:
                    hashed = 0
                    await asyncio.sleep(0)
        return digest.digest()

    def _plain(self, value: Any, large: list[bytes]) -> Any:
        """Return the value as tuples that begin with a kind, and atoms; append large texts and bytes to `large`."""
        kind = type(value)
        if kind is str:
            return value if len(value) <= LARGE_BYTES else _take(TEXT, value.encode("utf-8", "surrogatepass"), large)
        if kind is bytes:
            return value if len(value) <= LARGE_BYTES else _take(BYTES, value, large)
        if kind in ATOMS:
            return value
        if kind is tuple or kind is list:
            return (SEQUENCE, *self._plain_items(value, large))
        read = self._readers.get(kind)
        if read is None:
            if isinstance(value, Enum):
                return (ENUM, kind.__name__, value.name)
            if isinstance(value, Mapping):
                keys = sorted(value)
                return (MAPPING, *self._plain_items(keys, large), *self._plain_items(map(value.get, keys), large))
            read = self._readers[kind] = _field_reader(kind)
        return (RECORD, kind.__name__, *self._plain_items(read(value), large))

    def _plain_items(self, items: Iterable[Any], large: list[bytes]) -> list[Any]:
        plain = self._plain
        return [
            item if (kind := type(item)) in ATOMS or (kind is str and len(item) <= LARGE_BYTES) else plain(item, large)
            for item in items
        ]


def _take(kind: int, data: bytes, large: list[bytes]) -> tuple[int, int]:
    large.append(data)
    return kind, len(data)


def _field_reader(kind: Any) -> Callable[[Any], Iterable[Any]]:
    """Return a function that returns the values of all fields of a dataclass."""
    names = [field.name for field in fields(kind)]
    if len(names) > 1:
        return attrgetter(*names)
    return lambda value: [getattr(value, name) for name in names]
