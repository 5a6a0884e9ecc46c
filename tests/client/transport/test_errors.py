"""Errors: classes, details, and field paths as parameter names."""

from __future__ import annotations

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
    InvalidModelError,
    InvalidRequestError,
    ProviderError,
    RateLimitError,
    user,
)
from aimanager.errors import ERROR_CLASSES, FieldViolation, error_class
from aimanager.types.usage import Attempt
from aimanager_server.core.errors import all_errors
from tests.support.fake_gateway.messages import DETAILS_KEY, error_status, make_execution
from tests.support.fake_gateway.server import ErrorStatus, FakeGateway

Code = grpc.StatusCode
EXPECTED = {
    "INVALID_FIELD": "InvalidRequestError",
    "CAPABILITY_UNSUPPORTED": "InvalidRequestError",
    "PAYLOAD_TOO_LARGE": "InvalidRequestError",
    "CONTEXT_TOO_LONG": "InvalidRequestError",
    "CONTENT_BLOCKED": "InvalidRequestError",
    "API_KEY_INVALID": "ConfigurationError",
    "API_KEY_EXPIRED": "ConfigurationError",
    "ACCESS_DENIED": "ConfigurationError",
    "MISSING_CREDENTIALS": "MissingCredentialsError",
    "LOOP_DETECTED": "ConfigurationError",
    "PROVIDER_NOT_FOUND": "InvalidProviderError",
    "MODEL_NOT_FOUND": "InvalidModelError",
    "RATE_LIMITED": "RateLimitError",
    "CONVERSATION_NOT_FOUND": "ConversationNotFoundError",
    "CONVERSATION_BUSY": "ConversationBusyError",
    "STORAGE_UNAVAILABLE": "AIError",
    "OVERLOADED": "AIError",
    "PROVIDER_REJECTED_REQUEST": "ProviderError",
    "PROVIDER_PERMISSION_DENIED": "ProviderError",
    "PROVIDER_MODEL_DENIED": "ProviderError",
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
    "DEADLINE_EXCEEDED": "DeadlineExceededError",
    "EXTENSION_FAILED": "AIError",
    "INTERNAL_ERROR": "AIError",
}


def failure(fake: FakeGateway, ai: AIManager, status: ErrorStatus) -> AIError:
    fake.respond("Generate", status)
    with pytest.raises(AIError) as raised:
        ai.request("Hi")
    return raised.value


def with_details(*details: Any, code: grpc.StatusCode = Code.NOT_FOUND) -> ErrorStatus:
    status = status_pb2.Status(details=details)
    return ErrorStatus(code, "Failed.", ((DETAILS_KEY, status.SerializeToString()),))


def test_every_reason_of_the_server_has_its_class() -> None:
    unexpected = {
        error.spec.reason: error_class(error.spec.reason)
        for error in all_errors()
        if getattr(error_class(error.spec.reason), "__name__", "") != EXPECTED.get(error.spec.reason)
    }

    assert unexpected == {}


def test_error_has_reason_and_solution_of_the_server(fake: FakeGateway, ai: AIManager) -> None:
    raised = failure(fake, ai, error_status(Code.NOT_FOUND, "MODEL_NOT_FOUND", solution="Use a model of ListModels."))

    assert type(raised) is InvalidModelError
    assert (raised.reason, raised.solution) == ("MODEL_NOT_FOUND", "Use a model of models.list().")


def test_error_classes_have_no_unknown_reason() -> None:
    assert set(ERROR_CLASSES) <= {error.spec.reason for error in all_errors()} == set(EXPECTED)


def test_error_has_every_detail(fake: FakeGateway, ai: AIManager) -> None:
    details = [violations(("sampling.temperature", "must be between 0.0 and 2.0, got 3.0")), make_execution()]
    status = error_status(
        Code.INVALID_ARGUMENT,
        "INVALID_FIELD",
        "sampling.temperature must be between 0.0 and 2.0, got 3.0",
        retry_after=0.25,
        details=details,
        metadata={"provider": "mock", "model": "m", "requestId": "req-1", "nearest": "n", "envVar": "KEY"},
        solution="Lower sampling.temperature.",
    )

    raised = failure(fake, ai, status)

    assert str(raised) == "temperature must be between 0.0 and 2.0, got 3.0"
    assert raised.solution == "Change temperature."  # the message says what it must be
    assert (raised.provider, raised.model, raised.request_id) == ("mock", "m", "req-1")
    assert raised.context == {"provider": "mock", "model": "m", "nearest": "n", "env_var": "KEY"}
    assert raised.retry_after == 0.25
    assert raised.fields == (FieldViolation("temperature", "must be between 0.0 and 2.0, got 3.0"),)
    assert raised.attempts[1] == Attempt("mock", "mock-large", "", 1.0)
    assert raised.usage is None


def test_field_paths_of_a_prompt_become_parameter_names(fake: FakeGateway, ai: AIManager) -> None:
    message = "request.messages[1].parts[1].text must not be empty"
    details = [violations(("request.messages[1].parts[1].text", "must not be empty"))]
    fake.respond("StreamGenerate", error_status(Code.INVALID_ARGUMENT, "INVALID_FIELD", message, details=details))

    with pytest.raises(InvalidRequestError) as raised:
        ai.stream(["Hi", user("a", "b")], attachments=[b"text"]).complete()

    assert str(raised.value) == "prompt[1].parts[0].text must not be empty"
    assert raised.value.fields == (FieldViolation("prompt[1].parts[0].text", "must not be empty"),)


