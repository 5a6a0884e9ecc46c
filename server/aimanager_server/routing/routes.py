"""Validate the configured routes, and find the routes that lead to a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ..catalog.catalog import Catalog
from ..config.providers import ProviderSettings
from ..config.routes import RouteSettings
from ..core.errors import GatewayError, InvalidRequest, ModelNotFound
from ..core.request import Caller
from .model_names import ModelNameResolver

ANONYMOUS = Caller()


class RouteTable:
    """The routes of this server by name."""

    def __init__(
        self,
        routes: Mapping[str, RouteSettings],
        names: ModelNameResolver,
        catalog: Catalog,
        providers: Mapping[str, ProviderSettings],
    ) -> None:
        self._routes = routes
        self._names = names
        self._catalog = catalog
        self._providers = providers

    def validate(self, default_model: str = "") -> None:
        """Raise InvalidRequest, naming the setting, if a route hides a model, or a configured model does not exist.

        Any name is accepted for a plug-in, which lists its models only after startup.
        """
        if default_model and default_model not in self._routes:
            self._validate_model(default_model, "server.default_model")
        for name, route in self._routes.items():
            self._validate_name(name)
            for field, models in (("targets", route.targets), ("fallback_models", route.fallback_models)):
                for index, model in enumerate(models):
                    self._validate_model(model, f"routes.{name}.{field}[{index}]")

    def routes_by_model(self) -> Mapping[tuple[str, str], tuple[str, ...]]:
        """Return the routes that have each model as a target or fallback, by provider and id."""
        routes: dict[tuple[str, str], dict[str, None]] = {}
        for name, route in self._routes.items():
            for key in self._model_keys(route):
                routes.setdefault(key, {})[name] = None
        return {key: tuple(names) for key, names in routes.items()}

    def _model_keys(self, route: RouteSettings) -> Iterator[tuple[str, str]]:
        for name in (*route.targets, *route.fallback_models):
            try:
                model = self._names.resolve(name, ANONYMOUS).model
            except GatewayError:
                continue  # The model of a plug-in may become known later.
            yield model.provider, model.id

    def _validate_name(self, name: str) -> None:
        if any(alias.name == name for alias in self._catalog.aliases()):
            raise InvalidRequest(f"routes.{name} has the name of an alias, {name!r}. Rename the route.")
        providers = [provider for provider in self._catalog.providers_of(name) if provider in self._providers]
        if providers:
            raise InvalidRequest(f"routes.{name} hides the model '{providers[0]}/{name}'. Rename the route.")

    def _validate_model(self, name: str, setting: str) -> None:
        try:
            model = self._names.resolve(name, ANONYMOUS).model
        except GatewayError as error:
            provider = self._providers.get(error.provider)
            if isinstance(error, ModelNotFound) and provider is not None and provider.wire == "plugin":
                return
            raise InvalidRequest(f"{setting} is invalid: {error.message}") from error
        left, slash, _ = name.partition("/")
        is_assumed = not model.is_known and model.id not in self._providers[model.provider].models
        if slash and left not in self._providers and is_assumed:
            raise InvalidRequest(
                f"{setting} must start with a configured provider, got {name!r}. "
                f"Write '{model.provider}/{name}' for a model of {model.provider!r} with this id."
            )
