"""Count the fields of an encoded protobuf message at every depth, before it is decoded.

Decoding allocates an object for every submessage, a hundred times the two bytes that an empty one takes on the wire.
"""

from __future__ import annotations

from functools import cached_property
from typing import Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor

VARINT, FIXED64, LENGTH_DELIMITED, START_GROUP, END_GROUP, FIXED32 = range(6)
FIXED_SIZES: Final = {FIXED64: 8, FIXED32: 4, START_GROUP: 0, END_GROUP: 0}
MAX_VARINT_BITS: Final = 70
SCALAR: Final = object()
"""Marks a field that contains text, bytes, or nothing that is known."""


class MessageShape:
    """What the fields of a message type contain, as far as it affects the number of fields."""

    def __init__(self, descriptor: Descriptor) -> None:
        self._descriptor = descriptor

    @cached_property
    def contents(self) -> dict[int, MessageShape | None]:
        """Return what length-delimited fields contain, by field number: a message, or packed numbers for None."""
        contents: dict[int, MessageShape | None] = {}
        for field in self._descriptor.fields:
            if field.message_type is not None:
                contents[field.number] = MessageShape(field.message_type)
            elif field.cpp_type != FieldDescriptor.CPPTYPE_STRING:
                contents[field.number] = None
        return contents


def has_more_fields(data: bytes, shape: MessageShape, limit: int) -> bool:
    """Return whether the message has more than `limit` fields, with those of submessages and each packed number.

    Stops at the limit. The fields of an invalid message count up to its first error, where decoding stops as well.
    """
    count, position, end = 0, 0, len(data)
    parents: list[tuple[int, MessageShape]] = []
    try:
        while True:
            while position >= end:
                if not parents:
                    return False
                end, shape = parents.pop()
            tag, position = _varint(data, position)
            count += 1
            wire_type = tag & 7
            if wire_type == LENGTH_DELIMITED:
                length, position = _varint(data, position)
                content = shape.contents.get(tag >> 3, SCALAR)
                if content is None:
                    count += length
                if isinstance(content, MessageShape):
                    parents.append((end, shape))
                    end, shape = position + length, content
                else:
                    position += length
            elif wire_type == VARINT:
                position = _varint(data, position)[1]
            else:
                position += FIXED_SIZES[wire_type]
            if count > limit:
                return True
    except (IndexError, KeyError):
        return False


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """Return the number at a position, and the position after it."""
    byte = data[position]
    position += 1
    if byte < 0x80:
        return byte, position
    value = byte & 0x7F
    for shift in range(7, MAX_VARINT_BITS, 7):
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise IndexError("The number has more than ten bytes.")
