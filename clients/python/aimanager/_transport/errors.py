"""Translate gRPC errors into AIError. Field paths of the API become parameter names of the client."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, Protocol, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2

from .._convert.field_names import with_parameter_names
from .._convert.operation import Operation
from .._convert.scalars import read_seconds
from ..config import MIB
from ..errors import (
    AIError,
    ConfigurationError,
    ConnectionFailedError,
    DeadlineExceededError,
    FieldViolation,
    InvalidRequestError,
    error_class,
)
from ..types.usage import read_attempts, read_usage
from ..v1 import generation_pb2, usage_pb2
from .connection_failures import SERVER_STOPPED, explain_connection_failure
from .endpoint import Endpoint

ERROR_DOMAIN = "aimanager.dev"
DETAILS_KEY = "grpc-status-details-bin"
MAX_SOLUTIONS = 3
GOT = re.compile(r", got .*", re.DOTALL)
RPC_NAMES: Mapping[str, str] = MappingProxyType(
    {"ListModels": "models.list()", "SuggestModels": "models.suggest()", "ListProviderHealth": "health.list()"}
)
"""What solutions of the gateway name, and the client's method for it."""
RPC_NAME = re.compile(rf"\b(?:{'|'.join(RPC_NAMES)})\b")
CAPITAL = re.compile(r"[A-Z]")
MESSAGE_SIZE = re.compile(r"message larger than max \((\d+) vs\. (\d+)\)")

STATUS_ERRORS: Mapping[str, tuple[type[AIError], str]] = MappingProxyType(
    {
        "UNAVAILABLE": (ConnectionFailedError, SERVER_STOPPED),
        "DEADLINE_EXCEEDED": (DeadlineExceededError, "Increase timeout=…, or request a shorter response."),
        "CANCELLED": (AIError, "Keep the client open until its calls have completed."),
        "RESOURCE_EXHAUSTED": (
            AIError,
            "Send less data, smaller attachments or https URLs, or request a shorter response.",
        ),
        "UNIMPLEMENTED": (AIError, "Check that {target} is an aimanager server and is not older than this client."),
        "INVALID_ARGUMENT": (InvalidRequestError, "Fix the problem that the message describes."),
        "NOT_FOUND": (InvalidRequestError, "Check the name; `aimanager models` lists the models."),
        "UNAUTHENTICATED": (ConfigurationError, "Pass the gateway's token: token=…"),
        "PERMISSION_DENIED": (ConfigurationError, "Request access from the operator of the gateway."),
        "FAILED_PRECONDITION": (ConfigurationError, "Report the error to the operator of the gateway."),
    }
)
"""Class and solution for a status without aimanager details, from gRPC itself, a proxy or another server."""
DEFAULT_SOLUTION = "If the error persists, report it to the operator of {target}."

Detail = TypeVar("Detail", bound=Message)


class Channel(Protocol):
    """What error translation needs of a channel."""

    endpoint: Endpoint

    def is_unreachable(self) -> bool:
        """Return whether the channel is trying to connect, without success so far."""


@contextmanager
def translate_errors(channel: Channel, operation: Operation[Any, Any, Any]) -> Iterator[None]:
    """Raise AIError for a failed call. A cancellation of the caller's own task passes through unchanged."""
    try:
        yield
    except grpc.RpcError as error:
        # Frames of gRPC would hide the caller's line in a traceback; the error stays in `original_error`.
        raise read_error(error, channel, operation.field_name) from None
    except asyncio.CancelledError as error:
        # grpc.aio also raises it for its own reasons, such as a channel that was closed during the call.
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise status_error(
            "CANCELLED", "The call was cancelled because the client was closed.", channel, error
        ) from None


def read_error(error: grpc.RpcError, channel: Channel, field_name: Callable[[str], str]) -> AIError:
    """Convert the error of a failed call. Missing or unreadable details leave the status code and the message."""
    # Every error that a call raises is also a Call, which the base class does not declare.
    code = getattr(error, "code", lambda: None)()
    code_name = code.name if isinstance(code, grpc.StatusCode) else "UNKNOWN"
    message = str(getattr(error, "details", lambda: None)() or code_name)
    status = _status(getattr(error, "trailing_metadata", lambda: None)() or ())
    info = _detail(status, error_details_pb2.ErrorInfo)
    if info is None or info.domain != ERROR_DOMAIN:
        return status_error(code_name, message, channel, error)
    kind = error_class(info.reason) or STATUS_ERRORS.get(code_name, (AIError, ""))[0]
    return _gateway_error(kind, message, info, status, field_name, error)


