"""Generate the error reference, docs/errors.md, from the error classes in `core.errors`."""

from __future__ import annotations

from ..core import errors
from ..core.errors import GatewayError, all_errors
from .reference.markdown import table

FALLBACKS = {"never": "no", "next": "next target", "larger": "larger context window"}
BREAKER_EFFECTS = {
    "ignore": "ignored",
    "count": "counted",
    "open": "opens at once",
    "open_model": "opens at once, for this model",
}

PREFACE = """\
# Errors

Every failure is a gRPC status whose details contain an `ErrorInfo` with domain `aimanager.dev` and one of the
[reasons](#reasons) below. Match on the reason: messages may change. A status without these details comes from gRPC
itself or from a proxy.

## In Python

The client raises a subclass of `AIError` with everything that the server sent:

```python
from aimanager import AIError, AIManager

ai = AIManager.gateway("127.0.0.1:50051")
try:
    ai.request("Hello. [[error: PROVIDER_RATE_LIMITED retry_after=200]]", model="mock/mock-large")
except AIError as error:
    print(error.reason, error, error.solution)  # PROVIDER_RATE_LIMITED, what happened, what to do
    print(error.retry_after, error.provider, error.request_id)  # seconds or None
    print(error.fields, error.context)  # invalid parameters; the metadata below
    print([attempt.error_reason for attempt in error.attempts], error.usage)
```

## In other languages

The trailer `grpc-status-details-bin` is a serialized `google.rpc.Status`, and each of its `details` is an `Any`. With
stubs in Python:

```python
import grpc
from aimanager.v1.content_pb2 import Message, Part, Role
from aimanager.v1.generation_pb2 import GenerateRequest
from aimanager.v1.generation_pb2_grpc import GenerationServiceStub
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

request = GenerateRequest(model="mock/mock-huge", messages=[Message(role=Role.ROLE_USER, parts=[Part(text="Hi")])])
with grpc.insecure_channel("127.0.0.1:50051") as channel:
    try:
        GenerationServiceStub(channel).Generate(request, timeout=10)
    except grpc.RpcError as error:
        status = Status.FromString(dict(error.trailing_metadata())["grpc-status-details-bin"])
        info = ErrorInfo()
        status.details[0].Unpack(info)
        assert (info.domain, info.reason) == ("aimanager.dev", "MODEL_NOT_FOUND")
        print(status.message, info.metadata["nearest"])
```

## Details

In this order:

| in | detail | content |
| --- | --- | --- |
| every error | `google.rpc.ErrorInfo` | `reason`, `domain` and `metadata` |
| every error | `google.rpc.LocalizedMessage` | the solution, in English |
| errors with a known delay | `google.rpc.RetryInfo` | `retry_delay`, if a retry after it can help |
| RESOURCE_EXHAUSTED | `google.rpc.QuotaFailure` | `subject`: caller or provider; `description`: quota and limit |
| FAILED_PRECONDITION | `google.rpc.PreconditionFailure` | `type`: the reason; `subject`: the provider |
| errors about fields | `google.rpc.BadRequest` | at most 16 violations: path of the `field`, `description` |
| errors after billed attempts | `aimanager.v1.Usage` | the tokens used |
| errors after attempts | `aimanager.v1.Execution` | every attempt with its target, outcome, duration, usage and cost |

Message and details take at most 6 KiB of the trailers: long texts are truncated, lists shortened, and the last details
omitted if necessary.

`ErrorInfo.metadata` holds, where known:

| in | key | value |
| --- | --- | --- |
| every error | `requestId` | the request id, also in the log |
| errors of a target | `provider`, `model` | its provider and model id |
| errors of a provider | `upstreamStatus` | its HTTP status |
| errors after attempts | `attempts` | their number |
| RATE_LIMITED, OVERLOADED | `quota`, `limit`, `subject` | the exceeded quota, its value, and the caller |
| PAYLOAD_TOO_LARGE | `limit`, `actual` | bytes |
| MODEL_NOT_FOUND, PROVIDER_NOT_FOUND | `nearest` | similar names |
| MODEL_NOT_FOUND | `replacement`, `retired` | the successor of a retired model, and the date |
| CAPABILITY_UNSUPPORTED | `models` | models that support the request |
| MISSING_CREDENTIALS | `envVar` | the environment variable of the API key, for admins |
| EXTENSION_FAILED | `extension` | the name of the extension |
| CONTENT_BLOCKED | `filter` | the [safety filter](safety-filters.md) that blocked the request |
| LOOP_DETECTED | `hops` | the number of gateways that the call has passed |
| OUTPUT_SCHEMA_MISMATCH | `path`, `keyword` | where the answer violates its schema, and which keyword |

## Other trailers

`grpc-retry-pushback-ms` tells gRPC clients with a retry policy whether to retry: `-1`, never, unless *client retry*
below is yes, since the gateway has already made the retries that help. `x-request-id` is the request id, which every
log line of the call contains. A caller may send its own id under the same name: up to 128 letters, digits, `.`, `_` and
`-`, starting with a letter or digit.

## Reasons

*Retried*: the gateway retries the same target. *Fallback*: the target the gateway tries next. *Circuit breaker*:
whether the failure counts against the provider. *Client retry*: a client may retry the call automatically.
"""

HEAD = ("reason", "gRPC code", "cause", "solution", "retried", "fallback", "circuit breaker", "client retry")


def error_reference() -> str:
    """Return the page as Markdown, in the order of `core/errors.py`."""
    rows = [_row(error) for error in all_errors() if error.__module__ == errors.__name__]
    return f"{PREFACE}\n{table(HEAD, rows)}"


def _row(error: type[GatewayError]) -> list[str]:
    spec = error.spec
    return [
        f"`{spec.reason}`",
        spec.code,
        " ".join((error.__doc__ or "").split()),
        spec.solution,
        "yes" if spec.retryable else "no",
        FALLBACKS[spec.fallback],
        BREAKER_EFFECTS[spec.breaker_effect],
        "yes" if spec.client_may_retry else "no",
    ]
