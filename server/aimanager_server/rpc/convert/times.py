"""Our seconds ↔ protobuf's times, where a time may not be known."""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message as Proto
from google.protobuf.timestamp_pb2 import Timestamp

from . import responses as wire_write
from .fields import refused, said


def duration(seconds: float | None) -> Duration | None:
    """A length of time; None where it is not known."""
    return None if seconds is None else wire_write.duration(seconds)


def timestamp(seconds: float | None) -> Timestamp | None:
    """A moment in seconds since 1970; None where it is not known."""
    if seconds is None:
        return None
    whole = wire_write.duration(seconds)
    return Timestamp(seconds=whole.seconds, nanos=whole.nanos)


def window(request: Proto, unset: float, longest: float) -> float:
    """The seconds that the field `window` of a request asks to look back. Raises InvalidRequest, naming it."""
    sent: Duration | None = said(request, "window")
    if sent is None:
        return unset
    seconds: float = sent.seconds + sent.nanos / 1e9
    if not 0 < seconds <= longest:
        raise refused("window", f"{seconds:g} s is not accepted; more than 0 and at most {longest:g} s is")
    return seconds
