"""Validation of the messages of a request."""

from __future__ import annotations

import pytest

from aimanager_server.config.settings import Limits
from aimanager_server.core.content import Attachment, Message, Part, Reasoning, Role, Text, ToolCall, ToolResult
from aimanager_server.core.errors import InvalidRequest, PayloadTooLarge
from aimanager_server.core.request import GenerateParams
from tests.support.resolver import (
    WEATHER,
    assistant_message,
    generate_params,
    make_resolver,
    resolve,
    user_message,
)

PNG = Attachment("image/png", data=b"png")
CALL = ToolCall("a", "get_weather", "{}")
RESULT = ToolResult("a", "get_weather", "Sunny")
RESOLVER = make_resolver()


def violations(*messages: Message, limits: Limits | None = None) -> dict[str, str]:
    resolver = RESOLVER if limits is None else make_resolver(limits=limits)
    with pytest.raises(InvalidRequest) as raised:
        resolve(generate_params("mock/latest", *messages), resolver)
    return {violation.field: violation.description for violation in raised.value.violations}


def is_valid(*messages: Message) -> bool:
    return resolve(generate_params("mock/latest", *messages, tools=(WEATHER,)), RESOLVER).messages == messages


def test_request_needs_a_message() -> None:
    with pytest.raises(InvalidRequest, match="messages must have at least one message"):
        resolve(GenerateParams(messages=(), model="mock/latest"))


def test_number_of_messages_is_limited() -> None:
    found = violations(user_message("a"), user_message("b"), limits=Limits(max_messages=1))

    assert found == {"messages": "must have at most 1 items, got 2"}


def test_number_of_parts_is_limited() -> None:
    found = violations(user_message("a", "b"), limits=Limits(max_parts_per_message=1))

    assert found == {"messages[0].parts": "must have at most 1 items, got 2"}


def test_message_needs_a_part() -> None:
    found = violations(user_message("a"), user_message())

    assert found == {"messages[1].parts": "must have at least one part; omit empty messages"}


def test_user_message_needs_content() -> None:
    assert violations(user_message("", "")) == {"messages[0].parts": "must have content, but every text is empty"}


def test_empty_text_next_to_content_is_valid() -> None:
    assert is_valid(user_message("", "a"), assistant_message(""), user_message("", PNG))


def test_first_message_must_be_the_users() -> None:
    found = violations(assistant_message("Hi"), user_message("Hello"))

    assert found == {"messages[0].role": "must be user: the first message of a conversation is the user's"}


@pytest.mark.parametrize(
    ("message", "field", "role"),
    [
        (Message(Role.USER, (Reasoning("hm"),)), "messages[1].parts[0].reasoning", "assistant"),
        (Message(Role.ASSISTANT, (Text("a"), PNG)), "messages[1].parts[1].attachment", "user"),
        (Message(Role.USER, (CALL,)), "messages[1].parts[0].tool_call", "assistant"),
        (Message(Role.ASSISTANT, (CALL, RESULT)), "messages[1].parts[1].tool_result", "user"),
    ],
)
def test_part_of_the_wrong_role_is_rejected(message: Message, field: str, role: str) -> None:
    found = violations(user_message("Hello"), message)

    assert found[field] == f"is only allowed in {role} messages"


def test_reasoning_in_an_assistant_message_is_valid() -> None:
    assert is_valid(user_message("Hello"), assistant_message(Reasoning("hm"), "Hi"), user_message("Bye"))


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (ToolCall("", "f", "{}"), "messages[1].parts[0].tool_call.id"),
        (ToolCall("x", "", "{}"), "messages[1].parts[0].tool_call.name"),
    ],
)
def test_tool_call_needs_an_id_and_a_name(call: ToolCall, field: str) -> None:
    assert violations(user_message("Hello"), assistant_message(call))[field] == "must not be empty"


def test_arguments_of_a_tool_call_may_be_invalid_json() -> None:
    calls = [ToolCall("a", "f", arguments) for arguments in ("", "{", "[]", "null")]

    rejected = [
        call for call in calls if not is_valid(user_message("Hello"), assistant_message(call), user_message(RESULT))
    ]

    assert rejected == []


def test_images_pdf_and_text_are_accepted() -> None:
    images_and_pdf = ("image/png", "image/jpeg", "image/gif", "image/webp", "application/pdf")
    text = ("text/plain", "text/csv; charset=utf-8", "application/json")
    attachments = [Attachment(mime_type, data=b"x") for mime_type in (*images_and_pdf, *text)]

    assert is_valid(user_message(*attachments))


@pytest.mark.parametrize("mime_type", ["", "png", "Image/PNG", "audio/wav", "image/png; q=1", "text/", "image/tiff"])
def test_other_mime_types_are_rejected(mime_type: str) -> None:
    found = violations(user_message(Attachment(mime_type, data=b"x")))

    assert list(found) == ["messages[0].parts[0].attachment.mime_type"]
    assert found["messages[0].parts[0].attachment.mime_type"].endswith(f"in lower case, got {mime_type!r}")


