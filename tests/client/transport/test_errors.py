"""Every failure becomes an exception that says what to do, and what is resent is resent once."""

from __future__ import annotations

import pickle
import traceback

import grpc
import pytest
from google.protobuf.any_pb2 import Any
from google.rpc import error_details_pb2, status_pb2

from aimanager import (
    AIError,
    AIManager,
    AsyncAIManager,
    ConfigurationError,
    InvalidRequestError,
    ProviderError,
    RateLimitError,
)
from aimanager.errors import CLASSES
from aimanager.types.usage import Attempt
from aimanager_server.errors import Internal  # noqa: F401  # loads the table
from aimanager_server.fault import Fault, every
from tests.support.fake_gateway.server import DETAILS, FakeGateway, Refusal, refusal, route

Code = grpc.StatusCode
EXPECTED = {
    "INVALID_FIELD": "InvalidRequestError",
    "CAPABILITY_UNSUPPORTED": "InvalidRequestError",
    "PAYLOAD_TOO_LARGE": "InvalidRequestError",
    "CONTEXT_TOO_LONG": "InvalidRequestError",
    "CONTENT_BLOCKED": "InvalidRequestError",
    "API_KEY_INVALID": "ConfigurationError",
    "ACCESS_DENIED": "ConfigurationError",
    "MISSING_CREDENTIALS": "MissingCredentialsError",
    "PROVIDER_NOT_FOUND": "InvalidProviderError",
    "MODEL_NOT_FOUND": "InvalidModelError",
    "RATE_LIMITED": "RateLimitError",
    "OVERLOADED": "AIError",
    "PROVIDER_REJECTED_REQUEST": "ProviderError",
    "PROVIDER_KEY_REJECTED": "ProviderError",
    "PROVIDER_CREDENTIALS_INVALID": "ProviderError",
    "PROVIDER_QUOTA_EXHAUSTED": "ProviderError",
    "PROVIDER_RATE_LIMITED": "RateLimitError",
    "PROVIDER_TIMEOUT": "ProviderError",
    "FIRST_TOKEN_TIMEOUT": "ProviderError",
    "PROVIDER_ERROR": "ProviderError",
    "PROVIDER_OVERLOADED": "ProviderError",
    "PROVIDER_UNREACHABLE": "ProviderError",
    "PROVIDER_UNTRUSTED": "ProviderError",
    "PROVIDER_PROTOCOL": "ProviderError",
    "CIRCUIT_OPEN": "CircuitOpenError",
    "STREAM_INTERRUPTED": "StreamInterruptedError",
    "OUTPUT_SCHEMA_MISMATCH": "ProviderError",
    "DEADLINE_EXCEEDED": "AIError",
    "INTERNAL_ERROR": "AIError",
}


def failure(fake: FakeGateway, ai: AIManager, refused: Refusal) -> AIError:
    fake.will("Generate", refused)
    with pytest.raises(AIError) as raised:
        ai.request("Hi")
    return raised.value


def with_details(*details: Any, code: grpc.StatusCode = Code.NOT_FOUND) -> Refusal:
    status = status_pb2.Status(details=details)
    return Refusal(code, "No.", ((DETAILS, status.SerializeToString()),))


@pytest.mark.parametrize("fault", list(every()), ids=lambda fault: fault.row.reason)
def test_every_reason_of_the_server_has_its_exception(fake: FakeGateway, ai: AIManager, fault: type[Fault]) -> None:
    raised = failure(fake, ai, refusal(grpc.StatusCode[fault.row.code], fault.row.reason, solution=fault.row.solution))

    assert type(raised).__name__ == EXPECTED[fault.row.reason]
    assert raised.reason == fault.row.reason
    assert raised.solution == fault.row.solution


def test_the_table_holds_no_reason_the_server_has_not() -> None:
    assert set(CLASSES) <= {fault.row.reason for fault in every()} == set(EXPECTED)


def test_an_exception_carries_every_detail(fake: FakeGateway, ai: AIManager) -> None:
    field = error_details_pb2.BadRequest.FieldViolation(field="messages[0]", description="is empty")
    told = refusal(
        Code.INVALID_ARGUMENT,
        "INVALID_FIELD",
        "messages[0] is empty",
        retry_after=0.25,
        details=[error_details_pb2.BadRequest(field_violations=[field]), route()],
        metadata={"provider": "mock", "model": "m", "requestId": "req-1", "nearest": "n"},
        solution="Say something.",
    )

    raised = failure(fake, ai, told)

    assert str(raised) == "messages[0] is empty"
    assert (raised.provider, raised.model, raised.request_id) == ("mock", "m", "req-1")
    assert raised.context == {"nearest": "n"}
    assert raised.retry_after == 0.25
    assert [(row.field, row.description) for row in raised.fields] == [("messages[0]", "is empty")]
    assert raised.attempts[1] == Attempt("mock", "mock-large", "", 1.0)
    assert raised.usage is None


def test_the_solution_is_shown_in_a_traceback(fake: FakeGateway, ai: AIManager) -> None:
    raised = failure(fake, ai, refusal(Code.NOT_FOUND, "MODEL_NOT_FOUND", solution="Name another."))

    assert "Solution: Name another." in "".join(traceback.format_exception(raised))


