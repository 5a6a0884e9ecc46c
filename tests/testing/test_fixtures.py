"""The fixtures that users import into their tests."""

from __future__ import annotations

import pytest

from aimanager import ProviderError
from aimanager_server.testing.fixtures import ScriptedAI, ScriptedAsyncAI, scripted_ai, scripted_async_ai

__all__ = ["scripted_ai", "scripted_async_ai"]


def test_one_script_answers_every_prompt(scripted_ai: ScriptedAI) -> None:
    ai = scripted_ai("A summary.")

    assert [ai.request(prompt).content for prompt in ("One", "Two")] == ["A summary.", "A summary."]
    assert list(ai.stream("Three").text) == ["A ", "summary."]


def test_scripts_are_chosen_by_the_prompt_and_may_fail(scripted_ai: ScriptedAI) -> None:
    ai = scripted_ai({"weather": '[[tool: get_weather {"city": "Rome"}]]', "": "[[error: PROVIDER_OVERLOADED]]"})

    [call] = ai.request("How is the weather?").tool_calls
    assert call.arguments == {"city": "Rome"}
    with pytest.raises(ProviderError):
        ai.request("Something else")


def test_clients_of_one_test_are_independent(scripted_ai: ScriptedAI) -> None:
    first, second = scripted_ai("1"), scripted_ai("2", model="fast")

    assert (first.request("Hi").content, second.request("Hi").content) == ("1", "2")
    assert second.request("Hi").metadata.model == "mock-small"


async def test_async_clients_are_scripted_too(scripted_async_ai: ScriptedAsyncAI) -> None:
    async with scripted_async_ai("Hello.") as ai:
        assert (await ai.request("Hi")).content == "Hello."
