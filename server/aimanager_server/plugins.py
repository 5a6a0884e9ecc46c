"""The stable import surface for authors of provider plug-ins: the plug-in interface and the types it uses.

`aimanager_server.testing.check_provider` verifies a plug-in.
"""

from .catalog.model import Capability, SupportLevel
from .config.providers import ProviderSettings
from .core.content import Attachment, Message, Part, Reasoning, Role, Text, Tool, ToolCall, ToolResult
from .core.errors import (
    CapabilityUnsupported,
    ContentBlocked,
    ContextTooLong,
    DeadlineExceeded,
    GatewayError,
    InvalidRequest,
    MissingCredentials,
    ModelNotFound,
    ProviderCredentialsInvalid,
    ProviderInternalError,
    ProviderModelDenied,
    ProviderOverloaded,
    ProviderPermissionDenied,
    ProviderProtocolError,
    ProviderQuotaExhausted,
    ProviderRateLimited,
    ProviderRejectedRequest,
    ProviderTimeout,
    ProviderUnreachable,
    StreamInterrupted,
)
from .core.handler import AttemptHandler, Clock
from .core.request import HOPS_HEADER, Attempt, Call, Caller, Target
from .core.response import (
    Event,
    Finished,
    FinishReason,
    PartCompleted,
    ReasoningDelta,
    ReasoningProgress,
    ResponseMetadata,
    SettingWarning,
    TextDelta,
    ToolCallDelta,
)
from .core.stream import EventSource, ResponseStream
from .core.usage import Usage, UsageSource
from .providers.plugins.api import API_VERSION, NativePlugin, Transport
from .providers.plugins.provider_class import BaseAIProvider, ProviderPlugin

__all__ = [
    "API_VERSION",
    "HOPS_HEADER",
    "Attachment",
    "Attempt",
    "AttemptHandler",
    "BaseAIProvider",
    "Call",
    "Caller",
    "Capability",
    "CapabilityUnsupported",
    "Clock",
    "ContentBlocked",
    "ContextTooLong",
    "DeadlineExceeded",
    "Event",
    "EventSource",
    "FinishReason",
    "Finished",
    "GatewayError",
    "InvalidRequest",
    "Message",
    "MissingCredentials",
    "ModelNotFound",
    "NativePlugin",
    "Part",
    "PartCompleted",
    "ProviderCredentialsInvalid",
    "ProviderInternalError",
    "ProviderModelDenied",
    "ProviderOverloaded",
    "ProviderPermissionDenied",
    "ProviderPlugin",
    "ProviderProtocolError",
    "ProviderQuotaExhausted",
    "ProviderRateLimited",
    "ProviderRejectedRequest",
    "ProviderSettings",
    "ProviderTimeout",
    "ProviderUnreachable",
    "Reasoning",
    "ReasoningDelta",
    "ReasoningProgress",
    "ResponseMetadata",
    "ResponseStream",
    "Role",
    "SettingWarning",
    "StreamInterrupted",
    "SupportLevel",
    "Target",
    "Text",
    "TextDelta",
    "Tool",
    "ToolCall",
    "ToolCallDelta",
    "ToolResult",
    "Transport",
    "Usage",
    "UsageSource",
]