@pytest.mark.parametrize(
    ("attachment", "field"),
    [
        (Attachment("image/png"), ""),
        (Attachment("image/png", data=b"x", uri="https://a.example/x.png"), ""),
        (Attachment("image/png", data=b""), ".data"),
        (Attachment("text/plain", uri="https://a.example/x.txt"), ".uri"),
    ],
)
def test_attachment_needs_exactly_one_readable_source(attachment: Attachment, field: str) -> None:
    assert list(violations(user_message(attachment))) == [f"messages[0].parts[0].attachment{field}"]


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "http://a.example/x.png",
        "file:///etc/passwd",
        "data:image/png;base64,AAAA",
        "https://",
        "https://user:secret@a.example/x.png",
        "https://user@a.example/x.png",
        "https://[::1/x.png",
        "https://a.example/x y.png",
        "https://a.example/x\ny.png",
        "https://a.example/ü.png",
        "https://a.example/" + "x" * 8192,
    ],
)
def test_invalid_url_is_rejected_and_never_repeated(uri: str) -> None:
    found = violations(user_message(Attachment("image/png", uri=uri)))

    assert list(found) == ["messages[0].parts[0].attachment.uri"]
    assert "secret" not in str(found)


def test_https_url_is_accepted() -> None:
    assert is_valid(user_message(Attachment("image/png", uri="https://a.example:8443/x.png?signature=1")))


def test_attachments_of_tool_results_are_validated() -> None:
    result = ToolResult("a", "f", "See", (PNG, Attachment("audio/wav", data=b"x")))

    found = violations(user_message("Hello"), assistant_message(CALL), user_message(result))

    assert list(found) == ["messages[2].parts[0].tool_result.attachments[1].mime_type"]


def test_oversized_attachment_is_rejected_with_both_sizes() -> None:
    resolver = make_resolver(limits=Limits(max_attachment_bytes=2))

    with pytest.raises(PayloadTooLarge, match="must have at most 2 bytes, got 3") as raised:
        resolve(generate_params("mock/latest", user_message(PNG)), resolver)

    assert raised.value.metadata == {"limit": "2", "actual": "3"}
    assert raised.value.violations[0].field == "messages[0].parts[0].attachment.data"


def test_invalid_field_takes_precedence_over_an_oversized_one() -> None:
    message = user_message(PNG, Attachment("audio/wav", data=b"x"))

    found = violations(message, limits=Limits(max_attachment_bytes=2))

    assert list(found) == ["messages[0].parts[1].attachment.mime_type", "messages[0].parts[0].attachment.data"]


@pytest.mark.parametrize(
    "messages",
    [
        (assistant_message(CALL), user_message(RESULT)),
        (
            assistant_message("Let me see", CALL, ToolCall("b", "f", "{}")),
            user_message(ToolResult("b", "", "1"), RESULT, "and?"),
        ),
        (
            assistant_message(CALL, ToolCall("b", "f", "{}")),
            user_message(RESULT),
            user_message(ToolResult("b", "f", "1")),
        ),
        (
            assistant_message(CALL),
            user_message(RESULT),
            assistant_message(ToolCall("b", "f", "{}")),
            user_message(ToolResult("b", "f", "1")),
        ),
    ],
    ids=["one", "two in one message", "two in two messages", "one after the other"],
)
def test_tool_calls_with_results_are_valid(messages: tuple[Message, ...]) -> None:
    assert is_valid(user_message("Hello"), *messages)


@pytest.mark.parametrize(
    ("messages", "field", "description"),
    [
        (
            (user_message(RESULT),),
            "messages[1].parts[0].tool_result.tool_call_id",
            "must be the id of an earlier tool call, got 'a'",
        ),
        ((assistant_message(CALL),), "messages[1].parts[0].tool_call.id", "'a' has no tool result"),
        (
            (assistant_message(CALL), user_message("Well?")),
            "messages[1].parts[0].tool_call.id",
            "'a' has no tool result",
        ),
        (
            (assistant_message(CALL), assistant_message("So"), user_message("?")),
            "messages[1].parts[0].tool_call.id",
            "'a' has no tool result",
        ),
        (
            (assistant_message(CALL), user_message(RESULT, RESULT)),
            "messages[2].parts[1].tool_result.tool_call_id",
            "refers to tool call 'a', which already has a result",
        ),
        (
            (assistant_message(CALL, CALL), user_message(RESULT)),
            "messages[1].parts[1].tool_call.id",
            "duplicates the id 'a' of an earlier tool call",
        ),
        (
            (assistant_message(CALL), user_message(RESULT), assistant_message(CALL), user_message(RESULT)),
            "messages[3].parts[0].tool_call.id",
            "duplicates the id 'a' of an earlier tool call",
        ),
    ],
)
def test_unmatched_tool_calls_and_results_are_rejected(
    messages: tuple[Message, ...], field: str, description: str
) -> None:
    assert description in violations(user_message("Hello"), *messages)[field]


def test_long_id_is_shortened_in_the_description() -> None:
    parts: tuple[Part, ...] = (ToolResult("x" * 10_000, "f", ""),)

    assert all(len(description) < 200 for description in violations(Message(Role.USER, parts)).values())
