"""Requests and responses as dicts: nothing is lost, and every mistake is named with its field."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from aimanager_server.core.content import (
    Artifact,
    Attachment,
    Effort,
    JsonObjectFormat,
    JsonSchemaFormat,
    Message,
    Reasoning,
    ReasoningOptions,
    Role,
    Sampling,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolMode,
    ToolResult,
)
from aimanager_server.core.response import FinishReason
from aimanager_server.core.usage import Cost, Usage
from aimanager_server.extensions.checks import checked_request, checked_response
from aimanager_server.extensions.dict_form import (
    InvalidResult,
    request_from_dict,
    request_to_dict,
    response_from_dict,
    response_to_dict,
)
from aimanager_server.extensions.views import ExtensionCall, ExtensionRequest, ExtensionResponse

CALL = ExtensionCall("call-1", "ann", "latest", "mock", "mock-large", "", is_streamed=False)
FILE = Attachment("text/plain", "a.txt", b"data")
REQUEST = ExtensionRequest(
    messages=(
        Message(Role.USER, (Text("Hi"), FILE)),
        Message(Role.ASSISTANT, (Reasoning("Hm.", provider_state=b"s"), ToolCall("1", "f", "{}")), "mock", "m"),
        Message(Role.USER, (ToolResult("1", "f", "ok", (FILE,)),)),
    ),
    history=(Message(Role.USER, (Text("Before", b"t"),)),),
    system_instruction="Be brief.",
    sampling=Sampling(10, 0.5, stop_sequences=("a", "b")),
    reasoning=ReasoningOptions(Effort.LOW, include=True),
    tools=(Tool("f", "does f"),),
    tool_choice=ToolChoice(ToolMode.AUTO),
    output_format=JsonSchemaFormat("city", "{}"),
    labels={"team": "a"},
    end_user_id="u",
    provider_options={"mock": {"script": "x"}},
)
RESPONSE = ExtensionResponse(
    (Text("Hello"), ToolCall("1", "f", "{}")), "mock", "m", FinishReason.STOP, Usage(1, 2), Cost(3, 4), "",
    (Artifact("a-1", "a.py", "text/x-python", text="x"),),
)  # fmt: skip


def test_a_request_is_the_same_after_it_was_a_dict() -> None:
    sent = request_to_dict(CALL, REQUEST)

    result = request_from_dict(deepcopy(sent), sent)

    assert result == REQUEST
    assert checked_request(result, REQUEST) == REQUEST


def test_keys_that_are_missing_are_as_if_not_set_but_for_the_history() -> None:
    sent = request_to_dict(CALL, REQUEST)

    result = request_from_dict({"messages": [{"role": "user", "content": "New"}]}, sent)

    assert result == ExtensionRequest((Message(Role.USER, (Text("New"),)),), REQUEST.history)


def test_a_json_object_is_an_output_format() -> None:
    request = ExtensionRequest((Message(Role.USER, (Text("Hi"),)),), output_format=JsonObjectFormat())
    sent = request_to_dict(CALL, request)

    assert request_from_dict(sent, sent) == request


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda data: 5, "process_request() must be a dict, got int"),
        (lambda data: None, "process_request() must be a dict, got NoneType"),
        (lambda data: data | {"mesages": []}, "process_request() has an unknown key 'mesages'"),
        (lambda data: data | {"model": "other"}, "model must not be changed"),
        (lambda data: data | {"messages": 5}, "messages must be a list, got int"),
        (lambda data: data | {"messages": [5]}, "messages[0] must be a dict, got int"),
        (lambda data: data | {"messages": [{"role": "system"}]}, "messages[0].role must be one of user, assistant"),
        (lambda data: data | {"messages": [{"role": "user", "parts": [{}]}]}, "messages[0].parts[0] must have one of"),
        (
            lambda data: data | {"messages": [{"role": "user", "parts": [{"text": "a"}], "content": "b"}]},
            "messages[0] must not have both content and parts",
        ),
        (
            lambda data: data | {"messages": [{"role": "user", "parts": [{"tool_call": {"id": "1"}}]}]},
            "messages[0].parts[0].tool_call is incomplete",
        ),
        (lambda data: data | {"sampling": {"heat": 1}}, "sampling has an unknown key 'heat'"),
        (lambda data: data | {"sampling": {"stop_sequences": "a"}}, "sampling.stop_sequences must be a list, got str"),
        (lambda data: data | {"reasoning": {"effort": "huge"}}, "reasoning.effort must be one of none, minimal"),
        (lambda data: data | {"tool_choice": {"mode": "never"}}, "tool_choice.mode must be one of auto, required"),
        (lambda data: data | {"output_format": {}}, "output_format must have one of the keys json_object"),
    ],
)
def test_an_invalid_request_names_the_field(change: Callable[[dict[str, Any]], Any], problem: str) -> None:
    sent = request_to_dict(CALL, REQUEST)

    with pytest.raises(InvalidResult) as caught:
        request_from_dict(change(deepcopy(sent)), sent)

    assert str(caught.value).startswith(problem)


def test_a_response_is_the_same_after_it_was_a_dict() -> None:
    sent = response_to_dict(CALL, RESPONSE)

    assert response_from_dict(deepcopy(sent), sent, RESPONSE) is RESPONSE


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({"content": "Bye"}, (Text("Bye"), ToolCall("1", "f", "{}"))),
        ({"parts": [{"text": "Bye"}]}, (Text("Bye"),)),
    ],
)
def test_content_or_parts_of_a_response_can_be_changed(change: dict[str, Any], parts: tuple[Any, ...]) -> None:
    sent = response_to_dict(CALL, RESPONSE)

    changed = response_from_dict(sent | change, sent, RESPONSE)

    assert checked_response(changed, RESPONSE).parts == parts


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"usage": {}}, "usage must not be changed; change content or parts"),
        ({"content": 5}, "content must be str, got int"),
        ({"content": "a", "parts": []}, "content must not be changed together with parts"),
        ({"parts": [{"text": "a", "tool_call": {}}]}, "parts[0] has an unknown key 'tool_call'"),
    ],
)
def test_an_invalid_response_names_the_field(change: dict[str, Any], problem: str) -> None:
    sent = response_to_dict(CALL, RESPONSE)

    with pytest.raises(InvalidResult) as caught:
        response_from_dict(sent | change, sent, RESPONSE)

    assert str(caught.value).startswith(problem)


def test_the_state_of_a_changed_part_is_removed_since_it_signs_what_the_part_was() -> None:
    signed = Reasoning("Hm.", provider_state=b"signature")
    sent = ExtensionRequest((Message(Role.ASSISTANT, (signed, Text("a"))),), (Message(Role.USER, (Text("b"),)),))
    changed = ExtensionRequest(
        (Message(Role.ASSISTANT, (signed, Reasoning("Oh.", provider_state=b"signature"), Text("a", b"forged"))),),
        sent.history,
    )

    (message,) = checked_request(changed, sent).messages

    assert message.parts == (signed, Reasoning("Oh."), Text("a"))


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"parts": (ToolResult("1", "f", "ok"),)}, "parts[0] must be a text, reasoning or a tool call"),
        ({"usage": Usage(9, 9)}, "usage must not be changed"),
        ({"finish_reason": "stop"}, "finish_reason must be an instance of FinishReason"),
    ],
)
def test_only_the_parts_of_a_response_can_be_changed(changes: dict[str, Any], problem: str) -> None:
    fields = {name: getattr(RESPONSE, name) for name in ExtensionResponse.__slots__}

    with pytest.raises(InvalidResult) as caught:
        checked_response(ExtensionResponse(**(fields | changes)), RESPONSE)

    assert str(caught.value).startswith(problem)


def test_the_history_keeps_its_length() -> None:
    with pytest.raises(InvalidResult, match="history must keep its 1 messages, got 0"):
        checked_request(ExtensionRequest(REQUEST.messages), REQUEST)
