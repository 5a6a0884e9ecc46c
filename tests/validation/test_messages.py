"""What is refused in the turns of a conversation."""

from __future__ import annotations

import pytest

from aimanager_server.config.settings import Limits
from aimanager_server.core.content import Attachment, Message, Part, Reasoning, Role, Text, ToolCall, ToolResult
from aimanager_server.core.errors import InvalidRequest, PayloadTooLarge
from aimanager_server.core.request import GenerateParams
from tests.support.resolver import WEATHER, ask, assistant, resolve, resolver, user

PNG = Attachment("image/png", data=b"png")
CALL = ToolCall("a", "get_weather", "{}")
RESULT = ToolResult("a", "get_weather", "Sunny")


def refused(*messages: Message, limits: Limits | None = None) -> dict[str, str]:
    with pytest.raises(InvalidRequest) as fault:
        resolve(ask("mock/latest", *messages), resolver(limits=limits))
    return {violation.field: violation.description for violation in fault.value.violations}


def taken(*messages: Message) -> bool:
    return resolve(ask("mock/latest", *messages, tools=(WEATHER,))).messages == messages


def test_there_is_at_least_one_turn() -> None:
    with pytest.raises(InvalidRequest, match="messages: is empty"):
        resolve(GenerateParams(messages=(), model="mock/latest"))


def test_turns_are_counted() -> None:
    assert refused(user("a"), user("b"), limits=Limits(messages=1)) == {"messages": "there are 2, at most 1 are taken"}


def test_parts_are_counted() -> None:
    found = refused(user("a", "b"), limits=Limits(parts_per_message=1))

    assert found == {"messages[0].parts": "there are 2, at most 1 are taken"}


def test_a_turn_has_a_part() -> None:
    assert list(refused(user("a"), user())) == ["messages[1].parts"]


def test_a_user_says_something() -> None:
    assert refused(user("", "")) == {"messages[0].parts": "says nothing: every text is empty"}


def test_an_empty_text_beside_something_is_taken() -> None:
    assert taken(user("", "a"), assistant(""), user("", PNG))


def test_the_first_turn_is_the_users() -> None:
    assert refused(assistant("Hi"), user("Hello")) == {"messages[0].role": "the first turn must be the user's"}


@pytest.mark.parametrize(
    ("message", "field"),
    [
        (Message(Role.USER, (Reasoning("hm"),)), "messages[1].parts[0].reasoning"),
        (Message(Role.ASSISTANT, (Text("a"), PNG)), "messages[1].parts[1].attachment"),
        (Message(Role.USER, (CALL,)), "messages[1].parts[0].tool_call"),
    ],
)
def test_each_part_belongs_to_one_side(message: Message, field: str) -> None:
    assert field in refused(user("Hello"), message)


def test_a_result_belongs_to_the_user() -> None:
    found = refused(user("Hello"), assistant(CALL, RESULT))

    assert found == {"messages[1].parts[1].tool_result": "belongs in a user turn"}


def test_reasoning_belongs_to_the_assistant() -> None:
    assert taken(user("Hello"), assistant(Reasoning("hm"), "Hi"), user("Bye"))


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (ToolCall("", "f", "{}"), "messages[1].parts[0].tool_call.id"),
        (ToolCall("x", "", "{}"), "messages[1].parts[0].tool_call.name"),
    ],
)
def test_a_call_has_an_id_and_a_name(call: ToolCall, field: str) -> None:
    assert field in refused(user("Hello"), assistant(call))


@pytest.mark.parametrize("arguments", ["", "{", "[]", "null"])
def test_arguments_are_taken_as_the_model_wrote_them(arguments: str) -> None:
    assert taken(user("Hello"), assistant(ToolCall("a", "f", arguments)), user(RESULT))


@pytest.mark.parametrize(
    "mime_type",
    ["image/png", "image/jpeg", "image/gif", "image/webp", "application/pdf", "text/plain", "application/json"],
)
def test_images_pdf_and_text_are_taken(mime_type: str) -> None:
    assert taken(user(Attachment(mime_type, data=b"x"), Attachment("text/csv; charset=utf-8", data=b"x")))


@pytest.mark.parametrize("mime_type", ["", "png", "Image/PNG", "audio/wav", "image/png; q=1", "text/", "image/tiff"])
def test_other_media_are_not(mime_type: str) -> None:
    found = refused(user(Attachment(mime_type, data=b"x")))

    assert list(found) == ["messages[0].parts[0].attachment.mime_type"]
    assert repr(mime_type) in found["messages[0].parts[0].attachment.mime_type"]


