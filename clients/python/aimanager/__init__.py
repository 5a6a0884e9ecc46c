"""The Python client of aimanager: `AIManager`, `AsyncAIManager` and what they take and return.

Names load on first use, so that a server which imports `aimanager.v1` loads nothing else of the client.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .aio import AsyncAIManager as AsyncAIManager
    from .artifact import Artifact as Artifact
    from .choosing import ModelSuggestion as ModelSuggestion
    from .choosing import TokenCount as TokenCount
    from .client import AIManager as AIManager
    from .config import AIConfig as AIConfig
    from .content import Attachment as Attachment
    from .content import Message as Message
    from .content import Part as Part
    from .content import ReasoningOptions as ReasoningOptions
    from .content import Tool as Tool
    from .content import ToolChoice as ToolChoice
    from .content import assistant as assistant
    from .content import attachment as attachment
    from .content import image as image
    from .content import pdf as pdf
    from .content import tool as tool
    from .content import tool_result as tool_result
    from .content import user as user
    from .embedding import Embeddings as Embeddings
    from .errors import AIError as AIError
    from .errors import CircuitOpenError as CircuitOpenError
    from .errors import ConfigurationError as ConfigurationError
    from .errors import InvalidModelError as InvalidModelError
    from .errors import InvalidProviderError as InvalidProviderError
    from .errors import InvalidRequestError as InvalidRequestError
    from .errors import MissingCredentialsError as MissingCredentialsError
    from .errors import ProviderError as ProviderError
    from .errors import RateLimitError as RateLimitError
    from .errors import StreamInterruptedError as StreamInterruptedError
    from .health import ProviderHealth as ProviderHealth
    from .metrics import MetricsRow as MetricsRow
    from .metrics import MetricsSummary as MetricsSummary
    from .model import Model as Model
    from .quality import ModelQuality as ModelQuality
    from .quality import ProviderQuality as ProviderQuality
    from .response import AIResponse as AIResponse
    from .response import ToolCall as ToolCall
    from .restart import Restarted as Restarted
    from .stream import AIStream as AIStream
    from .stream import AsyncAIStream as AsyncAIStream
    from .usage import Attempt as Attempt
    from .usage import Usage as Usage

_HOMES = {
    "aio": ("AsyncAIManager",),
    "choosing": ("ModelSuggestion", "TokenCount"),
    "artifact": ("Artifact",),
    "client": ("AIManager",),
    "config": ("AIConfig",),
    "content": (
        *("Attachment", "Message", "Part", "ReasoningOptions", "Tool", "ToolChoice"),
        *("assistant", "attachment", "image", "pdf", "tool", "tool_result", "user"),
    ),
    "embedding": ("Embeddings",),
    "errors": (
        *("AIError", "CircuitOpenError", "ConfigurationError", "InvalidModelError", "InvalidProviderError"),
        *("InvalidRequestError", "MissingCredentialsError", "ProviderError", "RateLimitError"),
        "StreamInterruptedError",
    ),
    "health": ("ProviderHealth",),
    "metrics": ("MetricsRow", "MetricsSummary"),
    "model": ("Model",),
    "quality": ("ModelQuality", "ProviderQuality"),
    "response": ("AIResponse", "ToolCall"),
    "restart": ("Restarted",),
    "stream": ("AIStream", "AsyncAIStream"),
    "usage": ("Attempt", "Usage"),
}


def __getattr__(name: str) -> object:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *(name for names in _HOMES.values() for name in names)})
