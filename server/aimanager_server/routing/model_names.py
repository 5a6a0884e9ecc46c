"""Resolve model names, `[provider/]id` or `[provider/]alias`, and suggest similar names for unknown ones.

Routes are resolved by the caller of this module; here they only serve as suggestions.

A name is split at its first slash, and only if the left part is a provider, since ids may contain slashes. A bare name
belongs to the provider of the server's default model. If that provider does not have it, an id that exactly one
provider has resolves there. An alias does not, since all providers have the same aliases.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from difflib import get_close_matches

from ..catalog.catalog import Catalog
from ..catalog.model import MAX_MODEL_NAME_LENGTH, Alias, Model, RetiredModel
from ..config.provider_defaults import KNOWN_PROVIDERS
from ..config.providers import ProviderSettings
from ..core.errors import FieldViolation, InvalidRequest, ModelNotFound, ProviderNotFound
from ..core.request import Caller
from ..core.value import dataclass
from ..validation.violations import quoted

LATEST = "latest"

PREFERRED_PROVIDERS = ("claude", "openai", "deepseek")
"""Providers tried first if neither the request nor the settings name a model; others follow in configured order."""

LAST_WIRE = "mock"
"""The wire of providers that are tried last, since they invent their answers."""


@dataclass(frozen=True, slots=True)
class ResolvedModel:
    """A model, the id it was requested under (possibly an alternate id), and the alias that led to it."""

    model: Model
    id: str
    alias: Alias | None = None


class ModelNameResolver:
    """Resolve names to models of the configured providers. `routes` are suggested for unknown names."""

    def __init__(
        self,
        catalog: Catalog,
        providers: Mapping[str, ProviderSettings],
        default_model: str,
        routes: Collection[str] = (),
    ) -> None:
        self._catalog = catalog
        self._providers = providers
        self._default_model = default_model
        self._routes = routes
        self._enabled = tuple(name for name, settings in providers.items() if settings.enabled)
        self._preferred = self._preferred_providers()
        self._default_provider = self._provider_of_default_model()

    def resolve(self, name: str, caller: Caller) -> ResolvedModel:
        """Return the model of a name; an empty name means the default model.

        Raises InvalidRequest, ProviderNotFound or ModelNotFound.
        """
        if len(name) > MAX_MODEL_NAME_LENGTH:
            raise _invalid_model(f"must have at most {MAX_MODEL_NAME_LENGTH} characters, got {len(name)}")
        requested = name or self._default_model
        if not requested:
            return self._implicit_default(caller)
        provider, slash, rest = requested.partition("/")
        if slash and provider in self._providers:
            return self._resolve_at(provider, rest)
        return self._resolve_bare(requested, caller)

    def _resolve_at(self, provider: str, name: str) -> ResolvedModel:
        if not self._providers[provider].enabled:
            raise ProviderNotFound(
                f"Provider {provider!r} is disabled on this server.",
                provider=provider,
                metadata=self._similar_providers(provider),
            )
        resolved = self._find(provider, name)
        if resolved is not None:
            return resolved
        retired = self._catalog.retired(provider, name)
        if retired is not None:
            raise _retired_error(retired)
        raise self._model_not_found(provider, name)

    def _resolve_bare(self, name: str, caller: Caller) -> ResolvedModel:
        default_provider = self._default_provider or self._first_usable_provider(caller)
        resolved = self._find(default_provider, name)
        if resolved is not None:
            return resolved
        providers = tuple(provider for provider in self._catalog.providers_of(name) if provider in self._enabled)
        if len(providers) == 1:
            return self._resolve_at(providers[0], name)
        if providers:
            names = ", ".join(f"{provider}/{name}" for provider in providers)
            raise ModelNotFound(
                f"Model {name!r} is ambiguous: {names}.",
                solution=f"Add the provider, such as '{providers[0]}/{name}'.",
                metadata={"nearest": names},
            )
        retired = self._catalog.retired(default_provider, name) or self._catalog.retired("", name)
        if retired is not None:
            raise _retired_error(retired)
        provider, slash, _ = name.partition("/")
        if slash:
            raise self._provider_not_found(provider)
        raise self._model_not_found("", name)

    def _find(self, provider: str, name: str) -> ResolvedModel | None:
        alias = self._catalog.alias(provider, name)
        model_id = alias.model if alias is not None else name
        model = self._catalog.find(provider, model_id)
        return ResolvedModel(model, model_id, alias) if model is not None else None

    def _provider_of_default_model(self) -> str:
        """Return the provider that bare names belong to; empty if it depends on the caller's keys."""
        provider, slash, _ = self._default_model.partition("/")
        if slash and provider in self._providers:
            return provider
        owners = [owner for owner in self._catalog.providers_of(self._default_model) if owner in self._enabled]
        return owners[0] if len(owners) == 1 else ""

    def _first_usable_provider(self, caller: Caller) -> str:
        """Return the first provider with a default model that has a key or needs none.

        If none is usable, return the first with a default model, so that the error names its key; empty if none has.
        """
        with_default = [name for name in self._preferred if self._default_model_of(name) is not None]
        for name in with_default:
            if self._preferred[name] or name in caller.provider_keys:
                return name
        return with_default[0] if with_default else ""

    def _preferred_providers(self) -> Mapping[str, bool]:
        """Return the providers in the order of preference, and whether the server can call each without more keys.

        Those that need no key follow those that do, and the mock provider is the last.
        """
        preferred = [name for name in PREFERRED_PROVIDERS if name in self._enabled]
        others = sorted(
            (name for name in self._enabled if name not in PREFERRED_PROVIDERS),
            key=lambda name: (self._providers[name].wire == LAST_WIRE, not self._providers[name].api_key_env),
        )
        return {name: not self._providers[name].lacks_api_key for name in (*preferred, *others)}

    def _default_model_of(self, provider: str) -> ResolvedModel | None:
        """Return the provider's `latest` model, or the first it lists."""
        listed = self._catalog.models(provider) if self._catalog.alias(provider, LATEST) is None else ()
        return self._find(provider, listed[0].id if listed else LATEST)

    def _implicit_default(self, caller: Caller) -> ResolvedModel:
        provider = self._first_usable_provider(caller)
        resolved = self._default_model_of(provider) if provider else None
        if resolved is None:
            raise _invalid_model("must be set, since the server has no default model; use a name like 'claude/latest'")
        return resolved

    def _provider_not_found(self, provider: str) -> ProviderNotFound:
        hint = ""
        if provider in KNOWN_PROVIDERS:
            key = KNOWN_PROVIDERS[provider].get("api_key_env")
            hint = f" To configure it, add [providers.{provider}] to the config file{f' or set {key}' if key else ''}."
        return ProviderNotFound(
            f"Provider {quoted(provider)} not found. Configured providers: {', '.join(self._enabled)}.{hint}",
            metadata=self._similar_providers(provider),
        )

    def _similar_providers(self, provider: str) -> Mapping[str, str]:
        similar = get_close_matches(provider[:MAX_MODEL_NAME_LENGTH], self._enabled, n=3)
        return {"nearest": ", ".join(similar)} if similar else {}

    def _model_not_found(self, provider: str, name: str) -> ModelNotFound:
        routes = () if provider else get_close_matches(name[:MAX_MODEL_NAME_LENGTH], self._routes, n=3)
        models = self._catalog.similar_names(provider, name)
        similar = ", ".join((*routes, *(known for known in models if known.partition("/")[0] in self._enabled)))
        location = f" at provider {provider!r}" if provider else ""
        return ModelNotFound(
            f"Model {quoted(name)} not found{location}.{f' Did you mean {similar}?' if similar else ''}",
            provider=provider,
            model=name,
            metadata={"nearest": similar} if similar else {},
        )


def _invalid_model(description: str) -> InvalidRequest:
    return InvalidRequest(f"model {description}.", violations=(FieldViolation("model", description),))


def _retired_error(retired: RetiredModel) -> ModelNotFound:
    replacement = f"{retired.provider}/{retired.replacement}"
    date = retired.retired_on.isoformat() if retired.retired_on is not None else ""
    return ModelNotFound(
        f"Model '{retired.provider}/{retired.id}' was retired{f' on {date}' if date else ''}. "
        f"Use '{replacement}' instead.",
        solution=f"Use '{replacement}'.",
        provider=retired.provider,
        model=retired.id,
        metadata={"replacement": replacement} | ({"retired": date} if date else {}),
    )