def test_an_exception_survives_pickling() -> None:
    raised = RateLimitError("Wait.", retry_after=2.0, solution="Wait.", context={"quota": "1"})

    again = pickle.loads(pickle.dumps(raised))  # our own bytes

    assert (str(again), again.retry_after, again.context) == ("Wait.", 2.0, {"quota": "1"})


def test_a_provider_reason_of_a_newer_server_is_a_provider_error(fake: FakeGateway, ai: AIManager) -> None:
    raised = failure(fake, ai, refusal(Code.UNAVAILABLE, "PROVIDER_ON_FIRE"))

    assert type(raised) is ProviderError
    assert raised.reason == "PROVIDER_ON_FIRE"


@pytest.mark.parametrize(("code", "kind"), [(Code.INVALID_ARGUMENT, InvalidRequestError), (Code.DATA_LOSS, AIError)])
def test_another_reason_of_a_newer_server_goes_by_its_code(
    fake: FakeGateway, ai: AIManager, code: grpc.StatusCode, kind: type[AIError]
) -> None:
    raised = failure(fake, ai, refusal(code, "TOO_SILLY"))

    assert type(raised) is kind
    assert raised.reason == "TOO_SILLY"


@pytest.mark.parametrize(
    ("code", "kind", "solution"),
    [
        (Code.UNIMPLEMENTED, AIError, "is an aimanager server"),
        (Code.INVALID_ARGUMENT, InvalidRequestError, "Correct the request"),
        (Code.NOT_FOUND, InvalidRequestError, "aimanager models"),
        (Code.UNAUTHENTICATED, ConfigurationError, "token"),
        (Code.PERMISSION_DENIED, ConfigurationError, "operator"),
        (Code.RESOURCE_EXHAUSTED, AIError, "36 MiB"),
        (Code.UNKNOWN, AIError, "operator of 127.0.0.1"),
        (Code.DATA_LOSS, AIError, "operator of 127.0.0.1"),
    ],
)
def test_a_bare_status_goes_by_its_code(
    fake: FakeGateway, ai: AIManager, code: grpc.StatusCode, kind: type[AIError], solution: str
) -> None:
    raised = failure(fake, ai, Refusal(code, "No."))

    assert type(raised) is kind
    assert (str(raised), raised.reason) == ("No.", code.name)
    assert solution in raised.solution


def test_a_status_without_a_message_is_named_by_its_code(fake: FakeGateway, ai: AIManager) -> None:
    assert str(failure(fake, ai, Refusal(Code.NOT_FOUND, ""))) == "NOT_FOUND"


def info(domain: str) -> Any:
    packed = Any()
    packed.Pack(error_details_pb2.ErrorInfo(reason="RATE_LIMITED", domain=domain))
    return packed


def broken(kind: str) -> Any:
    return Any(type_url=f"type.googleapis.com/{kind}", value=b"\xff\xff\xff")


@pytest.mark.parametrize(
    "refused",
    [
        Refusal(Code.NOT_FOUND, "No.", ((DETAILS, b"\xff\xff\xffgarbage"),)),
        Refusal(Code.NOT_FOUND, "No.", ((DETAILS, b""),)),
        with_details(info("istio.io")),
        with_details(broken("google.rpc.ErrorInfo")),
    ],
    ids=["garbage", "empty", "foreign", "broken"],
)
def test_details_that_cannot_be_read_leave_code_and_message(fake: FakeGateway, ai: AIManager, refused: Refusal) -> None:
    raised = failure(fake, ai, refused)

    assert (type(raised), raised.reason, str(raised)) == (InvalidRequestError, "NOT_FOUND", "No.")


def test_a_broken_detail_leaves_the_others(fake: FakeGateway, ai: AIManager) -> None:
    raised = failure(fake, ai, with_details(info("aimanager.dev"), broken("google.rpc.RetryInfo")))

    assert type(raised) is RateLimitError
    assert raised.retry_after is None


def test_details_beyond_the_metadata_limit_do_not_crash(fake: FakeGateway, ai: AIManager) -> None:
    raised = failure(fake, ai, refusal(Code.NOT_FOUND, "MODEL_NOT_FOUND", solution="x" * 40_000))

    assert isinstance(raised, AIError)


def test_no_server_says_how_to_start_one() -> None:
    with AIManager("", "mock", target="127.0.0.1:1", retries=0) as ai, pytest.raises(AIError) as raised:
        ai.request("Hi")

    assert raised.value.reason == "UNAVAILABLE"
    assert "Is the server running at 127.0.0.1:1? Start it with `make run`" in raised.value.solution


async def test_the_async_client_raises_the_same(fake: FakeGateway, async_ai: AsyncAIManager) -> None:
    fake.will("Generate", refusal(Code.UNAVAILABLE, "CIRCUIT_OPEN", retry_after=3))

    with pytest.raises(ProviderError) as raised:
        await async_ai.request("Hi")

    assert raised.value.retry_after == 3
