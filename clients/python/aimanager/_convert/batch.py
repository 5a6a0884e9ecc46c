"""Read the requests of a batch, before any of them is sent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import cast

from ..errors import InvalidRequestError
from ..options import BatchRequest, RequestOptions, request_options
from .prompt import Prompt

MAX_IN_FLIGHT = 10


@dataclass(frozen=True, slots=True)
class BatchItem:
    """One request of a batch."""

    prompt: Prompt
    options: RequestOptions


def read_batch(
    requests: Iterable[Prompt | BatchRequest], shared: RequestOptions, max_in_flight: int
) -> list[BatchItem]:
    """Return each request with its options, which override the shared ones.

    Raises TypeError for an unknown option, and InvalidRequestError for one prompt in place of a list and for a
    dict that is neither a request nor a message.
    """
    if isinstance(requests, str | Mapping) or not isinstance(requests, Iterable):
        raise InvalidRequestError(f"requests must be a list, got {type(requests).__name__}", 'Write batch(["…", "…"]).')
    if not isinstance(max_in_flight, int) or isinstance(max_in_flight, bool) or max_in_flight < 1:
        raise InvalidRequestError(
            f"max_in_flight must be a positive integer, got {max_in_flight!r}", f"Omit it for {MAX_IN_FLIGHT}."
        )
    shared = request_options("batch", shared)
    return [_item(request, shared, index) for index, request in enumerate(requests)]


def _item(request: Prompt | BatchRequest, shared: RequestOptions, index: int) -> BatchItem:
    if isinstance(request, Mapping) and not request.keys() & {"prompt", "role"}:
        raise InvalidRequestError(
            f"requests[{index}] must have the key 'prompt', or be a message with a role",
            'Write {"prompt": "…", "temperature": 0.5}.',
        )
    if not isinstance(request, Mapping) or "prompt" not in request:
        return BatchItem(cast("Prompt", request), shared)
    own = request_options("batch", cast("RequestOptions", {k: v for k, v in request.items() if k != "prompt"}))
    return BatchItem(request["prompt"], {**shared, **own})
