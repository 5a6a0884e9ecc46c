"""Reads the status of a failed call into our exception; the one border at which gRPC's errors become ours."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Protocol, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2

from .._convert.scalars import seconds
from ..errors import AIError, ConfigurationError, FieldViolation, InvalidRequestError, class_of
from ..types.usage import read_attempts, read_usage
from ..v1 import generation_pb2, usage_pb2
from .channel import Endpoint

DOMAIN = "aimanager.dev"
DETAILS = "grpc-status-details-bin"

# What a status without our details means: it was made by gRPC itself, a proxy, or a server that is none of ours.
BARE: Mapping[str, tuple[type[AIError], str]] = MappingProxyType(
    {
        "UNAVAILABLE": (AIError, "Is the server running at {target}? Start it with `make run` or `aimanager-server`."),
        "DEADLINE_EXCEEDED": (AIError, "Allow more time with timeout=…, or ask for a shorter answer."),
        "CANCELLED": (
            AIError,
            "The call was cancelled before its end: keep the client open until the answer is there.",
        ),
        "RESOURCE_EXHAUSTED": (AIError, "A message may be larger than the 36 MiB gRPC carries here: send less."),
        "UNIMPLEMENTED": (AIError, "Check that {target} is an aimanager server and not older than this client."),
        "INVALID_ARGUMENT": (InvalidRequestError, "Correct the request and send it again."),
        "NOT_FOUND": (InvalidRequestError, "Check the name; `aimanager models` lists what there is."),
        "UNAUTHENTICATED": (ConfigurationError, "Give the gateway's token: token=…"),
        "PERMISSION_DENIED": (ConfigurationError, "Ask the operator of the gateway for access."),
        "FAILED_PRECONDITION": (ConfigurationError, "Ask the operator of the gateway to set it up for this call."),
    }
)
REPORT = "If it stays, report it to the operator of {target}."

Detail = TypeVar("Detail", bound=Message)


class Line(Protocol):
    """The way to a gateway."""

    endpoint: Endpoint

    def is_dead(self) -> bool:
        """Whether nobody answers at its other end."""


@contextmanager
def translated(line: Line) -> Iterator[None]:
    """Within it, a failed call raises AIError. The cancelling of our own task passes through untouched."""
    try:
        yield
    except grpc.RpcError as error:
        raise read_failure(error, line) from error
    except asyncio.CancelledError as error:
        # grpc.aio raises it for its own reasons too, such as a channel closed under the call.
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise _bare("CANCELLED", "The call was cancelled: the client was closed", line) from error


def read_failure(error: grpc.RpcError, line: Line) -> AIError:
    """The exception for a failed call. Details that are missing or cannot be read leave the code and the message."""
    # Every error a call raises is a call too; the base class does not say so.
    code = getattr(error, "code", lambda: None)()
    name = code.name if isinstance(code, grpc.StatusCode) else "UNKNOWN"
    message = str(getattr(error, "details", lambda: None)() or name)
    status = _status(getattr(error, "trailing_metadata", lambda: None)() or ())
    cause = _detail(status, error_details_pb2.ErrorInfo)
    if cause is None or cause.domain != DOMAIN:
        return _bare(name, message, line)
    kind = class_of(cause.reason) or BARE.get(name, (AIError, ""))[0]
    return _told(kind, message, cause, status)


def _told(kind: type[AIError], message: str, cause: error_details_pb2.ErrorInfo, status: status_pb2.Status) -> AIError:
    context = dict(cause.metadata)
    solution = _detail(status, error_details_pb2.LocalizedMessage)
    pause = _detail(status, error_details_pb2.RetryInfo)
    bad = _detail(status, error_details_pb2.BadRequest)
    route = _detail(status, generation_pb2.Route)
    usage = _detail(status, usage_pb2.Usage)
    return kind(
        message,
        reason=cause.reason,
        solution=solution.message if solution else "",
        retry_after=max(0.0, seconds(pause, "retry_delay") or 0.0) if pause else None,
        provider=context.pop("provider", ""),
        model=context.pop("model", ""),
        request_id=context.pop("requestId", ""),
        fields=tuple(FieldViolation(row.field, row.description) for row in bad.field_violations) if bad else (),
        attempts=read_attempts(route) if route else (),
        usage=read_usage(usage) if usage else None,
        context=context,
    )


def _bare(code: str, message: str, line: Line) -> AIError:
    target = line.endpoint.target
    if code == "DEADLINE_EXCEEDED" and line.is_dead():
        # Resending until the deadline hides what was wrong.
        code, message = "UNAVAILABLE", f"nobody answered at {target} within the timeout"
    kind, solution = BARE.get(code, (AIError, REPORT))
    return kind(message, reason=code, solution=solution.format(target=target))


def _status(trailers: Iterable[tuple[str, str | bytes]]) -> status_pb2.Status:
    # In pairs: older versions of grpc.aio have a mapping here that dict() cannot copy.
    packed = next((value for key, value in trailers if key == DETAILS), b"")
    try:
        return status_pb2.Status.FromString(packed if isinstance(packed, bytes) else b"")
    except DecodeError:
        return status_pb2.Status()


def _detail(status: status_pb2.Status, kind: type[Detail]) -> Detail | None:
    """The first detail of a kind; None where there is none that can be read."""
    for packed in status.details:
        if packed.Is(kind.DESCRIPTOR):
            detail = kind()
            try:
                packed.Unpack(detail)
            except DecodeError:
                return None
            return detail
    return None
