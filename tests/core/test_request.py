"""Calls and attempts."""

from __future__ import annotations

from aimanager_server.core.content import JsonObjectFormat, Message, Role, Text, Tool, ToolChoice
from aimanager_server.core.request import NO_KEY, ApiKey, Target
from tests.support.calls import TARGET, make_attempt, make_call

FORMAT = JsonObjectFormat()


def test_attempt_sends_the_prompt_of_its_call_until_a_layer_changes_it() -> None:
    call = make_call(system_instruction="Be brief.", output_format=FORMAT)
    attempt = make_attempt(call)
    before = (attempt.messages, attempt.system_instruction, attempt.output_format)

    attempt.messages = (Message(Role.USER, (Text("changed"),)),)
    attempt.system_instruction, attempt.output_format = "", None

    assert before == (call.messages, "Be brief.", FORMAT)
    assert call.messages == make_call().messages
    assert (call.system_instruction, call.output_format) == ("Be brief.", FORMAT)


def test_attempt_shows_the_facts_of_its_call() -> None:
    tool = Tool("look_up", "", "{}")
    call = make_call(tools=(tool,), labels={"team": "a"}, traceparent="00-1-2-01", deadline=1234.0)
    attempt = make_attempt(call)

    assert (attempt.id, attempt.requested_model, attempt.caller) == (call.id, call.requested_model, call.caller)
    assert (attempt.deadline, attempt.traceparent) == (1234.0, "00-1-2-01")
    assert (attempt.tools, attempt.tool_choice, attempt.labels) == ((tool,), ToolChoice(), {"team": "a"})
    assert attempt.upstream_timer is call.upstream_timer


def test_attempt_of_another_target_and_key_is_recorded_with_them() -> None:
    target, key = Target("claude", "claude-opus-5-5"), ApiKey("2", "secret")
    call = make_call(targets=(TARGET, target))

    first = make_attempt(call)
    second = make_attempt(call, target=target, api_key=key, is_streamed=True, started_at=1007.0)

    assert call.attempts.records == [first.record, second.record]
    assert (first.target, first.api_key, first.record.key_id) == (TARGET, NO_KEY, "")
    assert (second.target, second.api_key, second.record.key_id) == (target, key, "2")
    assert (second.record.key, second.record.started_at) == (target.key, 1007.0)
    assert (first.record.is_streamed, second.record.is_streamed) == (False, True)


def test_attempts_are_compared_by_identity() -> None:
    call = make_call()

    assert make_attempt(call) != make_attempt(call)


def test_secrets_are_not_in_the_representation_of_an_attempt() -> None:
    assert "hidden" not in repr(make_attempt(api_key=ApiKey("1", "hidden")))
