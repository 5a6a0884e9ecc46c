"""Messages of the API as plain dicts that JSON can carry, and back without loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from google.protobuf.message import Message

from ..errors import InvalidRequestError

AnyMessage = TypeVar("AnyMessage", bound=Message)
INTEGERS = (FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64)
DURATION = "google.protobuf.Duration"


def to_plain(message: Message) -> dict[str, Any]:
    """Return the fields that are set: enums as lower-case words, durations in seconds, bytes in base64.

    >>> from aimanager.v1.generation_pb2 import FINISH_REASON_STOP, GenerateResponse
    >>> to_plain(GenerateResponse(id="1", finish_reason=FINISH_REASON_STOP))
    {'id': '1', 'finish_reason': 'stop'}
    """
    fields = MessageToDict(message, preserving_proto_field_name=True)
    return _convert(fields, message.DESCRIPTOR, _plain_value)


def from_plain(fields: Mapping[str, Any], message: AnyMessage) -> AnyMessage:
    """Set the fields of a message from what `to_plain` returned. Raises InvalidRequestError for anything else."""
    try:
        ParseDict(_convert(fields, message.DESCRIPTOR, _proto_value), message)
    except (AttributeError, KeyError, ParseError, TypeError, ValueError) as error:
        raise InvalidRequestError(
            f"The dict is not a {message.DESCRIPTOR.name}: {error}", "Pass what to_dict() returned."
        ) from None
    return message


def _convert(fields: Mapping[str, Any], descriptor: Any, leaf: Callable[[Any, FieldDescriptor], Any]) -> dict[str, Any]:
    converted = {}
    for name, value in fields.items():
        field = descriptor.fields_by_name.get(name)
        converted[name] = value if field is None else _field(value, field, leaf)
    return converted


def _field(value: Any, field: FieldDescriptor, leaf: Callable[[Any, FieldDescriptor], Any]) -> Any:
    if isinstance(value, list):
        return [_field(each, field, leaf) for each in value]
    if isinstance(value, Mapping) and field.message_type and not field.message_type.GetOptions().map_entry:
        return _convert(value, field.message_type, leaf)
    return leaf(value, field)


def _plain_value(value: Any, field: FieldDescriptor) -> Any:
    if field.enum_type and isinstance(value, str):
        return value.removeprefix(_prefix(field.enum_type)).lower()
    if field.message_type and field.message_type.full_name == DURATION:
        return float(value.removesuffix("s"))
    return int(value) if field.cpp_type in INTEGERS else value


def _proto_value(value: Any, field: FieldDescriptor) -> Any:
    if field.enum_type and isinstance(value, str):
        return f"{_prefix(field.enum_type)}{value.upper()}"
    if field.message_type and field.message_type.full_name == DURATION:
        return f"{value:.9f}s"
    return value


def _prefix(enum: EnumDescriptor) -> str:
    return str(enum.values[0].name).removesuffix("UNSPECIFIED")
