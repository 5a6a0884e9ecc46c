"""All settings of the server with their system defaults. `loader.load` reads them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from .callers import (
    DEFAULT_TIER,
    MAX_CERTIFICATE_CALLERS,
    CallerSettings,
    ProviderTier,
    Tier,
    TokenSettings,
    UnknownCallers,
)
from .errors import display_name
from .extensions import ExtensionsSettings
from .listeners import overlap
from .models import ModelName, ModelSettings
from .provider_defaults import KNOWN_PROVIDERS, PLUGIN_WIRE, with_provider_defaults
from .providers import PluginSettings, ProviderSettings
from .resilience import (
    CircuitBreakerSettings,
    HedgingSettings,
    IdempotencySettings,
    RetrySettings,
    StreamTimeoutSettings,
)
from .response_cache import ResponseCacheSettings
from .routes import RouteSettings
from .safety_filters import SafetyFilterSettings
from .storage import ConversationsSettings, StorageSettings
from .types import (
    MIB,
    ListenAddress,
    Name,
    OptionalListenAddress,
    PositiveInt,
    ReadableFile,
    Seconds,
    Section,
    SectionWithFiles,
    SettingPath,
    invalid_values,
    is_loopback,
    listen_host,
)

__all__ = [
    "CallerSettings",
    "CircuitBreakerSettings",
    "ConversationsSettings",
    "ExtensionsSettings",
    "HedgingSettings",
    "IdempotencySettings",
    "Limits",
    "ModelSettings",
    "PluginSettings",
    "ProviderSettings",
    "ProviderTier",
    "RetrySettings",
    "RouteSettings",
    "SafetyFilterSettings",
    "ServerSettings",
    "Settings",
    "StorageSettings",
    "StreamTimeoutSettings",
    "Tier",
    "TlsSettings",
    "TokenSettings",
]


class TlsSettings(SectionWithFiles):
    """TLS on `server.listen`."""

    certificate_file: ReadableFile
    """The certificate chain, PEM."""
    key_file: ReadableFile
    """Its private key, PEM."""
    client_ca_file: ReadableFile | None = None
    """Certificate authorities for client certificates, PEM. If set, every caller needs a client certificate."""


class ServerSettings(Section):
    """Listeners, access, concurrency limits, timeouts and shutdown of the server."""

    listen: ListenAddress = "127.0.0.1:50051"
    """Host and port of the API. Beyond loopback, [callers], tls.client_ca_file or allow_anonymous is required."""
    health_listen: OptionalListenAddress = None
    """A second, plaintext listener for grpc.health.v1 only, or "off". It exposes nothing confidential."""
    metrics_listen: OptionalListenAddress = "127.0.0.1:9464"
    """Prometheus metrics, or "off". Metrics contain no API keys and no prompts."""
    allow_anonymous: bool = False
    """Accept callers without a token, also beyond loopback. With client certificates there are none."""
    accept_caller_keys: bool = True
    """Accept provider API keys that callers send with their calls."""
    fetch_attachments: bool = False
    """Fetch attachments given as https URLs for models that cannot; only from public addresses."""
    reflection: bool = False
    """Enable server reflection, for tools such as grpcurl."""
    default_model: str = ""
    """The model of calls that do not name one; empty for `latest` of the first provider that has or needs no key."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The lowest level that is logged."""
    max_in_flight: PositiveInt = 512
    """Concurrent calls; further calls are queued."""
    max_in_flight_per_caller: PositiveInt = 256
    """Concurrent calls of one caller; further calls are queued."""
    max_watches: PositiveInt = 256
    """Open watch and reflection streams of all callers; as many again of the standard health service, half of them from
    one address."""
    max_watches_per_caller: PositiveInt = 16
    """Open watch and reflection streams of one caller."""
    watch_timeout_seconds: Seconds = 3600.0
    """How long a watch stays open; its client then starts another."""
    max_queue_length: Annotated[int, Field(ge=0)] = 128
    """Queued calls; further calls are rejected."""
    queue_timeout_seconds: Seconds = 1.0
    """How long a call is queued before it is rejected."""
    max_event_loop_lag_seconds: Seconds = 0.5
    """Event loop lag above which new calls are rejected."""
    request_timeout_seconds: Seconds = 30.0
    """How long the request message of a call may take to arrive."""
    unary_timeout_seconds: Seconds = 600.0
    """Maximum duration of a unary call, even if the caller's deadline is later."""
    stream_timeout_seconds: Seconds = 1200.0
    """Maximum duration of a streaming call."""
    drain_timeout_seconds: Annotated[float, Field(ge=0)] = 30.0
    """After SIGTERM: how long calls in flight may take to complete."""
    drain_delay_seconds: Annotated[float, Field(ge=0)] = 5.0
    """After SIGTERM: how long new calls are still accepted while load balancers remove the server."""
    tls: TlsSettings | None = None
    """TLS on `listen`; without it the API is plaintext."""


