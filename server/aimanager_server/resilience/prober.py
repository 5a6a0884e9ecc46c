"""Asks providers whose circuits are open, in the background, whether they answer again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Literal

import structlog

from ..catalog.model import Model
from ..core.content import Message, Role, Sampling, Text
from ..core.errors import DeadlineExceeded, GatewayError, InternalError, Overloaded, ProviderUnreachable
from ..core.handler import Provider
from ..core.request import Call, Caller, Target
from .breaker_registry import Breakers

Kind = Literal["models", "generation"]

PROBE_SECONDS = 10.0
"""How long an answer is waited for. The next probe does not wait for it: a provider that is back shall be seen soon."""

SPREAD = 0.1
"""How much of the interval chance adds or takes, so that replicas do not ask in step."""

NOT_IMPLEMENTED = 501
"""Who has no list of models is there all the same."""


class Prober:
    """Has one task for each provider with a circuit that waits for a probe, while there is one.

    Made once, before any circuit: circuits of the providers in `kinds` wait for it from then on. Where the kind is
    "generation", one token of each failing model is asked for instead of the list of models. `find` knows the models,
    `recorded` and `counted` hear of every probe: the provider and its fault, None for an answer; and the outcome by
    name. Uses the running event loop once a circuit opens.
    """

    def __init__(
        self,
        providers: Mapping[str, Provider],
        kinds: Mapping[str, Kind],
        breakers: Breakers,
        find: Callable[[str, str], Model | None],
        recorded: Callable[[str, GatewayError | None], None],
        counted: Callable[[str, str], None],
        pause: Callable[[float], Awaitable[None]],
        random: Callable[[], float],
        limit: float = PROBE_SECONDS,
    ) -> None:
        self._providers = providers
        self._kinds = kinds
        self._breakers = breakers
        self._find = find
        self._recorded = recorded
        self._counted = counted
        self._pause = pause
        self._random = random
        self._limit = limit
        self._rounds: dict[str, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False
        self._log = structlog.get_logger()
        breakers.hand_over(frozenset(kinds))
        breakers.listen(self._moved)

    @property
    def probing(self) -> tuple[str, ...]:
        """The providers that are asked again and again now."""
        return tuple(sorted(self._rounds))

    async def aclose(self) -> None:
        """Stop for good, and wait until what was under way has let go."""
        self._closed = True
        for provider in self.probing:
            self._stop(provider)
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _moved(self, provider: str) -> None:
        if not self._breakers.waiting(provider):
            self._stop(provider)
        elif provider not in self._rounds and not self._closed:
            self._rounds[provider] = self._spawn(self._go_round(provider))

    def _stop(self, provider: str) -> None:
        task = self._rounds.pop(provider, None)
        if task is not None:
            task.cancel()

    def _spawn(self, work: Awaitable[None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(work)
        assert isinstance(task, asyncio.Task)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _go_round(self, provider: str) -> None:
        asked: list[asyncio.Task[None]] = []
        try:
            while True:
                seconds = self._breakers.rules.probe * (1 + SPREAD * (2 * self._random() - 1))
                for breaker in self._breakers.waiting(provider):
                    breaker.expect(seconds)
                await self._pause(seconds)
                asked = [task for task in asked if not task.done()]
                asked.append(self._spawn(self._ask(provider)))
        finally:
            for task in asked:
                task.cancel()

    async def _ask(self, provider: str) -> None:
        if self._kinds[provider] == "models":
            await self._probe(provider, None)
            return
        models = {breaker.model for breaker in self._breakers.waiting(provider)}
        await asyncio.gather(*(self._probe(provider, model) for model in models))

    async def _probe(self, provider: str, model: str | None) -> None:
        fault = await self._fault(provider, model)
        self._recorded(provider, fault)
        self._counted(provider, fault.reason if fault else "success")
        self._log.debug("provider.probed", provider=provider, model=model or "", reason=fault.reason if fault else "")
        if fault is None or is_there(fault):
            self._breakers.answers(provider, model)  # last: it may end the task that this one is of

    async def _fault(self, provider: str, model: str | None) -> GatewayError | None:
        try:
            async with asyncio.timeout(self._limit):
                await self._asked(provider, model)
        except GatewayError as fault:
            return fault
        except TimeoutError:
            return ProviderUnreachable(
                f"The provider did not answer within {self._limit:g} seconds.", provider=provider
            )
        except Exception:
            self._log.exception("provider.probe_broke", provider=provider)
            return InternalError(
                f"Asking the provider {provider!r} whether it is there failed inside.", provider=provider
            )
        return None

    async def _asked(self, provider: str, model: str | None) -> None:
        facts = None if model is None else self._find(provider, model)
        if model is None or (facts is not None and facts.embedding is not None):
            await self._providers[provider].probe()
            return
        sampling = Sampling(max_output_tokens=facts.least_output or 1 if facts else 1)
        call = Call(
            id="probe",
            caller=Caller(),
            requested_model=f"{provider}/{model}",
            messages=(Message(Role.USER, (Text("Hi"),)),),
            targets=(Target(provider, model, sampling),),
            deadline=asyncio.get_running_loop().time() + self._limit,
        )
        reply = await self._providers[provider](call)
        await reply.aclose()


def is_there(fault: GatewayError) -> bool:
    """Whether a probe that failed so was answered all the same: refused, as by a server that has no list of models."""
    if isinstance(fault, Overloaded | DeadlineExceeded | InternalError):
        return False
    return fault.spec.breaker_effect != "count" or fault.upstream_status == NOT_IMPLEMENTED
