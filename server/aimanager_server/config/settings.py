"""Everything an operator can set, with what holds where nothing is said. `settings_cascade.load` fills it."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from . import provider_defaults
from .consistency import contradictions
from .models import ModelName, ModelSettings
from .plugins import Plugins, with_plugged
from .providers import Credential, Defaults, KeySettings, ProviderSettings
from .resilience import Breaker, Hedging, PatienceSettings, Retry, RouteSettings
from .types import MIB, Address, Count, Digest, File, Listener, Name, Seconds, Section, misfits

__all__ = [
    "Breaker",
    "CallerSettings",
    "Credential",
    "Defaults",
    "Hedging",
    "KeySettings",
    "Limits",
    "ModelSettings",
    "PatienceSettings",
    "Plugins",
    "ProviderSettings",
    "ProviderTier",
    "Repeat",
    "Retry",
    "RouteSettings",
    "Server",
    "Settings",
    "Tier",
    "Tls",
]


class Tls(Section):
    """TLS on `listen`."""

    certificate_file: File
    """The certificate chain, PEM."""
    key_file: File
    """Its private key, PEM."""
    client_ca_file: File | None = None
    """Authorities whose client certificates are accepted; callers then need one."""


class Server(Section):
    """Where the server listens and what it does for whom."""

    listen: Address = "127.0.0.1:50051"
    """Host and port of the API. Beyond loopback it needs callers, tls.client_ca_file or allow_anonymous."""
    health_listen: Listener = None
    """A second, plaintext listener for grpc.health.v1 alone, or "off"; it may be reachable from anywhere."""
    metrics_listen: Listener = "127.0.0.1:9464"
    """Where Prometheus reads, or "off". No key and no prompt is ever a metric, so any address may be named."""
    allow_anonymous: bool = False
    """Serve callers without a token beyond loopback too."""
    caller_keys: bool = True
    """Accept provider keys that callers send with their calls."""
    fetch_attachments: bool = False
    """Fetch files that callers give as https addresses, for models that do not; only from the public internet."""
    reflection: bool = False
    """Let tools such as grpcurl list the API."""
    default_model: str = ""
    """The model of calls that name none; empty: `latest` of the first provider with a key, else the mock's."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least severe event that is logged."""
    max_in_flight: Count = 512
    """Calls at once; those beyond wait in the queue."""
    max_in_flight_per_caller: Count = 256
    """Calls at once of one caller; those beyond wait in the queue."""
    queue_length: Annotated[int, Field(ge=0)] = 128
    """Calls that wait for a place; those beyond are told to come again."""
    queue_seconds: Seconds = 1.0
    """How long a call waits for a place before it is told to come again."""
    shed_lag_seconds: Seconds = 0.5
    """How late the event loop may be before new calls are told to come again."""
    unary_timeout_seconds: Seconds = 600.0
    """The longest a call may take, even where its caller would wait longer."""
    stream_timeout_seconds: Seconds = 1200.0
    """The same for a streamed answer."""
    drain_seconds: Annotated[float, Field(ge=0)] = 30.0
    """How long calls on their way may go on after SIGTERM."""
    drain_notice_seconds: Annotated[float, Field(ge=0)] = 5.0
    """How long new calls are still taken after SIGTERM, while load balancers turn away."""
    tls: Tls | None = None
    """TLS on `listen`; without it the API is plaintext."""


class Limits(Section):
    """The largest things a call may bring or get."""

    message_bytes: Count = 32 * MIB
    """One request, whole."""
    attachment_bytes: Count = 20 * MIB
    """One image or file."""
    messages: Count = 10_000
    """Messages in one request."""
    parts_per_message: Count = 1_000
    """Parts in one message."""
    tools: Count = 128
    """Tools in one request."""
    embedding_inputs: Count = 10_000
    """Texts in one request for vectors."""
    json_depth: Count = 64
    """Nesting of a JSON value or schema."""
    response_bytes: Count = 64 * MIB
    """One answer of a provider, whole."""
    line_bytes: Count = 8 * MIB
    """One line of a provider's stream."""
    decompression_ratio: Count = 100
    """How much larger than its compressed form an answer may be."""


class Repeat(Section):
    """Answers kept for calls that are sent again with the same idempotency key."""

    entries: Count = 1_000
    """Answers kept; the least recently used goes first."""
    bytes: Count = 64 * MIB
    """Their size together."""
    seconds: Seconds = 3_600.0
    """How long an answer is kept."""


class CallerSettings(Section):
    """One caller of the gateway."""

    token_sha256: Digest = Field(repr=False)
    """The SHA-256 of its token, 64 hexadecimal digits."""
    tier: str = "free"
    """The tier whose limits it has; where there are no tiers, there are no limits."""


class ProviderTier(Section):
    """The limits of a tier at one provider."""

    requests_per_minute: Count | None = None
    """Requests a minute; unlimited where not said."""
    tokens_per_minute: Count | None = None
    """Tokens a minute, in and out together; unlimited where not said."""


class Tier(ProviderTier):
    """The limits of every caller in it, over all providers together and at single ones."""

    providers: dict[Name, ProviderTier] = Field(default_factory=dict)
    """Further limits at single providers."""


class Settings(Section):
    """The whole. `providers` always holds the built-in ones, whatever was said about them."""

    server: Server = Server()
    limits: Limits = Limits()
    retry: Retry = Retry()
    breaker: Breaker = Breaker()
    patience: PatienceSettings = PatienceSettings()
    hedging: Hedging = Hedging()
    repeat: Repeat = Repeat()
    callers: dict[Name, CallerSettings] = Field(default_factory=dict)
    tiers: dict[Name, Tier] = Field(default_factory=dict)
    routes: dict[Name, RouteSettings] = Field(default_factory=dict)
    models: dict[ModelName, ModelSettings] = Field(default_factory=dict)
    plugins: Plugins = Plugins()
    providers: dict[Name, ProviderSettings] = Field(default_factory=dict, validate_default=True)

    @field_validator("providers", mode="before")
    @classmethod
    def _with_the_built_in(cls, given: Any, info: ValidationInfo) -> object:
        return provider_defaults.completed(with_plugged(given, info.data.get("plugins", Plugins())))

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        found = list(contradictions(self))
        if found:
            raise misfits(found)
        return self
