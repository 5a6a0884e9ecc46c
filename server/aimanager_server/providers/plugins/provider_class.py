"""Provider plug-ins as classes with blocking methods, as in the original design document."""

from __future__ import annotations

import inspect
import re
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from importlib.metadata import PackageNotFoundError, distribution
from typing import Any, TypeVar

from ...catalog.model import Capability, SupportLevel
from ...config.providers import ProviderSettings
from ...core.content import Message, Text
from ...core.handler import AttemptHandler, Clock
from ...core.request import Attempt
from ...core.response import Event, ResponseMetadata
from ...core.stream import ResponseStream
from ...resilience.worker_pool import WorkerPool
from .answer_events import AnswerEvents
from .api import API_VERSION, Transport

MAX_THREADS = 32
"""Threads in which the blocking methods of one plug-in run."""

MAX_THREADS_PER_CALLER = 16

MAX_PROVIDERS = 100
"""Objects of one class that are kept, one for each model; those with the key of a caller serve one call."""

REQUIREMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

Result = TypeVar("Result")


class BaseAIProvider(ABC):
    """A provider: one object for one model and API key. Threads call it at the same time.

    `config` are the options of its settings. Methods may be `async`, and `stream` an async generator. What they return
    is an `aimanager.AIResponse`, or a str.
    """

    def __init__(self, model: str, api_key: str, **config: Any) -> None:
        self.model = model
        self.api_key = api_key
        self.config = config

    @abstractmethod
    def request(self, message: str | Message, **options: Any) -> Any:
        """Return the response.

        `message` is the last message: a str if it is only text. `options` are those that are set: `history` (the
        messages before it), `system`, `max_tokens`, `temperature`, `top_p`, `top_k`, `seed`, `stop` and `tools`.
        """

    @abstractmethod
    def stream(self, message: str | Message, **options: Any) -> Any:
        """Yield the response in pieces, whose `content` is the new text. The last one may have the usage."""

    @abstractmethod
    def get_models(self) -> Any:
        """Return the ids of the models. Must be free of charge, since it is also the health probe."""

    @abstractmethod
    def get_capabilities(self) -> Mapping[str, Any]:
        """Return whether the model has each capability, such as `{"image_input": False}`. May not block."""


class ProviderPlugin(ABC):
    """A plug-in that provides a class. It is a plug-in like any other: `open`, `models` and `capabilities` are here."""

    api_version: int = API_VERSION
    _adapter: _ClassAdapter | None = None

    @abstractmethod
    def get_provider_class(self) -> type[BaseAIProvider]:
        """Return the class of the provider."""

    @abstractmethod
    def get_provider_name(self) -> str:
        """Return the name of the provider: 1 to 63 characters of a-z, 0-9, - and _."""

    def get_requirements(self) -> Sequence[str]:
        """Return the names of the distributions that must be installed."""
        return ()

    @property
    def name(self) -> str:
        """The name of the provider."""
        return self.get_provider_name()

    def open(self, settings: ProviderSettings, transport: Transport, clock: Clock) -> AttemptHandler:
        """Return the handler of attempts. The class makes its own connections."""
        self._adapter = _ClassAdapter(self.name, self.get_provider_class(), settings)
        return self._adapter.generate

    async def models(self) -> Sequence[str]:
        """Return the model ids."""
        assert self._adapter is not None, "opened before"
        return await self._adapter.models()

    def capabilities(self, model: str) -> Mapping[Capability, SupportLevel]:
        """Return the known capabilities of a model."""
        assert self._adapter is not None, "opened before"
        return self._adapter.capabilities(model)

    def problems(self) -> Iterator[str]:
        """Yield why the class cannot be used."""
        provider_class = self.get_provider_class()
        if not (isinstance(provider_class, type) and issubclass(provider_class, BaseAIProvider)):
            yield "Provider class must inherit from BaseAIProvider"
        for requirement in self.get_requirements():
            found = REQUIREMENT.match(requirement)
            if found is None or not _is_installed(found[0]):
                yield f"requires {requirement!r}, which is not installed: pip install {requirement!r}"


