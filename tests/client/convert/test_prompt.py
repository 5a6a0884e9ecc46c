"""What a prompt may be, and how files join it."""

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
from aimanager.v1 import content_pb2, generation_pb2
from tests.support.fake_gateway.server import FakeGateway, answer

PNG = b"\x89PNG\r\n\x1a\n"


def sent(fake: FakeGateway) -> generation_pb2.GenerateRequest:
    request: generation_pb2.GenerateRequest = fake.received[-1].request
    request.ClearField("idempotency_key")
    return request


def test_a_list_is_a_history(fake: FakeGateway, ai: AIManager) -> None:
    first = ai.request("Hi")

    ai.request([user("Hi"), first, "And now?", Part(text="Well?")])

    assert list(sent(fake).messages) == [user("Hi"), first.message, user("And now?"), user("Well?")]


def test_provider_state_goes_back_byte_for_byte(fake: FakeGateway, ai: AIManager) -> None:
    state = bytes(range(256))
    whole = answer()
    whole.message.parts[0].provider_state = state
    fake.will("Generate", whole)

    ai.request([ai.request("Hi"), "Go on"])

    assert sent(fake).messages[0].parts[0].provider_state == state


def test_attachments_join_the_last_user_turn_after_tool_results(fake: FakeGateway, ai: AIManager) -> None:
    call = content_pb2.ToolCall(id="1", name="draw")
    turn = user(tool_result(call, "done"), "Like it?")

    ai.request([turn], attachments=[PNG])

    assert list(sent(fake).messages) == [user(tool_result(call, "done"), image(PNG), "Like it?")]
    assert len(turn.parts) == 2


def test_attachments_alone_are_a_turn(fake: FakeGateway, ai: AIManager) -> None:
    ai.request("", attachments=[PNG])

    assert list(sent(fake).messages) == [user(image(PNG))]


def test_attachments_follow_an_answer_in_a_turn_of_their_own(fake: FakeGateway, ai: AIManager) -> None:
    ai.request([assistant("Show me")], attachments=[PNG])

    assert list(sent(fake).messages) == [assistant("Show me"), user(image(PNG))]


def test_a_path_is_read_by_the_client(fake: FakeGateway, ai: AIManager, tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("remember")

    ai.request("What?", attachments=[notes, str(notes)])

    files = [part.attachment for part in sent(fake).messages[0].parts if part.HasField("attachment")]
    assert files == [attachment(b"remember", filename="notes.txt")] * 2


@pytest.mark.parametrize("prompt", ["", [], [""]])
def test_an_empty_prompt_is_refused(fake: FakeGateway, ai: AIManager, prompt: str | list[str]) -> None:
    with pytest.raises(InvalidRequestError, match="empty"):
        ai.request(prompt)

    assert not fake.received
