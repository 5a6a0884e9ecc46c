"""Normalize the options of a request for one model.

The caller's options take precedence over the alias, the alias over the operator's defaults. An option of the caller
that the model does not support is removed or changed to the nearest supported value, with a warning. Options of an
alias or of the operator are adjusted without a warning.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from typing import Any

from ..catalog.model import Capability, Model, SupportLevel
from ..config.providers import ProviderSettings, SamplingDefaults
from ..core.content import Effort, ReasoningOptions, Sampling
from ..core.request import GenerateParams, Target
from ..core.response import SettingWarning
from .candidates import Candidate
from .model_names import ResolvedModel
from .reasoning import BUDGET, EFFORT, INCLUDE, fit_budget, normalize_reasoning
from .timeouts import StreamTimeoutsResolver

SAMPLING_FIELDS = tuple(field.name for field in fields(Sampling))

API_VERSIONED_FIELDS = frozenset(("temperature", "top_p", "top_k"))
"""Fields that later versions of the Messages API reject for every model."""

LONG_OUTPUT_TOKENS = 16_384
"""Output limit above which the gateway streams upstream, since a unary response would give no sign of progress.

Without a requested limit the answer is assumed to be shorter: few answers reach the limit of their model.
"""


class OptionsNormalizer:
    """Normalize the options of requests for the models of the configured providers."""

    def __init__(self, providers: Mapping[str, ProviderSettings], timeouts: StreamTimeoutsResolver) -> None:
        self._defaults = {name: _set_fields(settings.defaults) for name, settings in providers.items()}
        self._api_versions = {name: settings.api_version for name, settings in providers.items()}
        self._end_user_fields = {name: settings.end_user_field for name, settings in providers.items()}
        self._timeouts = timeouts

    def __call__(self, candidate: Candidate, params: GenerateParams, warnings: Sequence[SettingWarning] = ()) -> Target:
        """Return the target with options that the model supports.

        Its warnings are those about options that were changed, then `warnings`.
        """
        resolved = candidate.resolved
        model = resolved.model
        reasoning, reasoning_warnings = normalize_reasoning(
            model,
            candidate.reasoning,
            set_by_caller=params.reasoning.effort is not None,
            has_tools=bool(params.tools),
        )
        sampling, sampling_warnings = self._sampling(resolved, params.sampling, reasoning)
        reasoning, budget_warnings = fit_budget(model, reasoning, sampling.max_output_tokens)
        is_reasoning, can_stream = _is_reasoning(model, reasoning), model.supports(Capability.STREAMING) is not False
        has_long_output = (sampling.max_output_tokens or 0) > LONG_OUTPUT_TOKENS
        return Target(
            provider=model.provider,
            model=resolved.id,
            sampling=sampling,
            reasoning=reasoning,
            options=self._native_options(model.provider, params),
            emulates_format=_emulates_structured_output(model),
            warnings=(
                *sampling_warnings,
                *reasoning_warnings,
                *budget_warnings,
                *self._end_user_warnings(model.provider, params),
                *warnings,
            ),
            defaulted_fields=_defaulted_fields(sampling, params),
            context_window=model.context_window,
            timeouts=self._timeouts(model, params, is_reasoning=is_reasoning),
            is_reasoning=is_reasoning,
            can_stream=can_stream,
            prefers_streaming=can_stream and (is_reasoning or has_long_output),
        )

    def _native_options(self, provider: str, params: GenerateParams) -> Mapping[str, Any]:
        """Return the caller's native options, to which the provider's field for the end user is added."""
        options, field = params.provider_options.get(provider, {}), self._end_user_fields[provider]
        if not (params.end_user_id and field):
            return options
        name, _, nested = field.partition(".")
        if not nested:
            return {name: params.end_user_id, **options}
        parent = options.get(name, {})
        return {**options, name: {nested: params.end_user_id, **parent}} if isinstance(parent, Mapping) else options

    def _end_user_warnings(self, provider: str, params: GenerateParams) -> Sequence[SettingWarning]:
        if not params.end_user_id or self._end_user_fields[provider]:
            return ()
        return (SettingWarning("end_user_id", f"{provider} has no field for end users; it was removed."),)

    def _sampling(
        self, resolved: ResolvedModel, requested: Sampling, reasoning: ReasoningOptions
    ) -> tuple[Sampling, Sequence[SettingWarning]]:
        """Merge the options of caller, alias and operator, and fit them to the model."""
        provider = resolved.model.provider
        set_by_caller = _set_fields(requested)
        alias = _set_fields(resolved.alias.sampling) if resolved.alias is not None else {}
        values = {**self._defaults[provider], **alias, **set_by_caller}
        if not values:
            return requested, ()
        normalizer = _SamplingNormalizer(resolved.model, values, set_by_caller.keys())
        normalizer.normalize(reasoning, self._api_versions[provider])
        return requested if values == set_by_caller else Sampling(**values), normalizer.warnings


def _defaulted_fields(sampling: Sampling, params: GenerateParams) -> frozenset[str]:
    """Return the options that come from an alias or from the operator."""
    reasoning, requested = params.reasoning, params.sampling
    fields = (
        []
        if sampling is requested
        else [f"sampling.{name}" for name in SAMPLING_FIELDS if getattr(requested, name) in (None, ())]
    )
    if reasoning.effort is None:
        fields.append(EFFORT)
    if reasoning.budget_tokens is None:
        fields.append(BUDGET)
    if not reasoning.include or reasoning.is_include_optional:
        fields.append(INCLUDE)
    return frozenset(fields)


def _is_reasoning(model: Model, reasoning: ReasoningOptions) -> bool:
    if model.thinking == "none":
        return False
    is_requested = reasoning.budget_tokens is not None or reasoning.effort not in (None, Effort.NONE)
    return is_requested or model.thinking == "always" or model.reasons_at(reasoning.effort)


def _emulates_structured_output(model: Model) -> bool:
    support = model.capabilities.get(Capability.STRUCTURED_OUTPUT)
    return support is not None and support.level is SupportLevel.EMULATED


def _set_fields(sampling: Sampling | SamplingDefaults) -> dict[str, Any]:
    """Return the options that are set, by field."""
    values = {}
    for name in SAMPLING_FIELDS:
        value = getattr(sampling, name, None)
        if value is not None and value != ():
            values[name] = value
    return values


class _SamplingNormalizer:
    """Fit sampling options to a model in place. `values` holds the options that are set, by field."""

    def __init__(self, model: Model, values: dict[str, Any], set_by_caller: Collection[str]) -> None:
        self._model = model
        self._set_by_caller = set_by_caller
        self.values = values
        self.warnings: list[SettingWarning] = []

    def normalize(self, reasoning: ReasoningOptions, api_version: str) -> None:
        self._remove_unsupported(reasoning, api_version)
        self._resolve_exclusive_fields()
        self._cap("temperature", self._model.max_temperature)
        self._cap("max_output_tokens", self._model.max_output_tokens)
        self._raise_to_minimum("max_output_tokens", self._model.min_output_tokens)
        self._limit_stop_sequences()

    def _remove_unsupported(self, reasoning: ReasoningOptions, api_version: str) -> None:
        model = self._model
        if model.sampling_fields is None:
            return
        is_reasoning = reasoning.budget_tokens is not None or model.reasons_at(reasoning.effort)
        while_reasoning = model.sampling_fields_while_reasoning if is_reasoning else None
        for name in SAMPLING_FIELDS:
            if name not in self.values:
                continue
            if name not in model.sampling_fields:
                self._remove(name)
            elif while_reasoning is not None and name not in while_reasoning:
                self._remove(name, " while reasoning")
            elif name in API_VERSIONED_FIELDS and model.sampling_api_version not in ("", api_version):
                self._remove(name, f" with API version {api_version}")

    def _resolve_exclusive_fields(self) -> None:
        """Keep the field the caller set if the model accepts only one of temperature and top_p; else temperature."""
        if self._model.temperature_excludes_top_p and "temperature" in self.values and "top_p" in self.values:
            if "temperature" not in self._set_by_caller and "top_p" in self._set_by_caller:
                self._remove("temperature", " together with top_p")
            else:
                self._remove("top_p", " together with temperature")

    def _cap(self, name: str, maximum: float | None) -> None:
        value = self.values.get(name)
        if value is not None and maximum is not None and value > maximum:
            self.values[name] = maximum
            self._warn(name, f"{self._model.id} accepts at most {maximum!r}, got {value!r}; {maximum!r} is used.")

    def _raise_to_minimum(self, name: str, minimum: int | None) -> None:
        value = self.values.get(name)
        if value is not None and minimum is not None and value < minimum:
            self.values[name] = minimum
            self._warn(name, f"{self._model.id} requires at least {minimum}, got {value}; {minimum} is used.")

    def _limit_stop_sequences(self) -> None:
        if "stop_sequences" not in self.values:
            return
        model, stops = self._model, self.values["stop_sequences"]
        if not model.blank_stop_sequences and not all(map(str.strip, stops)):
            stops = tuple(filter(str.strip, stops))
            self._warn("stop_sequences", f"{model.id} does not support blank stop sequences; they were removed.")
        maximum = model.max_stop_sequences
        if maximum is not None and len(stops) > maximum:
            message = f"{model.id} accepts at most {maximum}, got {len(stops)}; the first {maximum} are used."
            self._warn("stop_sequences", message)
            stops = stops[:maximum]
        self.values["stop_sequences"] = stops

    def _remove(self, name: str, condition: str = "") -> None:
        del self.values[name]
        self._warn(name, f"{self._model.id} does not support {name}{condition}; it was removed.")

    def _warn(self, name: str, message: str) -> None:
        if name in self._set_by_caller:
            self.warnings.append(SettingWarning(f"sampling.{name}", message))