@pytest.mark.parametrize(
    ("attachment", "where"),
    [
        (Attachment("image/png"), ""),
        (Attachment("image/png", data=b"x", uri="https://a.example/x.png"), ""),
        (Attachment("image/png", data=b""), ".data"),
        (Attachment("text/plain", uri="https://a.example/x.txt"), ".uri"),
    ],
)
def test_an_attachment_has_one_source_that_can_be_read(attachment: Attachment, where: str) -> None:
    assert list(refused(user(attachment))) == [f"messages[0].parts[0].attachment{where}"]


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
def test_an_address_is_https_and_never_repeated(uri: str) -> None:
    found = refused(user(Attachment("image/png", uri=uri)))

    assert list(found) == ["messages[0].parts[0].attachment.uri"]
    assert "secret" not in str(found)


def test_an_https_address_is_taken() -> None:
    assert taken(user(Attachment("image/png", uri="https://a.example:8443/x.png?signature=1")))


def test_the_attachments_of_a_result_are_looked_at_too() -> None:
    result = ToolResult("a", "f", "See", (PNG, Attachment("audio/wav", data=b"x")))

    found = refused(user("Hello"), assistant(CALL), user(result))

    assert list(found) == ["messages[2].parts[0].tool_result.attachments[1].mime_type"]


def test_an_attachment_that_is_too_large_is_refused_with_both_sizes() -> None:
    by = resolver(limits=Limits(attachment_bytes=2))

    with pytest.raises(PayloadTooLarge, match="has 3 bytes, at most 2 are taken") as fault:
        resolve(ask("mock/latest", user(PNG)), by)

    assert fault.value.metadata == {"limit": "2", "actual": "3"}
    assert fault.value.violations[0].field == "messages[0].parts[0].attachment.data"


def test_size_and_form_wrong_together_are_a_matter_of_form() -> None:
    found = refused(user(PNG, Attachment("audio/wav", data=b"x")), limits=Limits(attachment_bytes=2))

    assert list(found) == ["messages[0].parts[1].attachment.mime_type", "messages[0].parts[0].attachment.data"]


@pytest.mark.parametrize(
    "turns",
    [
        (assistant(CALL), user(RESULT)),
        (assistant("Let me see", CALL, ToolCall("b", "f", "{}")), user(ToolResult("b", "", "1"), RESULT, "and?")),
        (assistant(CALL, ToolCall("b", "f", "{}")), user(RESULT), user(ToolResult("b", "f", "1"))),
        (assistant(CALL), user(RESULT), assistant(ToolCall("b", "f", "{}")), user(ToolResult("b", "f", "1"))),
    ],
)
def test_every_call_with_its_result_is_taken(turns: tuple[Message, ...]) -> None:
    assert taken(user("Hello"), *turns)


@pytest.mark.parametrize(
    ("turns", "field", "said"),
    [
        ((user(RESULT),), "messages[1].parts[0].tool_result.tool_call_id", "'a' is the id of no call"),
        ((assistant(CALL),), "messages[1].parts[0].tool_call.id", "'a' has no result"),
        ((assistant(CALL), user("Well?")), "messages[1].parts[0].tool_call.id", "'a' has no result"),
        ((assistant(CALL), assistant("So"), user("?")), "messages[1].parts[0].tool_call.id", "'a' has no result"),
        (
            (assistant(CALL), user(RESULT, RESULT)),
            "messages[2].parts[1].tool_result.tool_call_id",
            "'a' was answered before",
        ),
        ((assistant(CALL, CALL), user(RESULT)), "messages[1].parts[1].tool_call.id", "'a' is the id of an earlier"),
        (
            (assistant(CALL), user(RESULT), assistant(CALL), user(RESULT)),
            "messages[3].parts[0].tool_call.id",
            "'a' is the id of an earlier",
        ),
    ],
)
def test_calls_and_results_have_to_match(turns: tuple[Message, ...], field: str, said: str) -> None:
    found = refused(user("Hello"), *turns)

    assert said in found[field]


def test_an_orphan_with_a_long_id_is_shown_in_part() -> None:
    parts: tuple[Part, ...] = (ToolResult("x" * 10_000, "f", ""),)

    assert all(len(description) < 200 for description in refused(Message(Role.USER, parts)).values())