def violations(*fields: tuple[str, str]) -> error_details_pb2.BadRequest:
    rows = [error_details_pb2.BadRequest.FieldViolation(field=field, description=text) for field, text in fields]
    return error_details_pb2.BadRequest(field_violations=rows)


def test_traceback_shows_the_solution_and_no_frames_of_grpc(fake: FakeGateway, ai: AIManager) -> None:
    raised = failure(fake, ai, error_status(Code.NOT_FOUND, "MODEL_NOT_FOUND", solution="Name another."))

    shown = "".join(traceback.format_exception(raised))
    assert "Solution: Name another." in shown
    assert "/grpc/" not in shown
    assert isinstance(raised.original_error, grpc.RpcError)


def test_unknown_provider_reason_is_a_provider_error(fake: FakeGateway, ai: AIManager) -> None:
    raised = failure(fake, ai, error_status(Code.UNAVAILABLE, "PROVIDER_ON_FIRE"))

    assert type(raised) is ProviderError
    assert raised.reason == "PROVIDER_ON_FIRE"


@pytest.mark.parametrize(("code", "kind"), [(Code.INVALID_ARGUMENT, InvalidRequestError), (Code.DATA_LOSS, AIError)])
def test_unknown_reason_is_classified_by_its_code(
    fake: FakeGateway, ai: AIManager, code: grpc.StatusCode, kind: type[AIError]
) -> None:
    raised = failure(fake, ai, error_status(code, "TOO_SILLY"))

    assert type(raised) is kind
    assert raised.reason == "TOO_SILLY"


@pytest.mark.parametrize(
    ("code", "kind", "solution"),
    [
        (Code.UNIMPLEMENTED, AIError, "is an aimanager server"),
        (Code.INVALID_ARGUMENT, InvalidRequestError, "Fix the problem"),
        (Code.NOT_FOUND, InvalidRequestError, "aimanager models"),
        (Code.UNAUTHENTICATED, ConfigurationError, "token"),
        (Code.PERMISSION_DENIED, ConfigurationError, "operator"),
        (Code.RESOURCE_EXHAUSTED, AIError, "Send less data"),
        (Code.UNKNOWN, AIError, "operator of 127.0.0.1"),
        (Code.DATA_LOSS, AIError, "operator of 127.0.0.1"),
    ],
)
def test_status_without_details_is_classified_by_its_code(
    fake: FakeGateway, ai: AIManager, code: grpc.StatusCode, kind: type[AIError], solution: str
) -> None:
    raised = failure(fake, ai, ErrorStatus(code, "Failed."))

    assert type(raised) is kind
    assert (str(raised), raised.reason) == ("Failed.", code.name)
    assert solution in raised.solution


def test_status_without_message_has_its_code_as_message(fake: FakeGateway, ai: AIManager) -> None:
    assert str(failure(fake, ai, ErrorStatus(Code.NOT_FOUND, ""))) == "NOT_FOUND"


def error_info(domain: str) -> Any:
    packed = Any()
    packed.Pack(error_details_pb2.ErrorInfo(reason="RATE_LIMITED", domain=domain))
    return packed


def unreadable(kind: str) -> Any:
    return Any(type_url=f"type.googleapis.com/{kind}", value=b"\xff\xff\xff")


@pytest.mark.parametrize(
    "status",
    [
        ErrorStatus(Code.NOT_FOUND, "Failed.", ((DETAILS_KEY, b"\xff\xff\xffgarbage"),)),
        ErrorStatus(Code.NOT_FOUND, "Failed.", ((DETAILS_KEY, b""),)),
        with_details(error_info("istio.io")),
        with_details(unreadable("google.rpc.ErrorInfo")),
    ],
    ids=["garbage", "empty", "foreign", "unreadable"],
)
def test_unreadable_details_leave_code_and_message(fake: FakeGateway, ai: AIManager, status: ErrorStatus) -> None:
    raised = failure(fake, ai, status)

    assert (type(raised), raised.reason, str(raised)) == (InvalidRequestError, "NOT_FOUND", "Failed.")


def test_one_unreadable_detail_leaves_the_others(fake: FakeGateway, ai: AIManager) -> None:
    raised = failure(fake, ai, with_details(error_info("aimanager.dev"), unreadable("google.rpc.RetryInfo")))

    assert type(raised) is RateLimitError
    assert raised.retry_after is None


def test_details_above_the_metadata_limit_still_raise(fake: FakeGateway, ai: AIManager) -> None:
    raised = failure(fake, ai, error_status(Code.NOT_FOUND, "MODEL_NOT_FOUND", solution="x" * 40_000))

    assert isinstance(raised, AIError)


def test_unreachable_server_suggests_to_start_one() -> None:
    with AIManager("", "mock", target="127.0.0.1:1", retries=0) as ai, pytest.raises(AIError) as raised:
        ai.request("Hi")

    assert raised.value.reason == "UNAVAILABLE"
    assert "Is the server running at 127.0.0.1:1? Start it with `make run`" in raised.value.solution


async def test_async_client_raises_the_same(fake: FakeGateway, async_ai: AsyncAIManager) -> None:
    fake.respond("Generate", error_status(Code.UNAVAILABLE, "CIRCUIT_OPEN", retry_after=3))

    with pytest.raises(ProviderError) as raised:
        await async_ai.request("Hi")

    assert raised.value.retry_after == 3
