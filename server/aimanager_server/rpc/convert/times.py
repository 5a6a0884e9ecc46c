"""Seconds to and from protobuf's Duration and Timestamp."""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message as ProtoMessage
from google.protobuf.timestamp_pb2 import Timestamp

from .fields import FieldParser, invalid_field, optional_field

NANOS_PER_SECOND = 1_000_000_000


def duration_to_proto(seconds: float) -> Duration:
    """Convert seconds to a Duration with nanosecond precision; negative values become 0."""
    duration = Duration()
    fill_duration(duration, seconds)
    return duration


def fill_duration(duration: Duration, seconds: float) -> None:
    """Set a Duration as `duration_to_proto` does, in place."""
    duration.seconds, duration.nanos = divmod(max(0, round(seconds * 1e9)), NANOS_PER_SECOND)


def fill_timestamp(timestamp: Timestamp, seconds: float) -> None:
    """Set a Timestamp to seconds since the Unix epoch."""
    timestamp.seconds, timestamp.nanos = divmod(max(0, round(seconds * 1e9)), NANOS_PER_SECOND)


def optional_duration(seconds: float | None) -> Duration | None:
    """Convert seconds to a Duration; None if unknown."""
    return None if seconds is None else duration_to_proto(seconds)


def optional_timestamp(seconds: float | None) -> Timestamp | None:
    """Convert seconds since the Unix epoch to a Timestamp; None if unknown."""
    if seconds is None:
        return None
    timestamp = Timestamp()
    fill_timestamp(timestamp, seconds)
    return timestamp


def parse_interval(duration: Duration, minimum: float, path: str) -> float:
    """Convert a Duration to seconds. Raises InvalidRequest if it is shorter than `minimum` seconds."""
    seconds: float = duration.seconds + duration.nanos / 1e9
    if seconds < minimum:
        raise invalid_field(path, f"must be at least {minimum:g} s, got {seconds:g} s")
    return seconds


def parse_window(request: ProtoMessage, default: float, maximum: float) -> float:
    """Return the request's `window` in seconds, `default` if not set. Raises InvalidRequest if it is out of range."""
    window: Duration | None = optional_field(request, "window")
    if window is None:
        return default
    seconds: float = window.seconds + window.nanos / 1e9
    if not 0 < seconds <= maximum:
        raise invalid_field("window", f"must be greater than 0 and at most {maximum:g} s, got {seconds:g} s")
    return seconds


def parse_duration(parser: FieldParser, message: ProtoMessage, field: str, path: str) -> float | None:
    """Return a Duration field in seconds, None if not set; reject `nanos` out of range."""
    duration: Duration | None = optional_field(message, field)
    if duration is None:
        return None
    if not 0 <= duration.nanos < NANOS_PER_SECOND:
        parser.reject(path, f"must have nanos from 0 to {NANOS_PER_SECOND - 1}, got {duration.nanos}")
        return None
    return float(duration.seconds + duration.nanos / NANOS_PER_SECOND)