def _gateway_error(
    kind: type[AIError],
    message: str,
    info: error_details_pb2.ErrorInfo,
    status: status_pb2.Status,
    field_name: Callable[[str], str],
    original_error: BaseException,
) -> AIError:
    context = {_snake_case(name): value for name, value in info.metadata.items()}
    solution = _detail(status, error_details_pb2.LocalizedMessage)
    retry = _detail(status, error_details_pb2.RetryInfo)
    request = _detail(status, error_details_pb2.BadRequest)
    execution = _detail(status, generation_pb2.Execution)
    usage = _detail(status, usage_pb2.Usage)
    violations = request.field_violations if request else ()
    paths = [violation.field for violation in violations]
    fields = tuple(
        FieldViolation(field_name(each.field), with_parameter_names(each.description, paths, field_name))
        for each in violations
    )
    advice = RPC_NAME.sub(lambda match: RPC_NAMES[match[0]], solution.message if solution else "")
    return kind.build(
        with_parameter_names(message, paths, field_name),
        _range_solution(info.reason, fields, message) or with_parameter_names(advice, paths, field_name),
        reason=info.reason,
        retry_after=max(0.0, read_seconds(retry, "retry_delay") or 0.0) if retry else None,
        provider=context.pop("provider", ""),
        model=context.pop("model", ""),
        request_id=context.pop("request_id", ""),
        fields=fields,
        attempts=read_attempts(execution) if execution else (),
        usage=read_usage(usage) if usage else None,
        original_error=original_error,
        context=context,
    )


def _range_solution(reason: str, fields: tuple[FieldViolation, ...], message: str) -> str:
    """Return what each invalid parameter must be; the gateway's own solution does not say it."""
    if reason != "INVALID_FIELD":
        return ""
    return " ".join(f"Change {each.field}{_expected(each, message)}." for each in fields[:MAX_SOLUTIONS])


def _expected(violation: FieldViolation, message: str) -> str:
    """Return what the field must be, unless the message says it already."""
    if violation.description in message:
        return ""
    return f": it {GOT.sub('', violation.description).rstrip('.')}"


def _snake_case(name: str) -> str:
    return CAPITAL.sub(lambda match: f"_{match[0].lower()}", name)


def status_error(code: str, message: str, channel: Channel, original_error: BaseException | None = None) -> AIError:
    """Return the error for a status that has no details of the gateway."""
    target = channel.endpoint.target
    kind, solution = STATUS_ERRORS.get(code, (AIError, DEFAULT_SOLUTION))
    reason, solution = code, solution.format(target=target)
    if code == "DEADLINE_EXCEEDED" and channel.is_unreachable():
        # Retries until the deadline hide the connection error.
        kind, reason = ConnectionFailedError, "UNAVAILABLE"
        message, solution = f"No response from {target} within the timeout.", SERVER_STOPPED.format(target=target)
    elif code == "UNAVAILABLE":
        message, solution = explain_connection_failure(message, target) or (message, solution)
    elif size := MESSAGE_SIZE.search(message):
        kind, reason = InvalidRequestError, "PAYLOAD_TOO_LARGE"
        message = f"A message has {int(size[1]) / MIB:.1f} MiB; at most {int(size[2]) / MIB:.0f} MiB are possible."
    return kind.build(message, solution, reason=reason, original_error=original_error)


def _status(trailers: Iterable[tuple[str, str | bytes]]) -> status_pb2.Status:
    # Iterated as pairs: older versions of grpc.aio return a mapping that dict() cannot copy.
    packed = next((value for key, value in trailers if key == DETAILS_KEY), b"")
    try:
        return status_pb2.Status.FromString(packed if isinstance(packed, bytes) else b"")
    except DecodeError:
        return status_pb2.Status()


def _detail(status: status_pb2.Status, kind: type[Detail]) -> Detail | None:
    """Return the first detail of a type, or None if it is missing or unreadable."""
    for packed in status.details:
        if packed.Is(kind.DESCRIPTOR):
            detail = kind()
            try:
                packed.Unpack(detail)
            except DecodeError:
                return None
            return detail
    return None
