"""The stable import surface for authors of extensions: the interface and the types it uses.

`aimanager_server.testing.check_extension` verifies an extension.
"""

from ..core.content import (
    Artifact,
    Attachment,
    JsonObjectFormat,
    JsonSchemaFormat,
    Message,
    Part,
    Reasoning,
    ReasoningOptions,
    Role,
    Sampling,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from ..core.errors import ContentBlocked, GatewayError, InvalidRequest, PermissionDenied, RateLimited
from ..core.response import (
    ArtifactExtracted,
    Event,
    Finished,
    FinishReason,
    PartCompleted,
    ReasoningDelta,
    Restarted,
    TextDelta,
    ToolCallDelta,
)
from ..core.usage import Cost, Usage
from .api import API_VERSION, Extension, FeatureExtension
from .registry import FeatureManager
from .views import ExtensionCall, ExtensionRequest, ExtensionResponse

__all__ = [
    "API_VERSION",
    "Artifact",
    "ArtifactExtracted",
    "Attachment",
    "ContentBlocked",
    "Cost",
    "Event",
    "Extension",
    "ExtensionCall",
    "ExtensionRequest",
    "ExtensionResponse",
    "FeatureExtension",
    "FeatureManager",
    "FinishReason",
    "Finished",
    "GatewayError",
    "InvalidRequest",
    "JsonObjectFormat",
    "JsonSchemaFormat",
    "Message",
    "Part",
    "PartCompleted",
    "PermissionDenied",
    "RateLimited",
    "Reasoning",
    "ReasoningDelta",
    "ReasoningOptions",
    "Restarted",
    "Role",
    "Sampling",
    "Text",
    "TextDelta",
    "Tool",
    "ToolCall",
    "ToolCallDelta",
    "ToolChoice",
    "ToolResult",
    "Usage",
]
