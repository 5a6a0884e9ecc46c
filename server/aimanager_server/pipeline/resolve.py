"""Turns what a client asked into a Call: everything that can be decided before a provider is asked is decided here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from ..call import Ask, Call, Caller, Target
from ..catalogue import Catalogue
from ..content import ReasoningOptions
from .checks import check
from .names import Chosen, Names
from .needs import require
from .settle import asked_reasoning, settle

if TYPE_CHECKING:
    from ..settings import Limits, ProviderSettings


MOST_REMEMBERED = 1000

_Decided = tuple[Chosen, ReasoningOptions, Target]


class Resolver:
    """Decides about questions. Pure: the same question gets the same answer, and nothing is awaited.

    `has_key` says whether the server can open a provider; where it is None, the providers' settings are asked.
    Where the gateway `fetches` files, no model has to take an address.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        providers: Mapping[str, ProviderSettings],
        limits: Limits,
        default_model: str = "",
        has_key: Callable[[str], bool] | None = None,
        *,
        fetches: bool = False,
    ) -> None:
        self._catalogue = catalogue
        self._providers = providers
        self._limits = limits
        self._fetches = fetches
        self._wires = {name: settings.wire for name, settings in providers.items() if settings.enabled}
        self._names = Names(catalogue, providers, default_model, has_key or self._is_configured)
        self._memory: dict[object, _Decided] = {}

    def resolve(
        self,
        ask: Ask,
        caller: Caller,
        *,
        id: str,  # noqa: A002 - the field of Call it becomes
        deadline: float,
        streaming: bool,
        trace: str = "",
    ) -> Call:
        """The call to make. `deadline` is on the event loop's clock.

        Raises InvalidRequest, PayloadTooLarge, UnknownProvider, ModelNotFound or CapabilityUnsupported.
        """
        check(ask, self._limits, self._providers)
        chosen, reasoning, target = self._decided(ask, caller)
        rules = (self._catalogue, self._wires)
        require(chosen.model, ask, reasoning, *rules, streaming=streaming, fetches=self._fetches)
        return Call(
            id=id,
            caller=caller,
            requested_model=ask.model,
            messages=ask.messages,
            targets=(target,),
            deadline=deadline,
            streaming=streaming,
            system_instruction=ask.system_instruction,
            tools=ask.tools,
            tool_choice=ask.tool_choice,
            output_format=ask.output_format,
            idempotency_key=ask.idempotency_key,
            labels=ask.labels,
            trace=trace,
        )

    def model(self, name: str, caller: Caller | None = None) -> Chosen:
        """What a model name means: the model with its facts, and the alias that led to it. Raises as `resolve` does."""
        return self._names.choose(name, caller or Caller())

    def _decided(self, ask: Ask, caller: Caller) -> _Decided:
        """The same every time for the same options, so remembered where no caller's key or native option plays in."""
        if caller.provider_keys or ask.provider_options:
            return self._decide(ask, caller)
        key = (ask.model, ask.sampling, ask.reasoning, bool(ask.tools))
        decided = self._memory.get(key)
        if decided is None:
            decided = self._decide(ask, caller)
            if len(self._memory) >= MOST_REMEMBERED:
                self._memory.clear()
            self._memory[key] = decided
        return decided

    def _decide(self, ask: Ask, caller: Caller) -> _Decided:
        chosen = self._names.choose(ask.model, caller)
        target = settle(chosen, ask, self._providers[chosen.model.provider])
        return chosen, asked_reasoning(chosen, ask), target

    def _is_configured(self, provider: str) -> bool:
        return bool(self._providers[provider].credentials())
