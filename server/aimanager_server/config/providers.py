"""Settings of providers: base URL, API keys, models, connections and plug-ins."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, PrivateAttr, field_serializer, model_validator

from .restricted_options import canonical_path, restricted_paths
from .types import (
    CertificateAuthorities,
    HeaderName,
    HeaderValue,
    KeyFile,
    Name,
    PositiveInt,
    Seconds,
    SecretKey,
    Section,
    SectionWithFiles,
    SettingPath,
    invalid_values,
    is_loopback,
    read_key_file,
)

ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")

KEY_SETTINGS = ("api_key", "api_key_file", "keys")
"""The settings that hold a provider's API keys. Only one may be set; the highest layer that sets one wins."""


@dataclass(frozen=True, slots=True)
class Credential:
    """One of the server's API keys at a provider, and its weight among the other keys."""

    key: str = field(repr=False)
    weight: int = 1


class KeySettings(SectionWithFiles):
    """One of several API keys, given directly or in a file."""

    api_key: SecretKey | None = None
    """The key itself. Prefer a file or an environment variable: config files get copied."""
    api_key_file: KeyFile | None = None
    """A file that contains only the key."""
    weight: PositiveInt = 1
    """Its share of the calls, relative to the other keys."""
    _credential: Credential = PrivateAttr()

    def credential(self) -> Credential:
        """Return the key that was given or read."""
        return self._credential

    @model_validator(mode="after")
    def _has_one_key(self) -> Self:
        credential = None if self.api_key and self.api_key_file else _credential(self, self.weight)
        if credential is None:
            raise invalid_values([((), "must set exactly one of api_key and api_key_file")])
        self._credential = credential
        return self


class SamplingDefaults(Section):
    """Sampling options of calls that do not set them. Options that the model does not support are dropped."""

    max_output_tokens: PositiveInt | None = None
    """Maximum length of the response in tokens."""
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    """Sampling temperature, 0 to 2."""
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    """Nucleus sampling, 0 to 1."""


def _env_name(name: str) -> str:
    if name and not ENV_NAME.fullmatch(name):
        raise ValueError("must be an environment variable name such as ACME_API_KEY")
    return name


def _without_trailing_slash(url: str) -> str:
    return url.rstrip("/")


