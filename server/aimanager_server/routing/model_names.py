"""Finds the model that a name means: `[provider/]id` or `[provider/]alias`, and what to say where it means none.

Routes are none of them: who knows those asks for their targets. They are only told where a name is much like theirs.

A name is split at its first slash, and only where the left part is a provider, so that ids may hold slashes. A bare
name belongs to the provider of the server's default model. Where that one does not have it, an id that exactly one
provider lists is found there all the same; an alias is not, since every provider has the same ones.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, NoReturn

from ..catalog.catalog import Alias, Catalogue, Model, Retired
from ..core.errors import FieldViolation, InvalidRequest, ModelNotFound, ProviderNotFound
from ..core.request import Caller
from ..validation.messages import shown

if TYPE_CHECKING:
    from ..config.settings import ProviderSettings

LONGEST_NAME = 256

LATEST = "latest"

PREFERRED = ("claude", "openai", "deepseek")
"""Who answers first where nobody named a model; other configured providers follow in their order."""

LAST_RESORT = "mock"


@dataclass(frozen=True, slots=True)
class Chosen:
    """A model, the id it was asked for under (one of its snapshots, perhaps), and the alias that led there."""

    model: Model
    id: str
    alias: Alias | None = None


class Names:
    """What names mean on this server. `routes` are names too, with a meaning that is not known here."""

    def __init__(
        self,
        catalogue: Catalogue,
        providers: Mapping[str, ProviderSettings],
        default_model: str,
        has_key: Callable[[str], bool],
        routes: Collection[str] = (),
    ) -> None:
        self._catalogue = catalogue
        self._providers = providers
        self._default_model = default_model
        self._has_key = has_key
        self._routes = routes
        self._enabled = tuple(name for name, settings in providers.items() if settings.enabled)

    def choose(self, name: str, caller: Caller) -> Chosen:
        """The model that a name means; an empty one means the default.

        Raises InvalidRequest, UnknownProvider or ModelNotFound.
        """
        if len(name) > LONGEST_NAME:
            self._refuse(f"has {len(name)} characters, at most {LONGEST_NAME} fit")
        asked = name or self._default_model
        if not asked:
            return self._first(caller)
        provider, slash, rest = asked.partition("/")
        if slash and provider in self._providers:
            return self._at(provider, rest)
        return self._bare(asked, caller)

    def _at(self, provider: str, name: str) -> Chosen:
        if not self._providers[provider].enabled:
            raise ProviderNotFound(
                f"The provider {provider!r} is disabled on this server.",
                provider=provider,
                metadata=self._similar(provider),
            )
        chosen = self._known(provider, name)
        if chosen is not None:
            return chosen
        retired = self._catalogue.retired(provider, name)
        if retired is not None:
            raise _gone(retired)
        raise self._not_found(provider, name)

    def _bare(self, name: str, caller: Caller) -> Chosen:
        home = self._home(caller)
        chosen = self._known(home, name)
        if chosen is not None:
            return chosen
        owners = tuple(owner for owner in self._catalogue.owners(name) if owner in self._enabled)
        if len(owners) == 1:
            return self._at(owners[0], name)
        if owners:
            names = ", ".join(f"{owner}/{name}" for owner in owners)
            raise ModelNotFound(
                f"Several providers have the model {name!r}: {names}.",
                solution="Name the provider too.",
                metadata={"nearest": names},
            )
        retired = self._catalogue.retired(home, name) or self._catalogue.retired("", name)
        if retired is not None:
            raise _gone(retired)
        provider, slash, _ = name.partition("/")
        if slash:
            raise self._unknown_provider(provider)
        raise self._not_found("", name)

    def _known(self, provider: str, name: str) -> Chosen | None:
        alias = self._catalogue.alias(provider, name)
        model_id = alias.model if alias is not None else name
        model = self._catalogue.find(provider, model_id)
        return Chosen(model, model_id, alias) if model is not None else None

    def _home(self, caller: Caller) -> str:
        """The provider that bare names belong to."""
        provider, slash, _ = self._default_model.partition("/")
        if slash and provider in self._providers:
            return provider
        owners = [owner for owner in self._catalogue.owners(self._default_model) if owner in self._enabled]
        return owners[0] if len(owners) == 1 else self._with_key(caller)

    def _with_key(self, caller: Caller) -> str:
        """The first provider that can be asked something without being told a model."""
        preferred = [name for name in PREFERRED if name in self._enabled]
        others = [name for name in self._enabled if name not in PREFERRED and name != LAST_RESORT]
        for name in (*preferred, *others):
            if (name in caller.provider_keys or self._has_key(name)) and self._opening(name) is not None:
                return name
        return LAST_RESORT

    def _opening(self, provider: str) -> Chosen | None:
        """The model of a provider that answers where none is named: its latest, else the first it lists."""
        listed = self._catalogue.models(provider)
        return self._known(provider, LATEST if self._catalogue.alias(provider, LATEST) or not listed else listed[0].id)

    def _first(self, caller: Caller) -> Chosen:
        provider = self._with_key(caller)
        chosen = self._opening(provider) if provider in self._enabled else None
        if chosen is None:
            self._refuse("is empty, and the server has no default: name a model, such as 'claude/latest'")
        return chosen

    def _refuse(self, problem: str) -> NoReturn:
        raise InvalidRequest(f"model: {problem}.", violations=(FieldViolation("model", problem),))

    def _unknown_provider(self, provider: str) -> ProviderNotFound:
        return ProviderNotFound(
            f"There is no provider {shown(provider)}; there are {', '.join(self._enabled)}.",
            metadata=self._similar(provider),
        )

    def _similar(self, provider: str) -> Mapping[str, str]:
        near = get_close_matches(provider[:LONGEST_NAME], self._enabled, n=3)
        return {"nearest": ", ".join(near)} if near else {}

    def _not_found(self, provider: str, name: str) -> ModelNotFound:
        routes = () if provider else get_close_matches(name[:LONGEST_NAME], self._routes, n=3)
        models = self._catalogue.nearest(provider, name)
        near = ", ".join((*routes, *(known for known in models if known.partition("/")[0] in self._enabled)))
        place = f"the provider {provider!r}" if provider else "any provider here"
        return ModelNotFound(
            f"There is no model {shown(name)} at {place}.{f' Did you mean {near}?' if near else ''}",
            provider=provider,
            model=name,
            metadata={"nearest": near} if near else {},
        )


def _gone(retired: Retired) -> ModelNotFound:
    replacement = f"{retired.provider}/{retired.replacement}"
    when = f" on {retired.on.isoformat()}" if retired.on is not None else ""
    return ModelNotFound(
        f"{retired.provider} retired the model {retired.id!r}{when}; use {replacement!r} instead.",
        solution=f"Ask for {replacement!r}.",
        provider=retired.provider,
        model=retired.id,
        metadata={"replacement": replacement} | ({"retired": retired.on.isoformat()} if retired.on else {}),
    )