class Limits(Section):
    """Maximum sizes of requests and responses."""

    max_message_bytes: PositiveInt = 32 * MIB
    """Size of a request."""
    max_attachment_bytes: PositiveInt = 20 * MIB
    """Size of an image or file."""
    max_request_fields: PositiveInt = 20_000
    """Protobuf fields in a request, with those of all messages and parts. They take 100 ms of work at most."""
    max_messages: PositiveInt = 5_000
    """Messages in a request."""
    max_parts_per_message: PositiveInt = 1_000
    """Parts in a message."""
    max_tools: PositiveInt = 128
    """Tools in a request."""
    max_embedding_inputs: PositiveInt = 10_000
    """Texts in an embedding request."""
    max_json_depth: PositiveInt = 64
    """Nesting of a JSON value or schema."""
    max_json_characters: PositiveInt = MIB
    """Characters of all tool schemas, the output schema and the native options of a request."""
    max_json_values: PositiveInt = 30_000
    """Brackets and commas in them, which approximate their values and so the time to parse them."""
    max_response_bytes: PositiveInt = 64 * MIB
    """Size of a provider's response."""
    max_line_bytes: PositiveInt = 8 * MIB
    """Length of a line in a provider's stream."""
    max_decompression_ratio: PositiveInt = 100
    """Ratio of the decompressed to the compressed size of a response."""


