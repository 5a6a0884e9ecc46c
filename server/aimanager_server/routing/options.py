"""Settles what a model is asked for: what the caller said, then the alias, then the operator, as far as the model goes.

One policy: what a caller said and the model refuses is left out, or brought to the nearest value it takes, and a
warning on the answer says so. What an alias or the operator's defaults say gives way silently.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from ..catalog.catalog import Capability, Level, Model
from ..core.content import Effort, ReasoningOptions, Sampling
from ..core.request import GenerateParams, Target
from ..core.response import SettingWarning
from .model_names import Chosen
from .reasoning import fitted, settle_reasoning
from .timeouts import Patiences

if TYPE_CHECKING:
    from ..config.settings import ProviderSettings

NAMES = tuple(field.name for field in fields(Sampling))

VERSIONED = frozenset(("temperature", "top_p", "top_k"))
"""What later versions of the Messages API refuse for every model."""


LONG_ANSWER = 16_384
"""Tokens above which an answer that comes all at once would be waited for in the dark. Where nobody said how long an
answer may be, it is taken for a shorter one: few come near what their model allows."""


def settle(chosen: Chosen, ask: GenerateParams, settings: ProviderSettings, patience: Patiences) -> Target:
    """The target, with options its model takes and warnings about those it does not."""
    model = chosen.model
    asked = asked_reasoning(chosen, ask)
    by_caller = ask.reasoning.effort is not None
    reasoning, effort_told = settle_reasoning(model, asked, by_caller=by_caller, tools=bool(ask.tools))
    sampling = _Sampling(chosen, ask, settings)
    sampling.fit(reasoning, settings.version)
    limit = sampling.values["max_output_tokens"]
    reasoning, budget_told = fitted(model, reasoning, limit)
    thinks, streams = _thinks(model, reasoning), model.can(Capability.STREAMING) is not False
    return Target(
        provider=model.provider,
        model=chosen.id,
        sampling=Sampling(**sampling.values),
        reasoning=reasoning,
        options=ask.provider_options.get(model.provider, {}),
        emulates_format=_emulates(model),
        warnings=(*sampling.told, *effort_told, *budget_told),
        context_window=model.context_window,
        timeouts=patience(model, ask, thinks=thinks),
        is_reasoning=thinks,
        can_stream=streams,
        prefers_streaming=streams and (thinks or (limit or 0) > LONG_ANSWER),
    )


def _thinks(model: Model, reasoning: ReasoningOptions) -> bool:
    """Whether it was asked to, or does so by itself."""
    if model.thinking == "none":
        return False
    is_asked = reasoning.budget_tokens is not None or reasoning.effort not in (None, Effort.NONE)
    return is_asked or model.thinking == "always" or model.reasons(reasoning.effort)


def _emulates(model: Model) -> bool:
    support = model.capabilities.get(Capability.STRUCTURED_OUTPUT)
    return support is not None and support.level is Level.EMULATED


def asked_reasoning(chosen: Chosen, ask: GenerateParams) -> ReasoningOptions:
    """What the caller said of thinking; where that is nothing, what the alias says."""
    said = ask.reasoning
    if chosen.alias is None or said.effort is not None or said.budget_tokens is not None:
        return said
    return replace(chosen.alias.reasoning, include=said.include)


class _Sampling:
    """The sampling options on their way to what the model takes."""

    def __init__(self, chosen: Chosen, ask: GenerateParams, settings: ProviderSettings) -> None:
        self._model: Model = chosen.model
        self._said = frozenset(name for name in NAMES if _is_said(getattr(ask.sampling, name)))
        self.told: list[SettingWarning] = []
        self.values: dict[str, Any] = {}
        for name in NAMES:
            levels = [getattr(ask.sampling, name), getattr(settings.defaults, name, None)]
            if chosen.alias is not None:
                levels.insert(1, getattr(chosen.alias.sampling, name))
            self.values[name] = next(filter(_is_said, levels), levels[0])

    def fit(self, reasoning: ReasoningOptions, version: str) -> None:
        """Bring every value into what the model takes while it thinks that much."""
        self._leave_out(reasoning, version)
        self._keep_one()
        self._lower("temperature", self._model.highest_temperature)
        self._lower("max_output_tokens", self._model.max_output)
        self._lift("max_output_tokens", self._model.least_output)
        self._shorten_stops()

    def _leave_out(self, reasoning: ReasoningOptions, version: str) -> None:
        model = self._model
        thinks = reasoning.budget_tokens is not None or model.reasons(reasoning.effort)
        for name in NAMES:
            if not _is_said(self.values[name]) or model.sampling is None:
                continue
            if name not in model.sampling:
                self._drop(name, "")
            elif thinks and model.sampling_while_reasoning is not None and name not in model.sampling_while_reasoning:
                self._drop(name, " while it thinks")
            elif name in VERSIONED and model.sampling_version not in ("", version):
                self._drop(name, f" under API version {version}")

    def _keep_one(self) -> None:
        """Where a model takes temperature or top_p but not both: what the caller said, temperature if that is both."""
        both = self.values["temperature"] is not None and self.values["top_p"] is not None
        if both and self._model.temperature_or_top_p:
            is_default = "temperature" not in self._said and "top_p" in self._said
            self._drop("temperature" if is_default else "top_p", " beside the other of temperature and top_p")

    def _lower(self, name: str, most: float | None) -> None:
        value = self.values[name]
        if value is not None and most is not None and value > most:
            self.values[name] = most
            self._tell(name, f"{value!r} is above what {self._model.id} takes; {most!r} is used.")

    def _lift(self, name: str, least: int | None) -> None:
        value = self.values[name]
        if value is not None and least is not None and value < least:
            self.values[name] = least
            self._tell(name, f"{value!r} is below what {self._model.id} takes; {least!r} is used.")

    def _shorten_stops(self) -> None:
        model, stops = self._model, self.values["stop_sequences"]
        if not model.blank_stop_sequences and not all(map(str.strip, stops)):
            stops = tuple(filter(str.strip, stops))
            self._tell("stop_sequences", f"{model.id} takes no blank ones; they were left out.")
        if model.most_stop_sequences is not None and len(stops) > model.most_stop_sequences:
            self._tell("stop_sequences", f"{model.id} takes {model.most_stop_sequences}; the others were left out.")
            stops = stops[: model.most_stop_sequences]
        self.values["stop_sequences"] = stops

    def _drop(self, name: str, when: str) -> None:
        self.values[name] = () if name == "stop_sequences" else None
        self._tell(name, f"{self._model.id} takes no {name}{when}; it was left out.")

    def _tell(self, name: str, message: str) -> None:
        if name in self._said:
            self.told.append(SettingWarning(f"sampling.{name}", message))


def _is_said(value: object) -> bool:
    return value is not None and value != ()
