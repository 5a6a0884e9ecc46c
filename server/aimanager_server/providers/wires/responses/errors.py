"""Map the errors of the Responses API whose code is more specific than the HTTP status."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any

from ....core.errors import (
    ContentBlocked,
    GatewayError,
    ProviderInternalError,
    ProviderOverloaded,
    ProviderProtocolError,
    ProviderRateLimited,
    ProviderRejectedRequest,
    ProviderTimeout,
)
from ....core.provider_state import ProviderStateRejected
from ..finish_reasons import printable_reason
from ..provider_errors import ProviderErrorBody, build_error, error_in_success, parse_error, parse_error_body

ERRORS_BY_CODE: Mapping[str, type[GatewayError]] = MappingProxyType(
    {
        "invalid_prompt": ContentBlocked,  # "your prompt was flagged": used only for policy violations
        "cyber_policy": ContentBlocked,
        "slow_down": ProviderOverloaded,
        "too_many_requests": ProviderRateLimited,
        "vector_store_timeout": ProviderTimeout,
        "failed_to_download_image": ProviderRejectedRequest,
        **dict.fromkeys(("data_residency_mismatch", "previous_response_not_found"), ProviderRejectedRequest),
        "invalid_encrypted_content": ProviderStateRejected,
        "unsupported_image_media_type": ProviderRejectedRequest,
        **dict.fromkeys(("invalid_image", "invalid_image_format", "invalid_base64_image"), ProviderRejectedRequest),
        **dict.fromkeys(("invalid_image_url", "invalid_image_mode", "image_parse_error"), ProviderRejectedRequest),
        **dict.fromkeys(("image_too_large", "image_too_small", "image_file_too_large"), ProviderRejectedRequest),
        **dict.fromkeys(("empty_image_file", "image_file_not_found"), ProviderRejectedRequest),
    }
)
"""Errors by code. All other codes have their usual meaning."""

PENDING_STATUSES = frozenset(("queued", "in_progress"))


def error_from_response(status: int, headers: Mapping[str, str], body: bytes, now: datetime) -> GatewayError:
    """Return the error for an unsuccessful response. Header names are in lower case."""
    error_body = parse_error_body(body)
    return _by_code(error_body, build_error(status, headers, error_body, now))


def error_in_payload(value: Any) -> GatewayError:
    """Return the error for an `error` event, flat or nested, or for the error of a response object."""
    return _by_code(parse_error(value), error_in_success(value))


def error_from_status(response: Mapping[str, Any], status: str) -> GatewayError | None:
    """Return the error for the status of a response object; None if it succeeded."""
    if response.get("error"):
        return error_in_payload(response)
    if status in PENDING_STATUSES:
        return ProviderProtocolError(
            f"The provider returned an unfinished response with status {status!r}.",
            solution="Remove 'background' from the provider options: background responses are not supported.",
            upstream_status=200,
        )
    if status in ("failed", "cancelled"):
        return ProviderInternalError(
            f"The provider ended the response with status {printable_reason(status)!r}.", upstream_status=200
        )
    return None


def _by_code(error_body: ProviderErrorBody, error: GatewayError) -> GatewayError:
    error_type = ERRORS_BY_CODE.get(error_body.code.lower()) or ERRORS_BY_CODE.get(error_body.type.lower())
    if error_type is None or type(error) is error_type:
        return error
    return error_type(error.message, retry_after=error.retry_after, upstream_status=error.upstream_status)
