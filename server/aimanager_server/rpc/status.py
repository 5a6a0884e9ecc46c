"""Says a fault in gRPC's words: a code, a message, and trailers with google.rpc details."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from urllib.parse import quote

import grpc
from google.protobuf.any_pb2 import Any as Packed
from google.protobuf.message import Message as Proto
from google.rpc import error_details_pb2 as details_pb2
from google.rpc.status_pb2 import Status

from ..core.errors import GatewayError
from .context import REQUEST_ID_KEY
from .convert import responses as wire_write

DOMAIN = "aimanager.dev"
DETAILS_KEY = "grpc-status-details-bin"
PUSHBACK_KEY = "grpc-retry-pushback-ms"
NEVER = "-1"
DEFAULT_PUSHBACK_SECONDS = 1.0

TRAILER_BYTES = 6 * 1024
"""What message and details may take on the wire. Above 8 KiB clients drop the details and change the code."""
MESSAGE_BYTES = 1024
SOLUTION_BYTES = 512
DESCRIPTION_BYTES = 256
METADATA_BYTES = 1024
METADATA_KEY = re.compile(r"[A-Za-z0-9_-]{1,64}")

Trailers = tuple[tuple[str, str | bytes], ...]


def answer(fault: GatewayError, request_id: str) -> tuple[grpc.StatusCode, str, Trailers]:
    """What `context.abort` takes. Never above TRAILER_BYTES, whatever the fault holds.

    The message, the reason and the solution are always there, cut where they are long; then come, as far as there is
    room and shortened to what fits: retry advice, violated quota or precondition, fields, usage, attempts.
    """
    code = grpc.StatusCode[fault.spec.code]
    message = _cut(fault.message, MESSAGE_BYTES, _escaped_bytes)
    status = Status(code=code.value[0], message=message)
    for shorter in _details(fault, request_id):
        _add(status, shorter)
    details = status.SerializeToString()
    return code, message, ((DETAILS_KEY, details), (PUSHBACK_KEY, _pushback(fault)), (REQUEST_ID_KEY, request_id))


def _pushback(fault: GatewayError) -> str:
    """A client's gRPC resends by itself only what asks for it: for all else the gateway already tried what helps."""
    if not fault.spec.client_may_retry:
        return NEVER
    return str(round(1000 * (DEFAULT_PUSHBACK_SECONDS if fault.retry_after is None else fault.retry_after)))


def _details(fault: GatewayError, request_id: str) -> Iterator[Iterator[Proto]]:
    """Details in the order of their worth, each from its whole form to ever shorter ones."""
    yield iter([details_pb2.ErrorInfo(reason=fault.reason, domain=DOMAIN, metadata=_metadata(fault, request_id))])
    yield iter([details_pb2.LocalizedMessage(locale="en", message=_cut(fault.solution, SOLUTION_BYTES, _utf8_bytes))])
    if fault.retry_after is not None and math.isfinite(fault.retry_after):
        yield iter([details_pb2.RetryInfo(retry_delay=wire_write.duration(fault.retry_after))])
    if fault.spec.code == "RESOURCE_EXHAUSTED":
        yield iter([_quota(fault)])
    if fault.spec.code == "FAILED_PRECONDITION":
        yield iter([_precondition(fault)])
    if fault.violations:
        yield _shortening(_bad_request(fault), len(fault.violations))
    if fault.usage is not None:
        yield iter([wire_write.usage(fault.usage)])
    if fault.attempts:
        yield _shortening(lambda count: wire_write.tried(fault, count), len(fault.attempts))


def _metadata(fault: GatewayError, request_id: str) -> dict[str, str]:
    known = {
        "requestId": request_id,
        "provider": fault.provider,
        "model": fault.model,
        "upstreamStatus": "" if fault.upstream_status is None else str(fault.upstream_status),
        "attempts": str(len(fault.attempts)) if fault.attempts else "",
        **fault.metadata,
    }
    room, fitting = METADATA_BYTES, {}
    for key, value in known.items():
        text = _cut(value, DESCRIPTION_BYTES, _utf8_bytes)
        room -= len(key) + _utf8_bytes(text)
        if text and room >= 0 and METADATA_KEY.fullmatch(key):
            fitting[key] = text
    return fitting


def _quota(fault: GatewayError) -> details_pb2.QuotaFailure:
    subject = fault.metadata.get("subject") or fault.provider or "anonymous"
    said = " ".join(filter(None, (fault.metadata.get("quota", ""), fault.metadata.get("limit", ""))))
    violation = details_pb2.QuotaFailure.Violation(
        subject=_cut(subject, DESCRIPTION_BYTES, _utf8_bytes),
        description=_cut(said or fault.reason, DESCRIPTION_BYTES, _utf8_bytes),
    )
    return details_pb2.QuotaFailure(violations=[violation])


def _precondition(fault: GatewayError) -> details_pb2.PreconditionFailure:
    violation = details_pb2.PreconditionFailure.Violation(
        type=fault.reason,
        subject=_cut(fault.provider, DESCRIPTION_BYTES, _utf8_bytes),
        description=_cut(fault.message, DESCRIPTION_BYTES, _utf8_bytes),
    )
    return details_pb2.PreconditionFailure(violations=[violation])


def _bad_request(fault: GatewayError) -> Callable[[int], Proto]:
    violations = [
        details_pb2.BadRequest.FieldViolation(
            field=_cut(violation.field, DESCRIPTION_BYTES, _utf8_bytes),
            description=_cut(violation.description, DESCRIPTION_BYTES, _utf8_bytes),
        )
        for violation in fault.violations[: TRAILER_BYTES // 8]
    ]
    return lambda count: details_pb2.BadRequest(field_violations=violations[:count])


def _shortening(build: Callable[[int], Proto], count: int) -> Iterator[Proto]:
    while count:
        yield build(count)
        count //= 2


def _add(status: Status, forms: Iterator[Proto]) -> None:
    for form in forms:
        detail = Packed()
        detail.Pack(form)
        status.details.append(detail)
        if _wire_bytes(status) <= TRAILER_BYTES:
            return
        del status.details[-1]


def _wire_bytes(status: Status) -> int:
    """Binary trailers travel in base64 unless both ends agree otherwise."""
    size: int = status.ByteSize()
    return _escaped_bytes(status.message) + 4 * (size // 3 + 1)


def _escaped_bytes(text: str) -> int:
    return len(quote(text, safe=" !\"#$&'()*+,/:;<=>?@[\\]^_`{|}~"))


def _utf8_bytes(text: str) -> int:
    return len(text.encode())


def _cut(text: str, limit: int, size: Callable[[str], int]) -> str:
    """Valid text of at most `limit` by `size`, ending in … where something was cut."""
    valid = wire_write.text(text)
    if size(valid) <= limit:
        return valid
    kept = _longest(valid, limit - size("…"), size)
    return valid[:kept] + "…"


def _longest(text: str, limit: int, size: Callable[[str], int]) -> int:
    low, high = 0, min(len(text), limit)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if size(text[:middle]) <= limit else (low, middle - 1)
    return low
