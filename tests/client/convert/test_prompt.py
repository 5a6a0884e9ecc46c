"""Prompts and attachments as messages, and the names of their fields."""

from __future__ import annotations

from pathlib import Path

import pytest

from aimanager import (
    AIManager,
    InvalidRequestError,
    Part,
    assistant,
    attachment,
    image,
    tool_result,
    user,
)
from aimanager._convert.prompt import Prompt, read_prompt
from aimanager.v1 import content_pb2, generation_pb2
from tests.support.fake_gateway.messages import make_response
from tests.support.fake_gateway.server import FakeGateway

PNG = b"\x89PNG\r\n\x1a\n"


def sent_request(fake: FakeGateway) -> generation_pb2.GenerateRequest:
    request: generation_pb2.GenerateRequest = fake.received[-1].request
    request.ClearField("idempotency_key")
    return request


def test_list_is_a_conversation(fake: FakeGateway, ai: AIManager) -> None:
    first = ai.request("Hi")

    ai.request([user("Hi"), first, "And now?", Part(text="Well?")])

    assert list(sent_request(fake).messages) == [user("Hi"), first.message, user("And now?"), user("Well?")]


def test_provider_state_is_returned_unchanged(fake: FakeGateway, ai: AIManager) -> None:
    state = bytes(range(256))
    response = make_response()
    response.message.parts[0].provider_state = state
    fake.respond("Generate", response)

    ai.request([ai.request("Hi"), "Go on"])

    assert sent_request(fake).messages[0].parts[0].provider_state == state


def test_attachments_join_the_last_user_message_after_tool_results(fake: FakeGateway, ai: AIManager) -> None:
    call = content_pb2.ToolCall(id="1", name="draw")
    message = user(tool_result(call, "done"), "Like it?")

    ai.request([message], attachments=[PNG])

    assert list(sent_request(fake).messages) == [user(tool_result(call, "done"), image(PNG), "Like it?")]
    assert len(message.parts) == 2


def test_attachments_alone_are_a_message(fake: FakeGateway, ai: AIManager) -> None:
    ai.request("", attachments=[PNG])

    assert list(sent_request(fake).messages) == [user(image(PNG))]


def test_attachments_follow_an_assistant_message_in_a_new_message(fake: FakeGateway, ai: AIManager) -> None:
    ai.request([assistant("Show me")], attachments=[PNG])

    assert list(sent_request(fake).messages) == [assistant("Show me"), user(image(PNG))]


def test_client_reads_paths(fake: FakeGateway, ai: AIManager, tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("remember")

    ai.request("What?", attachments=[notes, str(notes)])

    files = [part.attachment for part in sent_request(fake).messages[0].parts if part.HasField("attachment")]
    assert files == [attachment(b"remember", filename="notes.txt")] * 2


@pytest.mark.parametrize("prompt", ["", [], [""]])
def test_empty_prompt_is_rejected(fake: FakeGateway, ai: AIManager, prompt: str | list[str]) -> None:
    with pytest.raises(InvalidRequestError, match="prompt must not be empty"):
        ai.request(prompt)

    assert not fake.received


RESULT = tool_result(content_pb2.ToolCall(id="1", name="draw"), "done")
FILES = [image(PNG), image(PNG)]


@pytest.mark.parametrize(
    ("prompt", "path", "name"),
    [
        ("Hi", "messages[0].parts[0].text", "prompt"),
        ("Hi", "messages[0].role", "prompt"),
        ("Hi", "request.messages[0]", "prompt"),
        ("Hi", "messages", "prompt"),
        (user("Hi"), "messages[0].parts[0].text", "prompt.parts[0].text"),
        (["", "Hi", user("a")], "messages[0].parts[0].text", "prompt[1]"),
        (["", "Hi", user("a")], "messages[1].parts[0].text", "prompt[2].parts[0].text"),
        (["Hi", user("a")], "messages[1].role", "prompt[1].role"),
        ("Hi", "messages[7].parts[0].text", "prompt[7].parts[0].text"),
        ("Hi", "sampling.max_output_tokens", "max_tokens"),
        ("Hi", f"messages[{'9' * 5000}]", f"prompt[{'9' * 5000}]"),
    ],
)
def test_message_fields_have_the_callers_name(prompt: Prompt, path: str, name: str) -> None:
    assert read_prompt(prompt).field_name(path) == name


@pytest.mark.parametrize(
    ("prompt", "path", "name"),
    [
        ("Hi", "messages[0].parts[0].attachment.mime_type", "attachments[0].mime_type"),
        ("Hi", "messages[0].parts[1].attachment", "attachments[1]"),
        ("Hi", "messages[0].parts[2].text", "prompt"),
        (
            user("Hi", RESULT),
            "messages[0].parts[0].tool_result.tool_call_id",
            "prompt.parts[1].tool_result.tool_call_id",
        ),
        (user("Hi", RESULT), "messages[0].parts[1].attachment.data", "attachments[0].data"),
        (user("Hi", RESULT), "messages[0].parts[3].text", "prompt.parts[0].text"),
        (user("Hi", RESULT), "messages[0].parts[9].text", "prompt.parts[9].text"),
        ([assistant("Hi")], "messages[1].parts[1].attachment.uri", "attachments[1].uri"),
        ([assistant("Hi")], "messages[1].role", "attachments"),
        ([assistant("Hi")], "messages[0].parts[0].text", "prompt[0].parts[0].text"),
        ("", "messages[0].parts[0].attachment", "attachments[0]"),
    ],
)
def test_attachment_fields_have_the_callers_name(prompt: Prompt, path: str, name: str) -> None:
    assert read_prompt(prompt, FILES).field_name(path) == name
