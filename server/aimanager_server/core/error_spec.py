"""The properties that all errors of one class share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

StatusCode = Literal[
    "INVALID_ARGUMENT",
    "UNAUTHENTICATED",
    "PERMISSION_DENIED",
    "FAILED_PRECONDITION",
    "NOT_FOUND",
    "RESOURCE_EXHAUSTED",
    "UNAVAILABLE",
    "ABORTED",
    "DEADLINE_EXCEEDED",
    "INTERNAL",
]
FallbackRule = Literal["next", "larger", "never"]
BreakerEffect = Literal["ignore", "count", "open", "open_model"]
"""Whether an error counts as a failure, or opens the breaker at once: that of the API key, or only of the model."""


@dataclass(frozen=True, slots=True)
class ErrorSpec:
    """Properties that all errors of one class share.

    `retryable`: the gateway may retry the same target before the first content. `fallback`: which other targets may be
    tried. `breaker_effect`: whether the error counts as a failure of the provider. `client_may_retry`: the client may
    retry the call automatically. `solution`: the default advice for the reader.
    """

    code: StatusCode
    reason: str
    solution: str
    retryable: bool = False
    fallback: FallbackRule = "never"
    breaker_effect: BreakerEffect = "ignore"
    client_may_retry: bool = False
