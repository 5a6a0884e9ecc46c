"""What an operator says about one provider: where it is, which keys open it, and which models it has."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, PrivateAttr, field_serializer, model_validator

from .types import (
    Count,
    File,
    HeaderName,
    HeaderValue,
    Key,
    KeyFile,
    Place,
    Seconds,
    Section,
    is_loopback,
    key_from,
    misfits,
)

VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")

KEY_NAMES = ("api_key", "api_key_file", "keys")
"""The three ways to say a provider's keys: the highest level that says one decides."""


@dataclass(frozen=True, slots=True)
class Credential:
    """One key of the server's at a provider, and its share of the calls beside the other keys."""

    key: str = field(repr=False)
    weight: int = 1


class KeySettings(Section):
    """One of several keys, given itself or in a file that is read once, when this is made."""

    api_key: Key | None = None
    """The key itself. A file or an environment variable is safer: configuration gets copied."""
    api_key_file: KeyFile | None = None
    """A file that holds the key alone."""
    weight: Count = 1
    """Its share of the calls beside the other keys."""
    _credential: Credential = PrivateAttr()

    def credential(self) -> Credential:
        """The key that was given or read."""
        return self._credential

    @model_validator(mode="after")
    def _is_readable(self) -> Self:
        credential = None if self.api_key and self.api_key_file else _credential(self, self.weight)
        if credential is None:
            raise misfits([((), "holds both or neither; accepted is exactly one of api_key and api_key_file")])
        self._credential = credential
        return self


class Defaults(Section):
    """Values for calls that do not say. A model that refuses one is asked without it."""

    max_output_tokens: Count | None = None
    """The longest answer, in tokens."""
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    """Randomness, 0 to 2."""
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    """Nucleus sampling, 0 to 1."""


def _variable(name: str) -> str:
    if name and not VARIABLE.fullmatch(name):
        raise ValueError("is no name of a variable; accepted are letters, digits and _, such as ACME_API_KEY")
    return name


def _without_last_slash(url: str) -> str:
    return url.rstrip("/")


class ProviderSettings(Section):
    """One provider. Its key files are read once, when this is made."""

    enabled: bool = True
    """Whether calls may go to it."""
    wire: Literal["claude", "chat_completions", "responses", "gemini", "mock", "plugin"]
    """The protocol it speaks. OpenAI's older models are asked by chat_completions where this says responses.

    `plugin` is for the names in [plugins].
    """
    base_url: Annotated[str, AfterValidator(_without_last_slash)] = ""
    """Where its API begins: http or https, without user, query or fragment. The mock wire needs none."""
    allow_plaintext: bool = False
    """Accept http:// beyond this machine. Keys and prompts can then be read on the way: behind a mesh only."""
    api_key: Key | None = None
    """The server's key. Without any key here, `key_variable` is read."""
    api_key_file: KeyFile | None = None
    """A file that holds the key alone."""
    keys: list[KeySettings] = Field(default_factory=list)
    """Several keys that share the calls by weight."""
    key_variable: Annotated[str, AfterValidator(_variable)] = ""
    """The environment variable that holds the key; empty where none is needed. GOOGLE_API_KEY: GEMINI_API_KEY too."""
    version: HeaderValue = "2023-06-01"
    """The anthropic-version header of the claude wire; the api-version of Azure."""
    models: list[Annotated[str, Field(min_length=1)]] = Field(default_factory=list)
    """The models it has, beside those of the catalogue."""
    allow_any_model: bool = False
    """Pass names on that neither `models` nor the catalogue knows."""
    headers: dict[HeaderName, HeaderValue] = Field(default_factory=dict, repr=False)
    """Headers added to every request to it. Treated as secret."""
    options: dict[str, Any] = Field(default_factory=dict, repr=False)
    """Native fields merged into every request; the scripts of the mock wire."""
    defaults: Defaults = Defaults()
    """Values for calls that do not say."""
    key_spread: Literal["weighted", "least_loaded"] = "weighted"
    """Which of several keys a call gets: in turn by weight, or the one with the fewest calls under way."""
    probe: Literal["models", "generation", "off"] = "models"
    """What is asked while a circuit is open: the model list, which is free; one token of the model; or nothing."""
    max_in_flight: Count | None = None
    """Calls to it at once; those beyond wait a moment, then another target is asked. Unlimited where not said."""
    connect_timeout_seconds: Seconds = 2.0
    """How long one connection may take to open."""
    max_connections: Count = 1000
    """Connections at once, one for each call on its way."""
    idle_connections: Annotated[int, Field(ge=0)] = 100
    """Connections kept open for later calls."""
    ca_file: File | None = None
    """Certificate authorities to trust instead of the system's."""
    use_proxy: bool = False
    """Go through the proxy that HTTPS_PROXY and its kin name."""
    _credentials: tuple[Credential, ...] = PrivateAttr(default=())

    def credentials(self) -> tuple[Credential, ...]:
        """The server's keys, in the order given; empty where there is none."""
        return self._credentials

    @model_validator(mode="after")
    def _is_usable(self) -> Self:
        found = [*self._url_problems(), *self._key_problems()]
        if found:
            raise misfits(found)
        alone = _credential(self, weight=1)
        self._credentials = (alone,) if alone else tuple(key.credential() for key in self.keys)
        return self

    def _url_problems(self) -> Iterator[tuple[Place, str]]:
        needs_none = self.wire in ("mock", "plugin") and not self.base_url
        text = "" if needs_none else _url_problem(self.base_url, self.allow_plaintext)
        if text:
            yield ("base_url",), text

    def _key_problems(self) -> Iterator[tuple[Place, str]]:
        said = [name for name in KEY_NAMES if getattr(self, name)]
        for name in said[1:]:
            yield (name,), f"stands beside {said[0]}; accepted is one of {', '.join(KEY_NAMES)}"

    @field_serializer("headers")
    def _masked(self, headers: dict[str, str]) -> dict[str, str]:
        return dict.fromkeys(headers, "••••")


def _credential(section: KeySettings | ProviderSettings, weight: int) -> Credential | None:
    if section.api_key is not None:
        return Credential(section.api_key.get_secret_value(), weight)
    if section.api_key_file is None:
        return None
    try:
        return Credential(key_from(section.api_key_file), weight)
    except ValueError as error:
        raise misfits([(("api_key_file",), str(error))]) from None


def _url_problem(base_url: str, allow_plaintext: bool) -> str:
    if not base_url:
        return "is missing; accepted is the http or https URL where the provider's API begins"
    try:
        url = urlsplit(base_url)
        has_host = bool(url.hostname) and url.port != 0
    except ValueError:
        return "is not a URL; accepted is one such as https://host/v1"
    extra = "@" in url.netloc or url.query or url.fragment or not base_url.isprintable() or " " in base_url
    if url.scheme not in ("http", "https") or not has_host or extra:
        return "is not a plain http or https URL; accepted is one without user, password, query and fragment"
    if url.scheme == "http" and not (allow_plaintext or is_loopback(url.hostname or "")):
        return (
            "would send keys in the open; accepted is https, http to this machine, or allow_plaintext = true beside it"
        )
    return ""
