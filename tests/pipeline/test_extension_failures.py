"""Extensions that fail, or return something invalid, fail their own call, or are left out of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from aimanager import AIError, AIResponse
from aimanager_server.extensions import (
    ContentBlocked,
    Event,
    ExtensionCall,
    ExtensionRequest,
    ExtensionResponse,
    Reasoning,
    Sampling,
    Text,
    ToolCall,
)
from tests.support.extensions import Tagging, client


def changing(**changes: Any) -> Tagging:
    """An extension that changes fields of the request."""

    class Changing(Tagging):
        async def on_request(self, call: ExtensionCall, request: ExtensionRequest) -> ExtensionRequest:
            return replace(request, **changes)

        on_completion = None  # type: ignore[assignment]

    return Changing("changing")


def test_a_changed_option_is_used_and_adapted_to_the_model() -> None:
    with client(changing(sampling=Sampling(max_output_tokens=2))) as ai:
        answer = ai.request("[[words: 9]]", max_tokens=5)

    assert answer.finish_reason == "max_tokens"
    assert answer.usage.output_tokens == 2


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"sampling": Sampling(temperature=3.0)}, "temperature must be between 0.0 and 2.0, got 3.0"),
        ({"sampling": None}, "sampling must be an instance of Sampling"),
        ({"messages": ()}, "messages"),
        ({"messages": None}, "messages must be a valid tuple"),
        ({"messages": ("Hi",)}, "prompt must be an instance of Message"),
        ({"history": (None,)}, "history[0] must be an instance of Message"),
        ({"system_instruction": 5}, "system must be a valid string"),
        ({"labels": {1: "a"}}, "labels"),
        ({"provider_options": {"nobody": {}}}, "provider_options"),
    ],
)
def test_an_invalid_request_of_an_extension_names_it_and_the_field(changes: dict[str, Any], problem: str) -> None:
    with client(changing(**changes)) as ai, pytest.raises(AIError) as caught:
        ai.request("Hi")

    assert caught.value.reason == "EXTENSION_FAILED"
    assert str(caught.value).startswith("Extension 'changing' returned an invalid request: ")
    assert problem in str(caught.value)
    assert caught.value.context["extension"] == "changing"


class Failing(Tagging):
    """Does something in one of its methods, after its tags."""

    def __init__(self, hook: str, act: Callable[[], Any]) -> None:
        super().__init__("failing")
        self._hook = hook
        self._act = act

    async def on_request(self, call: ExtensionCall, request: ExtensionRequest) -> Any:
        result = await super().on_request(call, request)
        return await self._act() if self._hook == "on_request" else result

    async def on_events(self, call: ExtensionCall, events: Sequence[Event]) -> Any:
        return await self._act() if self._hook == "on_events" else None

    async def on_completion(self, call: ExtensionCall, response: ExtensionResponse) -> Any:
        result = await super().on_completion(call, response)
        return await self._act() if self._hook == "on_completion" else result


async def raises() -> None:
    raise ValueError("canary")


async def exits() -> None:
    raise SystemExit


async def is_late() -> None:
    await asyncio.Event().wait()


async def returns_nonsense() -> int:
    return 5


FAULTS: dict[Callable[[], Any], tuple[str, dict[str, Any]]] = {
    raises: ("failed with ValueError", {}),
    exits: ("failed with SystemExit", {}),
    is_late: ("took longer than 0.05 s", {"timeout_seconds": 0.05}),
    returns_nonsense: ("returned an invalid", {}),
}


@pytest.mark.parametrize("run_in", ["event_loop", "thread"])
@pytest.mark.parametrize("act", FAULTS)
@pytest.mark.parametrize("hook", ["on_request", "on_events", "on_completion"])
def test_a_failing_extension_fails_its_call_or_is_left_out(hook: str, act: Callable[[], Any], run_in: str) -> None:
    if hook == "on_events" and act is returns_nonsense:
        return  # what it returns is not used
    (text, settings), other = FAULTS[act], Tagging("other")
    each = {"run_in": run_in, **settings}
    open_each = {**each, "on_failure": "open"}

    with client(other, Failing(hook, act), each=each) as ai, pytest.raises(AIError) as caught:
        ai.request("Hi")
    with client(other, Failing(hook, act), each=open_each) as ai:
        answer = ai.request("Hi").content
        streamed = "".join(ai.stream("Hi").text)

    assert caught.value.reason == "EXTENSION_FAILED"
    assert f"Extension 'failing' {text}" in str(caught.value)
    assert "canary" not in str(caught.value)
    has_request_tag = hook != "on_request"
    for each_answer in (answer, streamed):
        assert ("+failing" in each_answer) is has_request_tag
        assert "-failing" not in each_answer
        assert each_answer.endswith("-other")


@pytest.mark.parametrize("hook", ["on_request", "on_completion"])
def test_an_extension_refuses_a_call_with_an_error_of_the_gateway(hook: str) -> None:
    async def refuse() -> None:
        raise ContentBlocked("The prompt names Project Nightjar.", solution="Ask without it.")

    with client(Failing(hook, refuse), each={"on_failure": "open"}) as ai, pytest.raises(AIError) as caught:
        ai.request("Hi")

    assert caught.value.reason == "CONTENT_BLOCKED"
    assert (str(caught.value), caught.value.solution) == ("The prompt names Project Nightjar.", "Ask without it.")


class Rewriting(Tagging):
    """Returns these parts."""

    def __init__(self, *parts: Any) -> None:
        super().__init__("rewriting")
        self._parts = parts

    async def on_request(self, call: ExtensionCall, request: ExtensionRequest) -> None:
        return None

    async def on_completion(self, call: ExtensionCall, response: ExtensionResponse) -> ExtensionResponse:
        return replace(response, parts=self._parts)


@pytest.mark.parametrize(
    ("prompt", "parts", "problem"),
    [
        ("Hi", (), "parts must have at least 1 item, got 0"),
        ("Hi", (5,), "parts[0] must be an instance of"),
        ("Hi", (Text(5),), "parts[0].text must be a valid string"),  # type: ignore[arg-type]  # the fault under test
        ('[[tool: get_weather {"city": "Rome"}]]', (Text("no"),), "parts must keep a tool call"),
    ],
)
def test_an_invalid_response_of_an_extension_names_it_and_the_field(
    prompt: str, parts: tuple[Any, ...], problem: str
) -> None:
    def get_weather(city: str) -> str:
        """Return the weather."""
        return city

    with client(Rewriting(*parts)) as ai, pytest.raises(AIError) as caught:
        ai.request(prompt, tools=[get_weather])

    assert caught.value.reason == "EXTENSION_FAILED"
    assert str(caught.value).startswith("Extension 'rewriting' returned an invalid response: ")
    assert problem in str(caught.value)


def test_parts_of_all_kinds_can_be_changed() -> None:
    parts = (Reasoning("Hm."), Text("Yes."), ToolCall("1", "f", "{}"))

    with client(Rewriting(*parts)) as ai:
        answer: AIResponse = ai.request("Hi")

    assert (answer.reasoning, answer.content) == ("Hm.", "Yes.")
    assert [call.name for call in answer.tool_calls] == ["f"]
