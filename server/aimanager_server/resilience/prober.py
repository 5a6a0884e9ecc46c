"""Probes providers with open circuit breakers in the background until they respond again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Literal

from ..catalog.model import Model
from ..core.content import Message, Role, Sampling, Text
from ..core.errors import DeadlineExceeded, GatewayError, InternalError, Overloaded, ProviderUnreachable
from ..core.handler import Provider
from ..core.request import Attempt, Call, Caller, Target
from ..telemetry.logger import get_logger
from .breaker_registry import BreakerRegistry

ProbeKind = Literal["models", "generation"]

PROBE_TIMEOUT_SECONDS = 10.0
"""Timeout of one probe. Later probes start on schedule while it runs, so that a recovery is seen early."""

JITTER = 0.1
"""Random deviation from the probe interval, as a share of it, so that replicas do not probe in step."""

NO_MODEL_LIST = (404, 501)


class Prober:
    """Run one background task for each provider that has a breaker awaiting a probe.

    Probes the providers of `replace_providers`, none before. `find_model` returns a model's catalog entry.
    `record_probe` receives the provider and the error, None for a success; `count_probe` receives the provider and
    "success" or the error's reason. Uses the running event loop once a breaker opens.
    """

    def __init__(
        self,
        breakers: BreakerRegistry,
        find_model: Callable[[str, str], Model | None],
        record_probe: Callable[[str, GatewayError | None], None],
        count_probe: Callable[[str, str], None],
        sleep: Callable[[float], Awaitable[None]],
        random: Callable[[], float],
        timeout_seconds: float = PROBE_TIMEOUT_SECONDS,
    ) -> None:
        self._providers: Mapping[str, Provider] = {}
        self._kinds: Mapping[str, ProbeKind] = {}
        self._breakers = breakers
        self._find_model = find_model
        self._record_probe = record_probe
        self._count_probe = count_probe
        self._sleep = sleep
        self._random = random
        self._timeout_seconds = timeout_seconds
        self._loops: dict[str, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_closed = False
        self._log = get_logger()
        breakers.subscribe(self._on_transition)

    def replace_providers(self, providers: Mapping[str, Provider], kinds: Mapping[str, ProbeKind]) -> None:
        """Probe these providers from now on; probes of others, and of those that were replaced, end.

        The kind "models" lists the provider's models; "generation" generates one token with each failing model.
        """
        changed = [
            name for name in self._loops
            if providers.get(name) is not self._providers.get(name) or kinds.get(name) != self._kinds.get(name)
        ]  # fmt: skip
        self._providers, self._kinds = providers, kinds
        self._breakers.delegate_probing(frozenset(kinds))
        for provider in changed:
            self._stop(provider)
            self._on_transition(provider)

    @property
    def active_providers(self) -> tuple[str, ...]:
        """Return the providers that are being probed, sorted by name."""
        return tuple(sorted(self._loops))

    async def aclose(self) -> None:
        """Stop probing permanently and wait for all tasks to end."""
        self._is_closed = True
        for provider in self.active_providers:
            self._stop(provider)
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _on_transition(self, provider: str) -> None:
        if not self._breakers.awaiting_probe(provider):
            self._stop(provider)
        elif provider not in self._loops and not self._is_closed:
            self._loops[provider] = self._spawn(self._probe_repeatedly(provider))

    def _stop(self, provider: str) -> None:
        task = self._loops.pop(provider, None)
        if task is not None:
            task.cancel()

    def _spawn(self, work: Awaitable[None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(work)
        assert isinstance(task, asyncio.Task)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _probe_repeatedly(self, provider: str) -> None:
        pending: list[asyncio.Task[None]] = []
        try:
            while True:
                interval = self._breakers.settings.probe_interval_seconds
                delay = interval * (1 + JITTER * (2 * self._random() - 1))
                for breaker in self._breakers.awaiting_probe(provider):
                    breaker.schedule_probe(delay)
                await self._sleep(delay)
                pending = [task for task in pending if not task.done()]
                pending.append(self._spawn(self._probe(provider)))
        finally:
            for task in pending:
                task.cancel()

    async def _probe(self, provider: str) -> None:
        if self._kinds[provider] == "models":
            await self._probe_once(provider, None)
            return
        models = {breaker.model for breaker in self._breakers.awaiting_probe(provider)}
        await asyncio.gather(*(self._probe_once(provider, model) for model in models))

    async def _probe_once(self, provider: str, model: str | None) -> None:
        error = await self._probe_error(provider, model)
        reason = error.reason if error else ""
        self._record_probe(provider, error)
        self._count_probe(provider, reason or "success")
        self._log.debug("provider.probed", provider=provider, model=model or "", reason=reason)
        if error is None or is_reachable(error):
            self._breakers.probe_succeeded(provider, model)  # last, since it may cancel this task

    async def _probe_error(self, provider: str, model: str | None) -> GatewayError | None:
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await self._send_probe(provider, model)
        except GatewayError as error:
            return error
        except TimeoutError:
            message = f"Probe of provider {provider!r} timed out after {self._timeout_seconds:g} s."
            return ProviderUnreachable(message, provider=provider)
        except Exception:
            self._log.exception("provider.probe_crashed", provider=provider)
            return InternalError(f"Probe of provider {provider!r} failed with an internal error.", provider=provider)
        return None

    async def _send_probe(self, provider: str, model: str | None) -> None:
        entry = None if model is None else self._find_model(provider, model)
        if model is None or (entry is not None and entry.embedding is not None):
            await self._providers[provider].probe()
            return
        sampling = Sampling(max_output_tokens=entry.min_output_tokens or 1 if entry else 1)
        call = Call(
            id="probe",
            caller=Caller(),
            requested_model=f"{provider}/{model}",
            messages=(Message(Role.USER, (Text("Hi"),)),),
            targets=(Target(provider, model, sampling),),
            deadline=asyncio.get_running_loop().time() + self._timeout_seconds,
        )
        stream = await self._providers[provider](Attempt.of(call, call.target, asyncio.get_running_loop().time()))
        await stream.aclose()


def is_reachable(error: GatewayError) -> bool:
    """Return whether this error of a probe shows that the provider responds, such as 404 for a missing model list."""
    if isinstance(error, Overloaded | DeadlineExceeded | InternalError):
        return False
    return error.spec.breaker_effect != "count" or error.upstream_status in NO_MODEL_LIST
