from dataclasses import replace

from aimanager_server.core.content import Attachment, Message, Reasoning, Role, Text, Tool, ToolCall, ToolResult
from aimanager_server.core.token_estimate import estimate_tokens
from tests.support.calls import make_attempt, make_call


def test_token_estimate_counts_all_text() -> None:
    parts = (
        Text("x" * 8),
        Reasoning("x" * 8),
        ToolCall("1", "f", "x" * 8),
        ToolResult("1", "f", "x" * 8),
        Attachment("image/png", data=b"x" * 100),
    )
    request = replace(
        make_call(), messages=(Message(Role.USER, parts),), system_instruction="x" * 4, tools=(Tool("f", "", "x" * 4),)
    )

    assert estimate_tokens(request) == 11


def test_estimate_of_an_attempt_counts_what_is_sent() -> None:
    attempt = make_attempt(make_call("x" * 40))

    before = estimate_tokens(attempt)
    attempt.system_instruction = "x" * 40

    assert (before, estimate_tokens(attempt)) == (11, 21)
