"""Extensions that fail, or return something invalid, fail their own call, or are left out of it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from aimanager import AIError, AIResponse
from aimanager_server.config.extensions import ExtensionSettings
from aimanager_server.core.errors import ExtensionFailed
from aimanager_server.extensions import (
    ContentBlocked,
    Event,
    ExtensionCall,
    ExtensionRequest,
    ExtensionResponse,
    Message,
    Reasoning,
    Role,
    Sampling,
    Text,
    ToolCall,
)
from aimanager_server.extensions.runner import ExtensionRunner
from aimanager_server.telemetry.extension_metrics import ExtensionMetrics
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
        ({"provider_options": {"mock": {"a": object()}}}, "provider_options must be JSON values"),
        ({"provider_options": {"mock": {"a": ["\ud800"]}}}, "provider_options must be JSON values"),
        ({"messages": (Message(Role.USER, (Text("\ud800"),)),)}, "must be valid Unicode, without lone surrogates"),
        ({"labels": {"\ud800": "a"}}, "must be valid Unicode"),
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


async def exits_as_if_closed() -> None:
    raise GeneratorExit


async def waits_and_exits_as_if_closed() -> None:
    await asyncio.sleep(0)
    raise GeneratorExit


async def is_late() -> None:
    await asyncio.Event().wait()


async def returns_nonsense() -> int:
    return 5


FAULTS: dict[Callable[[], Any], tuple[str, dict[str, Any]]] = {
    raises: ("failed with ValueError", {}),
    exits: ("failed with SystemExit", {}),
    exits_as_if_closed: ("failed with GeneratorExit", {}),
    waits_and_exits_as_if_closed: ("failed with GeneratorExit", {}),
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


LIMITS = {"max_message_bytes": 1_000_000}


@pytest.mark.parametrize(
    ("prompt", "parts", "problem"),
    [
        ("Hi", (), "parts must have at least 1 item, got 0"),
        ("Hi", (5,), "parts[0] must be an instance of"),
        ("Hi", (Text(5),), "parts[0].text must be a valid string"),  # type: ignore[arg-type]  # the fault under test
        ("Hi", (Text("\ud800"),), "parts[0].text must be valid Unicode, without lone surrogates"),
        ("Hi", (Text("Yes."), ToolCall("1", "f", "{bad")), "parts[1].arguments_json must be a JSON object"),
        ("Hi", (Text("Yes."), ToolCall("1", "f", "[]")), "parts[1].arguments_json must be a JSON object"),
        ("Hi", (Text("é" * 600_000),), "parts must have at most 500000 bytes, got 1200000"),
        ('[[tool: get_weather {"city": "Rome"}]]', (Text("no"),), "parts must keep a tool call"),
    ],
)
def test_an_invalid_response_of_an_extension_names_it_and_the_field(
    prompt: str, parts: tuple[Any, ...], problem: str
) -> None:
    def get_weather(city: str) -> str:
        """Return the weather."""
        return city

    with client(Rewriting(*parts), limits=LIMITS) as ai, pytest.raises(AIError) as caught:
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


class Blocking(Tagging):
    """Blocks its thread in the first call until it is released."""

    def __init__(self) -> None:
        super().__init__("blocking")
        self.release = threading.Event()

    async def on_request(self, call: ExtensionCall, request: ExtensionRequest) -> None:
        self.seen.append(("on_request", call.id))
        if len(self.seen) == 1:
            self.release.wait()


def test_an_extension_that_blocks_its_thread_does_not_block_the_server() -> None:
    extension = Blocking()
    each = {"run_in": "thread", "timeout_seconds": 0.2}

    with client(extension, each=each) as ai:
        with pytest.raises(AIError) as caught:
            ai.request("Hi")
        answer = ai.request("Hi").content  # on a new event loop
        extension.release.set()

    assert caught.value.reason == "EXTENSION_FAILED"
    assert "blocked its event loop" in str(caught.value)
    assert answer.endswith("-blocking")


async def test_a_call_that_is_cancelled_is_no_failure_of_its_extension() -> None:
    metrics = ExtensionMetrics(CollectorRegistry())
    runner = ExtensionRunner(Failing("on_request", is_late), ExtensionSettings(), metrics)
    request = ExtensionRequest((Message(Role.USER, (Text("Hi"),)),))
    assert runner.on_request is not None
    running = asyncio.ensure_future(runner.run(runner.on_request, CALL, request))
    await asyncio.sleep(0)

    running.cancel()

    with pytest.raises(asyncio.CancelledError):
        await running


async def cancels_itself() -> None:
    raise asyncio.CancelledError


async def raises_timeout() -> None:
    raise TimeoutError


class Awaiting(Tagging):
    """Returns something that can be awaited, but is not a coroutine."""

    def on_request(self, call: ExtensionCall, request: ExtensionRequest) -> Any:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done


@pytest.mark.parametrize(
    ("act", "text"), [(cancels_itself, "cancelled its own call"), (raises_timeout, "failed with TimeoutError")]
)
async def test_what_looks_like_a_timeout_is_the_extensions_own_failure(act: Callable[[], Any], text: str) -> None:
    runner = ExtensionRunner(Failing("on_request", act), ExtensionSettings(), ExtensionMetrics(CollectorRegistry()))
    assert runner.on_request is not None

    with pytest.raises(ExtensionFailed, match=text):
        await runner.run(runner.on_request, CALL, ExtensionRequest((Message(Role.USER, (Text("Hi"),)),)))


def test_a_method_without_async_may_raise_anything() -> None:
    class Exiting(Tagging):
        def on_request(self, call: ExtensionCall, request: ExtensionRequest) -> Any:
            raise GeneratorExit

    with client(Exiting()) as ai, pytest.raises(AIError, match="failed with GeneratorExit in on_request"):
        ai.request("Hi")


async def test_a_call_that_is_closed_closes_what_its_extension_awaits() -> None:
    ended = list[str]()

    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("closed")

    runner = ExtensionRunner(Failing("on_request", waits), ExtensionSettings(), ExtensionMetrics(CollectorRegistry()))
    assert runner.on_request is not None
    running = runner.run(runner.on_request, CALL, ExtensionRequest((Message(Role.USER, (Text("Hi"),)),)))
    running.send(None)

    running.close()

    assert ended == ["closed"]


def test_a_hook_may_return_any_awaitable() -> None:
    with client(Awaiting()) as ai:
        assert ai.request("Hi").content.endswith("-tagging")


async def test_a_failure_to_close_is_logged_and_counted() -> None:
    class Unclosable(Tagging):
        async def aclose(self) -> None:
            raise ValueError("canary")

    metrics = ExtensionMetrics(CollectorRegistry())
    runner = ExtensionRunner(Unclosable(), ExtensionSettings(), metrics)

    with capture_logs() as log:
        await runner.aclose()

    assert [(entry["event"], entry["hook"]) for entry in log] == [("extension.failed", "aclose")]
    assert metrics.failures.labels("tagging", "aclose")._value.get() == 1


def test_calls_seconds_and_failures_are_counted_by_method() -> None:
    registry = CollectorRegistry()
    metrics = ExtensionMetrics(registry)
    tally = metrics.tally("a", "on_request")
    tally.calls, tally.seconds = 2, 0.5

    first = {name: registry.get_sample_value(name, LABELS) for name in SERIES}
    tally.calls, tally.seconds = 3, 0.75
    second = {name: registry.get_sample_value(name, LABELS) for name in SERIES}

    assert metrics.tally("a", "on_request") is tally
    assert (list(first.values()), list(second.values())) == ([2, 0.5], [3, 0.75])


SERIES = ("aimanager_extension_calls_total", "aimanager_extension_seconds_total")
LABELS = {"extension": "a", "hook": "on_request"}
CALL = ExtensionCall("call-1", "ann", "latest", "mock", "mock-large", "", is_streamed=False)