class Settings(Section):
    """All settings. `providers` always contains the built-in ones."""

    server: ServerSettings = ServerSettings()
    limits: Limits = Limits()
    retry: RetrySettings = RetrySettings()
    circuit_breaker: CircuitBreakerSettings = CircuitBreakerSettings()
    stream_timeouts: StreamTimeoutSettings = StreamTimeoutSettings()
    hedging: HedgingSettings = HedgingSettings()
    idempotency: IdempotencySettings = IdempotencySettings()
    response_cache: ResponseCacheSettings = ResponseCacheSettings()
    safety_filters: SafetyFilterSettings = SafetyFilterSettings()
    storage: StorageSettings = StorageSettings()
    conversations: ConversationsSettings = ConversationsSettings()
    callers: dict[Name, CallerSettings] = Field(default_factory=dict)
    tiers: dict[Name, Tier] = Field(default_factory=dict)
    routes: dict[Name, RouteSettings] = Field(default_factory=dict)
    models: dict[ModelName, ModelSettings] = Field(default_factory=dict)
    plugins: PluginSettings = PluginSettings()
    extensions: ExtensionsSettings = ExtensionsSettings()
    providers: dict[Name, ProviderSettings] = Field(default_factory=dict, validate_default=True)

    @property
    def uses_client_certificates(self) -> bool:
        """Return whether every connection to the API needs a client certificate."""
        return self.server.tls is not None and self.server.tls.client_ca_file is not None

    @property
    def is_open_on_loopback(self) -> bool:
        """Return whether anybody on this machine, and nobody else, may call without identifying themselves."""
        return not (self.callers or self.uses_client_certificates) and is_loopback(listen_host(self.server.listen))

    @property
    def accepts_anonymous(self) -> bool:
        """Return whether callers need not identify themselves. With client certificates all of them do."""
        return not self.uses_client_certificates and (self.server.allow_anonymous or self.is_open_on_loopback)

    @property
    def unknown_callers(self) -> UnknownCallers:
        """Return what callers may do that are not configured: anonymous ones, or those that a certificate names."""
        if self.is_open_on_loopback:
            return UnknownCallers.ADMINS
        is_accepted = self.accepts_anonymous or (self.uses_client_certificates and not self.callers)
        return UnknownCallers.ACCEPTED if is_accepted else UnknownCallers.REJECTED

    @property
    def max_callers(self) -> int:
        """Return how many callers can be told apart: those configured, and one for all anonymous ones."""
        if self.uses_client_certificates and not self.callers:
            return MAX_CERTIFICATE_CALLERS
        return len(self.callers) + self.accepts_anonymous

    def certificate_names(self, caller: str) -> Sequence[str]:
        """Return the names in client certificates that identify a configured caller."""
        return self.callers[caller].certificate_names or (caller,)

    def callable_providers(self) -> tuple[str, ...]:
        """Return the enabled providers that have an API key, need none, or may be called with a caller's key."""
        return tuple(
            name
            for name, provider in self.providers.items()
            if provider.enabled and (self.server.accept_caller_keys or not provider.lacks_api_key)
        )

    def missing_api_keys(self) -> dict[str, str]:
        """Return how to set the API key of each provider that requires one and has none."""
        return {
            name: f"Set {provider.api_key_env}, or api_key under [providers.{name}] in the config file."
            for name, provider in self.providers.items()
            if provider.lacks_api_key
        }

    def secrets(self) -> tuple[str, ...]:
        """Return the values that must never be logged: API keys and header values."""
        keys = (credential.key for provider in self.providers.values() for credential in provider.credentials())
        headers = (value for provider in self.providers.values() for value in provider.headers.values())
        passwords = (self.storage.password,) if self.storage.password else ()
        return (*keys, *headers, *passwords)

    @field_validator("providers", mode="before")
    @classmethod
    def _add_provider_defaults(cls, providers: Any, info: ValidationInfo) -> object:
        plugins = info.data.get("plugins", PluginSettings())
        return with_provider_defaults(providers, plugins.model_dump())

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        found = [
            *self._listener_problems(),
            *self._breaker_problems(),
            *self._cache_problems(),
            *self._tier_problems(),
            *self._caller_problems(),
            *self._provider_problems(),
            *self._plugin_problems(),
            *self._model_problems(),
            *self._route_problems(),
            *self._safety_filter_problems(),
        ]
        if found:
            raise invalid_values(found)
        return self

    def _listener_problems(self) -> Iterator[tuple[SettingPath, str]]:
        server, has_authentication = self.server, self.callers or self.uses_client_certificates
        if not (has_authentication or server.allow_anonymous or is_loopback(listen_host(server.listen))):
            yield (
                ("server", "listen"),
                "is reachable from other machines without authentication; use a loopback address, or set [callers], "
                "server.tls.client_ca_file or server.allow_anonymous = true",
            )

        listeners = ("listen", "health_listen", "metrics_listen")
        for index, name in enumerate(listeners):
            for other in listeners[:index]:
                address, other_address = getattr(server, name), getattr(server, other)
                if address and other_address and overlap(address, other_address):
                    yield ("server", name), f"must not be the address of server.{other}"

    def _breaker_problems(self) -> Iterator[tuple[SettingPath, str]]:
        breaker = self.circuit_breaker
        if breaker.open_seconds > breaker.max_open_seconds:
            yield (
                ("circuit_breaker", "open_seconds"),
                f"must be at most max_open_seconds ({breaker.max_open_seconds:g}), got {breaker.open_seconds:g}",
            )

    def _cache_problems(self) -> Iterator[tuple[SettingPath, str]]:
        if self.response_cache.store == "storage" and self.storage.url is None:
            yield ("response_cache", "store"), "'storage' requires storage.url"

    def _tier_problems(self) -> Iterator[tuple[SettingPath, str]]:
        for name, tier in self.tiers.items():
            for provider in tier.providers:
                if provider not in self.providers:
                    yield ("tiers", name, "providers", provider), f"unknown provider; {self._provider_names()}"
        if self.tiers and DEFAULT_TIER not in self.tiers and (unlimited := self._callers_without_settings()):
            yield (
                ("tiers", DEFAULT_TIER),
                f"is required, since {unlimited} have this tier and would not be limited; add [tiers.{DEFAULT_TIER}] "
                "with their quotas, or without any to set no limits",
            )

    def _callers_without_settings(self) -> str:
        if self.accepts_anonymous:
            return "anonymous callers"
        return "callers named by a certificate" if self.uses_client_certificates and not self.callers else ""

    def _caller_problems(self) -> Iterator[tuple[SettingPath, str]]:
        defined = f"defined tiers: {_names(self.tiers)}" if self.tiers else "no [tiers.NAME] is defined"
        token_ids = Counter(token.id for caller in self.callers.values() for token in caller.tokens)
        for name, caller in self.callers.items():
            needs_tier = bool(self.tiers) or "tier" in caller.model_fields_set
            if needs_tier and caller.tier not in self.tiers:
                yield ("callers", name, "tier"), f"unknown tier; {defined}"
            for index, token in enumerate(caller.tokens):
                if token_ids[token.id] > 1:
                    yield ("callers", name, "tokens", index, "id"), "duplicate ID: each token needs its own"
            yield from self._certificate_problems(name, caller)

    def _certificate_problems(self, name: str, caller: CallerSettings) -> Iterator[tuple[SettingPath, str]]:
        if not self.uses_client_certificates:
            if not caller.tokens:
                yield ("callers", name, "tokens"), "is required; 'aimanager-server token NAME' generates one"
            if caller.certificate_names:
                yield ("callers", name, "certificate_names"), "requires server.tls.client_ca_file"
        owners = Counter(each for one in self.callers for each in self.certificate_names(one))
        for index, each in enumerate(caller.certificate_names):
            if owners[each] > 1:
                yield ("callers", name, "certificate_names", index), "must name one caller only"

    def _provider_problems(self) -> Iterator[tuple[SettingPath, str]]:
        for name, provider in self.providers.items():
            is_plugin = name in self.plugins.providers
            if is_plugin and provider.wire != PLUGIN_WIRE:
                yield ("providers", name, "wire"), f"must be '{PLUGIN_WIRE}' for a provider in plugins.providers"
            elif provider.wire == PLUGIN_WIRE and not is_plugin:
                yield ("providers", name, "wire"), f"'{PLUGIN_WIRE}' requires the provider in plugins.providers"
            elif not (is_plugin or name in KNOWN_PROVIDERS or provider.models or provider.allow_any_model):
                yield ("providers", name, "models"), "is required: list the models, or set allow_any_model = true"

    def _plugin_problems(self) -> Iterator[tuple[SettingPath, str]]:
        names = self.plugins.providers
        for index, name in enumerate(names):
            if name in KNOWN_PROVIDERS:
                yield ("plugins", "providers", index), "must not be the name of a provider included in the server"
            elif name in names[:index]:
                yield ("plugins", "providers", index), "duplicate name"

    def _model_problems(self) -> Iterator[tuple[SettingPath, str]]:
        for name in self.models:
            if name.partition("/")[0] not in self.providers:
                yield ("models", name), f"unknown provider; {self._provider_names()}"

    def _route_problems(self) -> Iterator[tuple[SettingPath, str]]:
        for name, route in self.routes.items():
            if name in self.providers:
                yield ("routes", name), "must not be the name of a provider"
            yield from self._route_model_problems(("routes", name, "targets"), route.targets)
            yield from self._route_model_problems(("routes", name, "fallback_models"), route.fallback_models)

    def _route_model_problems(self, path: SettingPath, models: Sequence[str]) -> Iterator[tuple[SettingPath, str]]:
        for index, model in enumerate(models):
            if model in self.routes:
                yield (*path, index), "must be a model, not a route"
            elif model in models[:index]:
                yield (*path, index), "duplicate model"

    def _safety_filter_problems(self) -> Iterator[tuple[SettingPath, str]]:
        for index, name in enumerate(self.safety_filters.exempt_callers):
            if self.callers and name not in self.callers:
                yield (
                    ("safety_filters", "exempt_callers", index),
                    f"unknown caller; known callers: {_names(self.callers)}",
                )

    def _provider_names(self) -> str:
        return f"known providers: {_names(self.providers)}"


def _names(names: Iterable[str]) -> str:
    return ", ".join(map(display_name, names))
