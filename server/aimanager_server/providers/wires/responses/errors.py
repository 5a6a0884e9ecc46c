"""What an error of the Responses API means, where its code says more than a status would."""

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
from ....telemetry.redaction import masked
from ..provider_errors import Said, fault_inside, fault_of, read_error, said_of

KINDS: Mapping[str, type[GatewayError]] = MappingProxyType(
    {
        "invalid_prompt": ContentBlocked,  # "your prompt was flagged": said of policy alone
        "cyber_policy": ContentBlocked,
        "slow_down": ProviderOverloaded,
        "too_many_requests": ProviderRateLimited,
        "vector_store_timeout": ProviderTimeout,
        "failed_to_download_image": ProviderRejectedRequest,
        **dict.fromkeys(("data_residency_mismatch", "previous_response_not_found"), ProviderRejectedRequest),
        **dict.fromkeys(("invalid_encrypted_content", "unsupported_image_media_type"), ProviderRejectedRequest),
        **dict.fromkeys(("invalid_image", "invalid_image_format", "invalid_base64_image"), ProviderRejectedRequest),
        **dict.fromkeys(("invalid_image_url", "invalid_image_mode", "image_parse_error"), ProviderRejectedRequest),
        **dict.fromkeys(("image_too_large", "image_too_small", "image_file_too_large"), ProviderRejectedRequest),
        **dict.fromkeys(("empty_image_file", "image_file_not_found"), ProviderRejectedRequest),
    }
)
"""By code. The others mean what they mean everywhere."""

UNFINISHED = frozenset(("queued", "in_progress"))


def fault_of_response(status: int, headers: Mapping[str, str], body: bytes, now: datetime) -> GatewayError:
    """The fault a response means that is not a success. `headers` are in lower case."""
    said = read_error(body)
    return _named(said, fault_of(status, headers, said, now))


def fault_within(value: Any) -> GatewayError:
    """The fault that an error inside a 200 means: an `error` event, flat or nested, or the error of an answer."""
    return _named(said_of(value), fault_inside(value))


def fault_of_status(response: Mapping[str, Any], status: str) -> GatewayError | None:
    """The fault that an answer's own status means; None where it is an answer."""
    if response.get("error"):
        return fault_within(response)
    if status in UNFINISHED:
        return ProviderProtocolError(
            f"The provider answered before it was done: the answer is {status!r}.",
            solution="Take 'background' out of the provider options: nobody comes back for the answer.",
            upstream_status=200,
        )
    if status in ("failed", "cancelled"):
        return ProviderInternalError(f"The provider ended the answer as {masked(status)!r}.", upstream_status=200)
    return None


def _named(said: Said, fault: GatewayError) -> GatewayError:
    kind = KINDS.get(said.code.lower()) or KINDS.get(said.type.lower())
    if kind is None or type(fault) is kind:
        return fault
    return kind(fault.message, retry_after=fault.retry_after, upstream_status=fault.upstream_status)