class ProviderSettings(SectionWithFiles):
    """One provider. Its API key files are read when the settings are loaded."""

    enabled: bool = True
    """Whether calls are sent to the provider."""
    wire: Literal["anthropic", "chat_completions", "responses", "gemini", "mock", "plugin"]
    """Its wire protocol. With `responses`, older OpenAI models use chat_completions.

    `plugin` is for the names in [plugins].
    """
    base_url: Annotated[str, AfterValidator(_without_trailing_slash)] = ""
    """Base URL of its API: http or https, without user, query or fragment. Not required by the mock wire."""
    allow_plaintext: bool = False
    """Accept http:// beyond this machine, which exposes API keys and prompts in transit. Only for a service mesh."""
    api_key: SecretKey | None = None
    """The server's API key. If no key is set, `api_key_env` is read."""
    api_key_file: KeyFile | None = None
    """A file that contains only the API key."""
    keys: list[KeySettings] = Field(default_factory=list)
    """Several API keys that share the calls by weight."""
    api_key_env: Annotated[str, AfterValidator(_env_name)] = ""
    """The environment variable with the API key; empty if no key is needed. GOOGLE_API_KEY includes GEMINI_API_KEY."""
    api_version: HeaderValue = "2023-06-01"
    """The anthropic-version header of the anthropic wire; the api-version of Azure."""
    models: list[Annotated[str, Field(min_length=1)]] = Field(default_factory=list)
    """Models it serves in addition to those in the catalog."""
    allow_any_model: bool = False
    """Forward model names that are neither in `models` nor in the catalog."""
    headers: dict[HeaderName, HeaderValue] = Field(default_factory=dict, repr=False)
    """HTTP headers added to every request. Treated as secret."""
    options: dict[str, Any] = Field(default_factory=dict, repr=False)
    """Native fields merged into every request; the scripts of the mock wire."""
    allowed_options: list[str] = Field(default_factory=list)
    """Restricted native fields that callers may set in `provider_options_json`, such as service_tier."""
    defaults: SamplingDefaults = SamplingDefaults()
    """Sampling options of calls that do not set them."""
    end_user_field: Annotated[str, Field(pattern=r"^([a-z_]+(\.[a-z_]+)?)?$")] = ""
    """The native field for the `end_user_id` of a call, such as metadata.user_id; empty if the provider has none."""
    prompt_cache: bool = True
    """Steer the provider's prompt cache: mark what later requests repeat, and keep the caches of callers apart."""
    key_selection: Literal["weighted", "least_loaded"] = "weighted"
    """How a call selects one of several API keys: weighted round robin, or fewest calls in flight."""
    probe: Literal["models", "generation", "off"] = "models"
    """The probe while a circuit breaker is open: list models, which is free; generate one token; or none."""
    max_in_flight: PositiveInt | None = None
    """Concurrent calls to it. Further calls queue briefly, then fall back to another target. Unlimited if not set."""
    connect_timeout_seconds: Seconds = 2.0
    """Timeout for opening a connection."""
    max_connections: PositiveInt = 1000
    """Concurrent connections for generations, and as many for embeddings and token counts."""
    max_idle_connections: Annotated[int, Field(ge=0)] = 100
    """Idle connections kept open for reuse."""
    ca_file: CertificateAuthorities | None = None
    """Certificate authorities to trust instead of the system's."""
    use_proxy: bool = False
    """Use the proxy from HTTPS_PROXY and related variables."""
    _credentials: tuple[Credential, ...] = PrivateAttr(default=())

    def credentials(self) -> tuple[Credential, ...]:
        """Return the server's API keys, in the order of the settings."""
        return self._credentials

    @property
    def lacks_api_key(self) -> bool:
        """The provider requires an API key, and none is set."""
        return bool(self.api_key_env) and not self._credentials

    @model_validator(mode="after")
    def _is_usable(self) -> Self:
        found = [*self._url_problems(), *self._key_problems(), *self._option_problems()]
        if found:
            raise invalid_values(found)
        single = _credential(self, weight=1)
        self._credentials = (single,) if single else tuple(key.credential() for key in self.keys)
        return self

    def _url_problems(self) -> Iterator[tuple[SettingPath, str]]:
        is_optional = self.wire in ("mock", "plugin") and not self.base_url
        problem = "" if is_optional else _url_problem(self.base_url, self.allow_plaintext)
        if problem:
            yield ("base_url",), problem

    def _key_problems(self) -> Iterator[tuple[SettingPath, str]]:
        used = [name for name in KEY_SETTINGS if getattr(self, name)]
        for name in used[1:]:
            yield (name,), f"conflicts with {used[0]}; set only one of {', '.join(KEY_SETTINGS)}"

    def _option_problems(self) -> Iterator[tuple[SettingPath, str]]:
        restricted = restricted_paths(self.wire)
        known = set(map(canonical_path, restricted))
        for index, path in enumerate(self.allowed_options):
            if canonical_path(path) not in known:
                names = ", ".join(restricted) or "none"
                yield ("allowed_options", index), f"is not a restricted field; those of this wire are: {names}"

    @field_serializer("headers")
    def _masked(self, headers: dict[str, str]) -> dict[str, str]:
        return dict.fromkeys(headers, "••••")


class PluginSettings(Section):
    """Plug-ins to load. Installed plug-ins that are not listed are ignored."""

    providers: list[Name] = Field(default_factory=list)
    """Names of entry points in the group aimanager.providers. Each adds a provider of the same name."""


def _credential(section: KeySettings | ProviderSettings, weight: int) -> Credential | None:
    if section.api_key is not None:
        return Credential(section.api_key.get_secret_value(), weight)
    if section.api_key_file is None:
        return None
    try:
        return Credential(read_key_file(section.api_key_file), weight)
    except ValueError as error:
        raise invalid_values([(("api_key_file",), str(error))]) from None


def _url_problem(base_url: str, allow_plaintext: bool) -> str:
    """Return why the URL is unusable; empty if it is valid."""
    if not base_url:
        return "is required: the http or https URL of the provider's API"
    try:
        url = urlsplit(base_url)
        has_host = bool(url.hostname) and url.port != 0
    except ValueError:
        return "must be a URL such as https://host/v1"
    extra = "@" in url.netloc or url.query or url.fragment or not base_url.isprintable() or " " in base_url
    if url.scheme not in ("http", "https") or not has_host or extra:
        return "must be an http or https URL without user, password, query and fragment"
    if url.scheme == "http" and not (allow_plaintext or is_loopback(url.hostname or "")):
        return "would send API keys unencrypted; use https, a loopback host, or allow_plaintext = true"
    return ""