class _ClassAdapter:
    """Objects of a class, behind the handler of attempts. Belongs to one event loop."""

    def __init__(self, name: str, provider_class: type[BaseAIProvider], settings: ProviderSettings) -> None:
        self._name = name
        self._class = provider_class
        self._options = settings.options
        self._key = next((credential.key for credential in settings.credentials()), "")
        self._providers: dict[str, BaseAIProvider] = {}
        self._pool = WorkerPool(f"plug-in-{name}", MAX_THREADS, MAX_THREADS_PER_CALLER)

    async def generate(self, attempt: Attempt[Any]) -> ResponseStream:
        """Return the response of the object for the attempt's model and key."""
        model, caller = attempt.target.model, attempt.caller
        key = caller.provider_keys.get(self._name)
        provider = self._provider(model) if key is None else self._class(model, key, **self._options)
        metadata = ResponseMetadata(attempt.id, attempt.requested_model, self._name, model)
        method = provider.stream if attempt.is_streamed else provider.request
        call = partial(method, _message(attempt.messages[-1]), **_options(attempt))
        answers = self._answers(call, caller.name)
        return ResponseStream.from_iterator(metadata, _events(answers), answers.aclose)

    async def models(self) -> Sequence[str]:
        """Return the model ids."""
        found = await self._run("", self._provider("").get_models)
        return tuple(found)

    def capabilities(self, model: str) -> Mapping[Capability, SupportLevel]:
        """Return the capabilities that the gateway knows too."""
        known = self._provider(model).get_capabilities()
        return {each: _level(known[each.value]) for each in Capability if each.value in known}

    def _provider(self, model: str) -> BaseAIProvider:
        """Return the object with the server's key."""
        provider = self._providers.get(model)
        if provider is None:
            provider = self._class(model, self._key, **self._options)
            if len(self._providers) < MAX_PROVIDERS:
                self._providers[model] = provider
        return provider

    async def _run(self, caller: str, call: Callable[[], Any]) -> Any:
        """Return the result of a method: in a thread, unless it is a coroutine."""
        if inspect.iscoroutinefunction(_function(call)):
            return await call()
        result = await self._pool.run(caller, call)
        return await result if isinstance(result, Awaitable) else result

    async def _answers(self, call: Callable[[], Any], caller: str) -> AsyncGenerator[Any]:
        """Yield the pieces of a response, or the whole of it."""
        if inspect.isasyncgenfunction(_function(call)):
            async with aclosing(call()) as pieces:
                async for piece in pieces:
                    yield piece
            return
        result = await self._run(caller, call)
        if not isinstance(result, Iterator):
            yield result
            return
        end = object()
        while (piece := await self._pool.run(caller, partial(next, result, end))) is not end:
            yield piece


async def _events(answers: AsyncIterator[Any]) -> AsyncIterator[Event]:
    events = AnswerEvents()
    async for answer in answers:
        for event in events.of(answer):
            yield event
    for event in events.end():
        yield event


def _function(call: Callable[[], Any]) -> Any:
    return call.func if isinstance(call, partial) else call


def _message(message: Message) -> str | Message:
    """Return the text of a message that is only text."""
    if all(isinstance(part, Text) for part in message.parts):
        return "\n\n".join(part.text for part in message.parts if isinstance(part, Text))
    return message


def _options(attempt: Attempt[Any]) -> dict[str, Any]:
    sampling = attempt.target.sampling
    options = {
        "history": attempt.messages[:-1],
        "system": attempt.system_instruction,
        "max_tokens": sampling.max_output_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "seed": sampling.seed,
        "stop": sampling.stop_sequences,
        "tools": attempt.tools,
    }
    return {name: value for name, value in options.items() if value is not None and value not in ("", ())}


def _level(value: Any) -> SupportLevel:
    if isinstance(value, str):
        return SupportLevel(value)
    return SupportLevel.NATIVE if value else SupportLevel.NONE


def _is_installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True
