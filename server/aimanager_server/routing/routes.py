"""Knows which names are routes: logical models, each of which leads to one of several targets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from ..catalog.catalog import Catalogue
from ..core.errors import GatewayError, InvalidRequest, ModelNotFound
from ..core.request import Caller
from .model_names import Names

if TYPE_CHECKING:
    from ..config.settings import ProviderSettings, RouteSettings

NOBODY = Caller()


class Routes:
    """The routes of this server, by name, against the models it has."""

    def __init__(
        self,
        routes: Mapping[str, RouteSettings],
        names: Names,
        catalogue: Catalogue,
        providers: Mapping[str, ProviderSettings],
    ) -> None:
        self._routes = routes
        self._names = names
        self._catalogue = catalogue
        self._providers = providers

    def check(self, default_model: str = "") -> None:
        """Raises InvalidRequest, naming the setting, where a route hides a model, or it or the default leads to none.

        A plug-in lists its models once the server is up, so any name is taken for one of its.
        """
        if default_model and default_model not in self._routes:
            self._check_model(default_model, "server.default_model")
        for name, route in self._routes.items():
            self._check_name(name)
            for field, models in (("targets", route.targets), ("fallback_models", route.fallback_models)):
                for index, model in enumerate(models):
                    self._check_model(model, f"routes.{name}.{field}[{index}]")

    def by_model(self) -> Mapping[tuple[str, str], tuple[str, ...]]:
        """The routes that may lead to each model, as a target or as a fallback, by provider and id."""
        found: dict[tuple[str, str], dict[str, None]] = {}
        for name, route in self._routes.items():
            for place in self._places(route):
                found.setdefault(place, {})[name] = None
        return {place: tuple(names) for place, names in found.items()}

    def _places(self, route: RouteSettings) -> Iterator[tuple[str, str]]:
        for name in (*route.targets, *route.fallback_models):
            try:
                model = self._names.choose(name, NOBODY).model
            except GatewayError:
                continue  # a plug-in's, perhaps, which is not known yet
            yield model.provider, model.id

    def _check_name(self, name: str) -> None:
        if any(alias.name == name for alias in self._catalogue.aliases()):
            raise InvalidRequest(f"routes.{name} cannot be used: {name!r} is an alias that every provider's model has.")
        owners = [owner for owner in self._catalogue.owners(name) if owner in self._providers]
        if owners:
            raise InvalidRequest(f"routes.{name} cannot be used: it would hide the model '{owners[0]}/{name}'.")

    def _check_model(self, name: str, place: str) -> None:
        try:
            model = self._names.choose(name, NOBODY).model
        except GatewayError as fault:
            provider = self._providers.get(fault.provider)
            if isinstance(fault, ModelNotFound) and provider is not None and provider.wire == "plugin":
                return
            raise InvalidRequest(f"{place} cannot be used: {fault.message}") from fault
        left, slash, _ = name.partition("/")
        is_guess = not model.is_known and model.id not in self._providers[model.provider].models
        if slash and left not in self._providers and is_guess:
            raise InvalidRequest(
                f"{place} cannot be used: {name!r} names no provider; write '{model.provider}/{name}' for a model that "
                f"{model.provider!r} knows by that name."
            )
