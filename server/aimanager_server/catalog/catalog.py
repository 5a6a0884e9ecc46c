"""Knows which models there are, what their names mean and what each can do."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from .loader import rows_of
from .model import Alias, Capability, Level, Model, Prices, Rates, Retired, Support, Thinking
from .overrides import Correction, corrected

__all__ = [
    "Alias",
    "Capability",
    "Catalogue",
    "Level",
    "Model",
    "Prices",
    "Rates",
    "Retired",
    "Support",
    "Thinking",
]

FILE = Path(__file__).with_name("catalog.toml")

LONGEST_NAME = 200
"""Names are compared up to here: what is longer is no typing error, and comparing takes time."""


class Offer(Protocol):
    """What the operator adds for one provider; the provider's settings say it."""

    @property
    def models(self) -> Sequence[str]:
        """Ids beside those of the catalogue."""
        ...

    @property
    def allow_any_model(self) -> bool:
        """Ids that nobody listed are passed on as they are."""
        ...

    @property
    def wire(self) -> str:
        """The protocol it is set to, which decides what its models can do there."""
        ...


class Lister(Protocol):
    """Asks somebody which models there are."""

    async def models(self) -> Sequence[Model]:
        """What is listed, in the lister's order. Raises GatewayError."""
        ...


class Catalogue:
    """Looks models up. Rows are in the order of the file: newest first within a provider.

    All of it is fixed but for what providers were seen to list. `open_providers` take any model, asked in their wire.
    """

    def __init__(
        self,
        models: Iterable[Model],
        aliases: Iterable[Alias] = (),
        retired: Iterable[Retired] = (),
        open_providers: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._aliases = {(alias.provider, alias.name): alias for alias in aliases}
        self._models = tuple(replace(model, aliases=self._aliases_of(model)) for model in models)
        self._retired = {(model.provider, model.id): model for model in retired}
        self._open = dict(open_providers)
        self._listed: dict[str, dict[str, Model]] = {}
        self._by_id = {(model.provider, name): model for model in self._models for name in (model.id, *model.also)}

    @classmethod
    def load(cls, file: Path = FILE) -> Catalogue:
        """The catalogue of a file, the one that comes with the server by default. Raises ValueError on a bad row."""
        rows = rows_of(tomllib.loads(file.read_text("utf-8")))
        return cls(rows.models, rows.aliases, rows.retired)

    def with_providers(self, offers: Mapping[str, Offer]) -> Catalogue:
        """This catalogue as the operator configured it, plus models of which nothing is known and nothing refused."""
        wires = {provider: offer.wire for provider, offer in offers.items()}
        known = [model.over(wires.get(model.provider, "")) for model in self._models]
        added = [
            Model(provider, model_id).over(offer.wire)
            for provider, offer in offers.items()
            for model_id in dict.fromkeys(offer.models)
            if (provider, model_id) not in self._by_id
        ]
        open_providers = {provider: wires[provider] for provider, offer in offers.items() if offer.allow_any_model}
        return Catalogue(
            (*known, *added),
            self._aliases.values(),
            self._retired.values(),
            self._open | open_providers,
        )

    def corrected(self, corrections: Mapping[str, Correction]) -> Catalogue:
        """This catalogue as the operator sets it right, by 'provider/id'; a model it does not have is added."""
        models = {(model.provider, model.id): model for model in self._models}
        for name, correction in corrections.items():
            provider, _, model_id = name.partition("/")
            known = self.find(provider, model_id) or Model(provider, model_id)
            models[provider, known.id] = corrected(known, correction)
        return Catalogue(models.values(), self._aliases.values(), self._retired.values(), self._open)

    def learn(self, provider: str, listed: Iterable[Model]) -> None:
        """Know the models too that a provider lists beside those of the file, in place of what it listed before.

        Those that were retired are passed over.
        """
        known = (self._by_id, self._retired)
        self._listed[provider] = {
            model.id: model for model in listed if not any((provider, model.id) in names for names in known)
        }

    def models(self, provider: str = "") -> tuple[Model, ...]:
        """One provider's models, newest first, then what else it lists; without a name everybody's, by provider."""
        listed = (model for models in self._listed.values() for model in models.values())
        everything = sorted((*self._models, *listed), key=lambda model: model.provider)
        return tuple(model for model in everything if provider in ("", model.provider))

    def find(self, provider: str, model_id: str) -> Model | None:
        """The model that a provider serves under an id, a snapshot's included.

        A provider that takes any model has every id; what is not listed has no facts.
        """
        found = self._by_id.get((provider, model_id)) or self._listed.get(provider, {}).get(model_id)
        if found is None and provider in self._open and model_id:
            return Model(provider, model_id).over(self._open[provider])
        return found

    def owners(self, model_id: str) -> tuple[str, ...]:
        """The providers that list the id."""
        return tuple(provider for provider, name in self._by_id if name == model_id)

    def alias(self, provider: str, name: str) -> Alias | None:
        """What a name such as 'latest' means at a provider."""
        return self._aliases.get((provider, name))

    def aliases(self, provider: str = "") -> tuple[Alias, ...]:
        """Every alias, or one provider's."""
        return tuple(alias for alias in self._aliases.values() if provider in ("", alias.provider))

    def retired(self, provider: str, model_id: str) -> Retired | None:
        """The record of a model that is gone; without a provider, anybody's."""
        if provider:
            return self._retired.get((provider, model_id))
        return next((model for model in self._retired.values() if model.id == model_id), None)

    def nearest(self, provider: str, name: str) -> tuple[str, ...]:
        """Names much like this one, at most three, the nearest first, each as 'provider/name'.

        >>> Catalogue([Model("mock", "mock-large")]).nearest("", "mock-lagre")
        ('mock/mock-large',)
        """
        names = {
            known: f"{owner}/{known}" for owner, known in (*self._by_id, *self._aliases) if provider in ("", owner)
        }
        return tuple(names[match] for match in get_close_matches(name[:LONGEST_NAME], names, n=3, cutoff=0.6))

    def able(
        self,
        capabilities: Iterable[Capability] = (),
        *,
        provider: str = "",
        suits: Callable[[Model], bool] = lambda model: True,
    ) -> tuple[Model, ...]:
        """Models known to have all of the capabilities and to suit; `provider`'s first, each newest first."""
        wanted = tuple(capabilities)
        able = (
            model
            for model in self.models()
            if model.is_known and all(model.can(capability) for capability in wanted) and suits(model)
        )
        return tuple(sorted(able, key=lambda model: model.provider != provider))

    def _aliases_of(self, model: Model) -> tuple[str, ...]:
        return tuple(
            alias.name
            for alias in self._aliases.values()
            if alias.provider == model.provider and alias.model == model.id
        )
