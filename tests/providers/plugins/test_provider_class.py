"""Provider plug-ins that follow the classes of the design document, through a complete gateway."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from aimanager import AIError, AIManager, AIResponse, user
from aimanager_server.config.errors import SettingsError
from aimanager_server.plugins import BaseAIProvider, Message, ModelNotFound, ProviderPlugin
from aimanager_server.providers.plugins.registry import ProviderRegistry
from aimanager_server.testing import check_provider
from tests.support.gateway import settings_with, started_gateway

USAGE = {"input_tokens": 3, "output_tokens": 2}


class Parrot(BaseAIProvider):
    """Repeats the message, in as many pieces as it has words."""

    threads: ClassVar[set[str]] = set()

    def request(self, message: str | Message, **options: Any) -> Any:
        self.threads.add(threading.current_thread().name)
        if self.model.startswith("no-"):
            raise ModelNotFound("No such model.")
        text = message if isinstance(message, str) else f"{len(message.parts)} parts"
        shown = {name: value if isinstance(value, str | int | float) else len(value) for name, value in options.items()}
        content = f"{text} {shown}" if shown else text
        return AIResponse(f"{content}{self.config.get('mark', '')}", "parrot", self.model, USAGE)

    def stream(self, message: str | Message, **options: Any) -> Iterator[Any]:
        text = self.request(message, **options).content
        first, *words = text.split(" ")
        yield first
        for word in words:
            yield AIResponse(f" {word}", "parrot", self.model)
        yield AIResponse("", "parrot", self.model, USAGE)

    def get_models(self) -> list[str]:
        return ["gray", f"key-{self.api_key or 'none'}"]

    def get_capabilities(self) -> dict[str, Any]:
        return {"streaming": True, "image_input": False, "tool_calling": "emulated", "max_tokens": 5}


class AsyncParrot(Parrot):
    async def request(self, message: str | Message, **options: Any) -> Any:
        return super().request(message, **options)

    async def stream(self, message: str | Message, **options: Any) -> Any:
        for piece in Parrot(self.model, self.api_key, **self.config).stream(message, **options):
            yield piece


class ParrotPlugin(ProviderPlugin):
    def __init__(self, provider_class: Any = Parrot, requirements: Sequence[str] = ()) -> None:
        self._class = provider_class
        self._requirements = requirements

    def get_provider_class(self) -> type[BaseAIProvider]:
        return self._class  # type: ignore[no-any-return]  # also classes that are refused

    def get_provider_name(self) -> str:
        return "parrot"

    def get_requirements(self) -> Sequence[str]:
        return self._requirements


@contextmanager
def client(provider_class: Any = Parrot, **settings: Any) -> Iterator[AIManager]:
    registry = ProviderRegistry([])
    registry.register_provider(ParrotPlugin(provider_class))
    configured = settings_with(plugins={"providers": ["parrot"]}, providers={"parrot": settings})
    with (
        started_gateway(configured, registry) as target,
        AIManager.gateway(target, model="parrot/gray", retries=0) as ai,
    ):
        yield ai


@pytest.mark.parametrize("provider_class", [Parrot, AsyncParrot])
def test_a_provider_class_answers_through_the_whole_gateway(provider_class: Any) -> None:
    with client(provider_class, api_key="k-1", options={"mark": "!"}) as ai:
        answer = ai.request("Polly wants a cracker")
        pieces = list(ai.stream("Polly wants a cracker").text)
        with_options = ai.request([user("One"), "Two"], temperature=0.5, max_tokens=9, system="Be loud.", stop="x")
        models = [model.id for model in ai.models.list("parrot")]
        gray = ai.models.get("parrot/gray")

    assert (answer.content, answer.usage.input_tokens, answer.provider) == ("Polly wants a cracker!", 3, "parrot")
    assert pieces == ["Polly", " wants", " a", " cracker!"]
    assert "'history': 1, 'system': 'Be loud.', 'max_tokens': 9, 'temperature': 0.5, 'stop': 1" in with_options.content
    assert models == ["parrot/gray", "parrot/key-k-1"]
    assert gray.supports("streaming")
    assert not gray.supports("image_input")


def test_blocking_methods_run_in_threads_of_their_own() -> None:
    Parrot.threads.clear()

    with client() as ai:
        ai.request("Hi")

    assert Parrot.threads == {"plug-in-parrot"}


class Full(Parrot):
    """Returns all that an answer can have."""

    def request(self, message: str | Message, **options: Any) -> Any:
        call = SimpleNamespace(id="1", name="f", arguments={"a": 1})
        usage = SimpleNamespace(input_tokens=1, output_tokens=2, reasoning_tokens=1)
        return SimpleNamespace(content="Yes.", reasoning="Hm.", tool_calls=[call], usage=usage)


class Cut(Parrot):
    def request(self, message: str | Message, **options: Any) -> Any:
        return SimpleNamespace(content="A long", finish_reason="max_tokens")


class Wrong(Parrot):
    def request(self, message: str | Message, **options: Any) -> Any:
        return SimpleNamespace(content=5)


class Broken(Parrot):
    def stream(self, message: str | Message, **options: Any) -> Iterator[Any]:
        yield "Hel"
        raise ValueError("canary")


def test_an_answer_has_reasoning_tool_calls_and_a_finish_reason() -> None:
    with client(Full) as ai:
        full = ai.request("Hi")
    with client(Cut) as ai:
        cut = ai.request("Hi")

    assert (full.reasoning, full.content, full.finish_reason) == ("Hm.", "Yes.", "tool_calls")
    assert [(call.name, call.arguments) for call in full.tool_calls] == [("f", {"a": 1})]
    assert full.usage.reasoning_tokens == 1
    assert (cut.content, cut.finish_reason) == ("A long", "max_tokens")


@pytest.mark.parametrize(("provider_class", "reason"), [(Wrong, "PROVIDER_PROTOCOL"), (Parrot, "MODEL_NOT_FOUND")])
def test_an_error_of_a_provider_class_is_one_of_the_gateway(provider_class: Any, reason: str) -> None:
    with client(provider_class) as ai, pytest.raises(AIError) as caught:
        ai.request("Hi", model="parrot/no-such" if reason == "MODEL_NOT_FOUND" else "parrot/gray")

    assert caught.value.reason == reason


def test_a_stream_that_raises_is_interrupted() -> None:
    with client(Broken) as ai, pytest.raises(AIError) as caught:
        ai.stream("Hi", on_interruption="fail").complete()

    assert caught.value.reason == "STREAM_INTERRUPTED"
    assert "canary" not in str(caught.value)


class NotAProvider:
    pass


@pytest.mark.parametrize(
    ("plugin", "problem"),
    [
        (ParrotPlugin(NotAProvider), "Provider class must inherit from BaseAIProvider"),
        (ParrotPlugin(5), "Provider class must inherit from BaseAIProvider"),
        (ParrotPlugin(requirements=["no-such-distribution>=2"]), "requires 'no-such-distribution>=2', which is not in"),
        (ParrotPlugin(requirements=["httpx>=0.1"]), ""),
    ],
)
def test_a_wrong_class_is_refused(plugin: ParrotPlugin, problem: str) -> None:
    registry = ProviderRegistry([])
    if not problem:
        registry.register_provider(plugin)
        assert registry.get_provider("parrot") is plugin
        return

    with pytest.raises(SettingsError) as caught:
        registry.register_provider(plugin)

    assert problem in str(caught.value)


async def test_the_author_can_check_a_provider_class() -> None:
    await check_provider(ParrotPlugin(), settings={"api_key": "k"}, prompt="Polly wants")
