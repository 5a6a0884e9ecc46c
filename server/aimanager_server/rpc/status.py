"""Convert a GatewayError to a gRPC status: code, message, and trailers with google.rpc error details."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from urllib.parse import quote

import grpc
from google.protobuf.any_pb2 import Any as PackedDetail
from google.protobuf.message import Message as ProtoMessage
from google.rpc import error_details_pb2 as details_pb2
from google.rpc.status_pb2 import Status

from ..core.errors import GatewayError
from .context import REQUEST_ID_KEY
from .convert.responses import error_execution_to_proto, usage_to_proto, valid_text
from .convert.times import duration_to_proto

DOMAIN = "aimanager.dev"
DETAILS_KEY = "grpc-status-details-bin"
PUSHBACK_KEY = "grpc-retry-pushback-ms"
DO_NOT_RETRY = "-1"
DEFAULT_PUSHBACK_SECONDS = 1.0

MAX_TRAILER_BYTES = 6 * 1024
"""Limit of message and details as encoded in the trailers. Above 8 KiB clients drop the details and change the code."""
MAX_MESSAGE_BYTES = 1024
MAX_SOLUTION_BYTES = 512
MAX_DESCRIPTION_BYTES = 256
MIN_DESCRIPTION_BYTES = 96
"""To this size descriptions and field paths are shortened before a violation is dropped."""
MAX_METADATA_BYTES = 1024
METADATA_KEY = re.compile(r"[A-Za-z0-9_-]{1,64}")

Trailers = tuple[tuple[str, str | bytes], ...]


def to_status(error: GatewayError, request_id: str) -> tuple[grpc.StatusCode, str, Trailers]:
    """Return the arguments of `context.abort`, at most MAX_TRAILER_BYTES whatever the error contains.

    Message, reason and solution are always present, truncated if long. The other details follow while they fit, each
    shortened if necessary: retry delay, quota or precondition failure, field violations, usage, attempts.
    """
    code = grpc.StatusCode[error.spec.code]
    message = _truncate(error.message, MAX_MESSAGE_BYTES, _percent_encoded_size)
    status = Status(code=code.value[0], message=message)
    for variants in _details(error, request_id):
        _add_first_that_fits(status, variants)
    details = status.SerializeToString()
    return code, message, ((DETAILS_KEY, details), (PUSHBACK_KEY, _pushback(error)), (REQUEST_ID_KEY, request_id))


def _pushback(error: GatewayError) -> str:
    """Return the retry pushback in milliseconds. By default gRPC must not retry: the gateway already did what helps."""
    if not error.spec.client_may_retry:
        return DO_NOT_RETRY
    return str(round(1000 * (DEFAULT_PUSHBACK_SECONDS if error.retry_after is None else error.retry_after)))


def _details(error: GatewayError, request_id: str) -> Iterator[Iterator[ProtoMessage]]:
    """Yield the details, most important first, each as variants from complete to ever shorter."""
    yield iter([details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=_metadata(error, request_id))])
    solution = _truncate(error.solution, MAX_SOLUTION_BYTES, _utf8_size)
    yield iter([details_pb2.LocalizedMessage(locale="en", message=solution)])
    if error.retry_after is not None and math.isfinite(error.retry_after):
        yield iter([details_pb2.RetryInfo(retry_delay=duration_to_proto(error.retry_after))])
    if error.spec.code == "RESOURCE_EXHAUSTED":
        yield iter([_quota_failure(error)])
    if error.spec.code == "FAILED_PRECONDITION":
        yield iter([_precondition_failure(error)])
    if error.violations:
        yield _bad_requests(error)
    if error.usage is not None:
        yield iter([usage_to_proto(error.usage)])
    if error.attempts:
        yield _variants(lambda count: error_execution_to_proto(error, count), len(error.attempts))


def _metadata(error: GatewayError, request_id: str) -> dict[str, str]:
    entries = {
        "requestId": request_id,
        "provider": error.provider,
        "model": error.model,
        "upstreamStatus": "" if error.upstream_status is None else str(error.upstream_status),
        "attempts": str(len(error.attempts)) if error.attempts else "",
        **error.metadata,
    }
    remaining, fitting = MAX_METADATA_BYTES, {}
    for key, value in entries.items():
        text = _truncate(value, MAX_DESCRIPTION_BYTES, _utf8_size)
        remaining -= len(key) + _utf8_size(text)
        if text and remaining >= 0 and METADATA_KEY.fullmatch(key):
            fitting[key] = text
    return fitting


def _quota_failure(error: GatewayError) -> details_pb2.QuotaFailure:
    subject = error.metadata.get("subject") or error.provider or "anonymous"
    quota = " ".join(filter(None, (error.metadata.get("quota", ""), error.metadata.get("limit", ""))))
    violation = details_pb2.QuotaFailure.Violation(
        subject=_truncate(subject, MAX_DESCRIPTION_BYTES, _utf8_size),
        description=_truncate(quota or error.reason, MAX_DESCRIPTION_BYTES, _utf8_size),
    )
    return details_pb2.QuotaFailure(violations=[violation])


def _precondition_failure(error: GatewayError) -> details_pb2.PreconditionFailure:
    violation = details_pb2.PreconditionFailure.Violation(
        type=error.reason,
        subject=_truncate(error.provider, MAX_DESCRIPTION_BYTES, _utf8_size),
        description=_truncate(error.message, MAX_DESCRIPTION_BYTES, _utf8_size),
    )
    return details_pb2.PreconditionFailure(violations=[violation])


def _bad_requests(error: GatewayError) -> Iterator[ProtoMessage]:
    """Yield the violations with ever shorter descriptions, so that all are listed, before dropping some."""
    for size in (MAX_DESCRIPTION_BYTES, MAX_DESCRIPTION_BYTES // 2, MIN_DESCRIPTION_BYTES):
        yield _bad_request(error, len(error.violations), size)
    yield from _variants(lambda count: _bad_request(error, count, MIN_DESCRIPTION_BYTES), len(error.violations) // 2)


def _bad_request(error: GatewayError, count: int, description_bytes: int) -> ProtoMessage:
    detail: ProtoMessage = details_pb2.BadRequest(
        field_violations=[
            details_pb2.BadRequest.FieldViolation(
                field=_truncate(violation.field, description_bytes, _utf8_size),
                description=_truncate(violation.description, description_bytes, _utf8_size),
            )
            for violation in error.violations[:count]
        ]
    )
    return detail


def _variants(build: Callable[[int], ProtoMessage], count: int) -> Iterator[ProtoMessage]:
    """Yield the detail with `count` items, then with half of them, and so on."""
    while count:
        yield build(count)
        count //= 2


def _add_first_that_fits(status: Status, variants: Iterator[ProtoMessage]) -> None:
    for variant in variants:
        detail = PackedDetail()
        detail.Pack(variant)
        status.details.append(detail)
        if _encoded_size(status) <= MAX_TRAILER_BYTES:
            return
        del status.details[-1]


def _encoded_size(status: Status) -> int:
    """Return the size on the wire: binary trailers are sent as base64 unless both ends negotiate otherwise."""
    size: int = status.ByteSize()
    return _percent_encoded_size(status.message) + 4 * (size // 3 + 1)


def _percent_encoded_size(text: str) -> int:
    return len(quote(text, safe=" !\"#$&'()*+,/:;<=>?@[\\]^_`{|}~"))


def _utf8_size(text: str) -> int:
    return len(text.encode())


def _truncate(text: str, limit: int, size: Callable[[str], int]) -> str:
    """Return valid text of at most `limit` measured by `size`, ending in … if it was truncated."""
    valid = valid_text(text)
    if size(valid) <= limit:
        return valid
    length = _longest_prefix(valid, limit - size("…"), size)
    return valid[:length] + "…"


def _longest_prefix(text: str, limit: int, size: Callable[[str], int]) -> int:
    low, high = 0, min(len(text), limit)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if size(text[:middle]) <= limit else (low, middle - 1)
    return low
