"""Look models up by provider and id: facts, aliases, retired models and similar names."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

from ..config.models import ModelSettings
from ..config.providers import ProviderSettings
from .families import Families
from .loader import parse_catalog
from .model import Alias, Capability, Model, RetiredModel
from .overrides import apply_override

CATALOG_FILE = Path(__file__).with_name("catalog.toml")

MAX_UNLISTED_MODELS = 1000
"""How many models of providers that accept any model are kept: constructing one takes longer than a lookup."""

MAX_FUZZY_MATCH_LENGTH = 200
"""Characters of a name that are compared for suggestions; the cost of a comparison grows with the length."""


class Catalog:
    """The models this server knows, in the order of the file: newest first within a provider.

    Only `update_listed` changes a catalog. `open_providers` maps each provider that accepts any model to its wire.
    """

    def __init__(
        self,
        models: Iterable[Model],
        aliases: Iterable[Alias] = (),
        retired: Iterable[RetiredModel] = (),
        open_providers: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._aliases = {(alias.provider, alias.name): alias for alias in aliases}
        self._models = tuple(replace(model, aliases=self._aliases_of(model)) for model in models)
        self._retired = {(model.provider, model.id): model for model in retired}
        self._open = dict(open_providers)
        self._unlisted = lru_cache(MAX_UNLISTED_MODELS)(self._unlisted_model)
        self._listed: dict[str, dict[str, Model]] = {}
        self._by_id = {
            (model.provider, model_id): model for model in self._models for model_id in (model.id, *model.alternate_ids)
        }
        self._providers_by_id: dict[str, tuple[str, ...]] = {}
        for provider, model_id in self._by_id:
            self._providers_by_id[model_id] = (*self._providers_by_id.get(model_id, ()), provider)

    @property
    def unlisted_entries(self) -> int:
        """Number of cached models that the catalog does not list."""
        return self._unlisted.cache_info().currsize

    @classmethod
    def load(cls, file: Path = CATALOG_FILE) -> Catalog:
        """Read a catalog file, by default the built-in one. Raises ValueError for an invalid row."""
        data = parse_catalog(tomllib.loads(file.read_text("utf-8")))
        return cls(data.models, data.aliases, data.retired)

    def with_providers(self, providers: Mapping[str, ProviderSettings]) -> Catalog:
        """Return this catalog with the facts of each provider's wire and the models its settings list.

        A listed model that the catalog does not have is added without facts.
        """
        wires = {name: settings.wire for name, settings in providers.items()}
        known = [model.on_wire(wires.get(model.provider, "")) for model in self._models]
        added = [
            Model(name, model_id).on_wire(settings.wire)
            for name, settings in providers.items()
            for model_id in dict.fromkeys(settings.models)
            if (name, model_id) not in self._by_id
        ]
        open_providers = {name: settings.wire for name, settings in providers.items() if settings.allow_any_model}
        return Catalog(
            (*known, *added),
            self._aliases.values(),
            self._retired.values(),
            self._open | open_providers,
        )

    def with_overrides(self, overrides: Mapping[str, ModelSettings]) -> Catalog:
        """Return this catalog with the operator's facts, by 'provider/id'; an unknown model is added."""
        models = {(model.provider, model.id): model for model in self._models}
        for name, override in overrides.items():
            provider, _, model_id = name.partition("/")
            known = self.find(provider, model_id) or Model(provider, model_id)
            models[provider, known.id] = apply_override(known, override)
        return Catalog(models.values(), self._aliases.values(), self._retired.values(), self._open)

    def update_listed(self, provider: str, listed: Iterable[Model]) -> None:
        """Replace the models that only the provider lists. Models of the catalog and retired models are skipped.

        A listed model inherits the capabilities of its family.
        """
        known = (self._by_id, self._retired)
        families = Families(model for model in self._models if model.provider == provider)
        self._listed[provider] = {
            model.id: families.inherit(model)
            for model in listed
            if not any((provider, model.id) in names for names in known)
        }

    def adopt_listed(self, previous: Catalog, providers: Iterable[str]) -> None:
        """Keep the models that these providers listed when `previous` was in use."""
        for provider in providers:
            if provider in previous._listed:
                self.update_listed(provider, previous._listed[provider].values())

    def models(self, provider: str = "") -> tuple[Model, ...]:
        """Return one provider's models, or all, ordered by provider; within it, newest first, then listed models."""
        listed = (model for models in self._listed.values() for model in models.values())
        everything = sorted((*self._models, *listed), key=lambda model: model.provider)
        return tuple(model for model in everything if provider in ("", model.provider))

    def find(self, provider: str, model_id: str) -> Model | None:
        """Return the model with this id or alternate id.

        A provider that accepts any model has every id; an id it does not list has no facts.
        """
        found = self._by_id.get((provider, model_id)) or self._listed.get(provider, {}).get(model_id)
        if found is None and provider in self._open and model_id:
            return self._unlisted(provider, model_id)
        return found

    def providers_of(self, model_id: str) -> tuple[str, ...]:
        """Return the providers that have a model with this id."""
        return self._providers_by_id.get(model_id, ())

    def alias(self, provider: str, name: str) -> Alias | None:
        """Return a provider's alias by its name, such as 'latest'."""
        return self._aliases.get((provider, name))

    def aliases(self, provider: str = "") -> tuple[Alias, ...]:
        """Return one provider's aliases, or all."""
        return tuple(alias for alias in self._aliases.values() if provider in ("", alias.provider))

    def retired(self, provider: str, model_id: str) -> RetiredModel | None:
        """Return a retired model of the provider, or of any provider if none is named."""
        if provider:
            return self._retired.get((provider, model_id))
        return next((model for model in self._retired.values() if model.id == model_id), None)

    def similar_names(self, provider: str, name: str) -> tuple[str, ...]:
        """Return up to three similar ids or aliases as 'provider/name', the most similar first.

        >>> Catalog([Model("mock", "mock-large")]).similar_names("", "mock-lagre")
        ('mock/mock-large',)
        """
        names = {
            known: f"{owner}/{known}" for owner, known in (*self._by_id, *self._aliases) if provider in ("", owner)
        }
        close = get_close_matches(name[:MAX_FUZZY_MATCH_LENGTH], names, n=3, cutoff=0.6)
        return tuple(names[match] for match in close)

    def capable_models(
        self,
        capabilities: Iterable[Capability] = (),
        *,
        provider: str = "",
        matches: Callable[[Model], bool] = lambda model: True,
    ) -> tuple[Model, ...]:
        """Return the models with facts that support all capabilities and match; those of `provider` come first."""
        required = tuple(capabilities)
        capable = (
            model
            for model in self.models()
            if model.is_known and all(model.supports(capability) for capability in required) and matches(model)
        )
        return tuple(sorted(capable, key=lambda model: model.provider != provider))

    def _unlisted_model(self, provider: str, model_id: str) -> Model:
        return Model(provider, model_id).on_wire(self._open[provider])

    def _aliases_of(self, model: Model) -> tuple[str, ...]:
        return tuple(
            alias.name
            for alias in self._aliases.values()
            if alias.provider == model.provider and alias.model == model.id
        )
