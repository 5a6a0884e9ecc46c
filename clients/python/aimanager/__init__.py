"""Python client of the aimanager gateway: `AIManager`, `AsyncAIManager`, and the types they accept and return.

Names are imported on first use, so that a server that imports `aimanager.v1` loads nothing else of the client.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._convert.message_dict import message_from_dict as message_from_dict
    from ._convert.message_dict import message_to_dict as message_to_dict
    from ._convert.prompt import Prompt as Prompt
    from ._convert.prompt import Turn as Turn
    from .async_client import AsyncAIManager as AsyncAIManager
    from .async_conversation import AsyncConversation as AsyncConversation
    from .chainable_request import AsyncChainableRequest as AsyncChainableRequest
    from .chainable_request import ChainableRequest as ChainableRequest
    from .client import AIManager as AIManager
    from .config import AIConfig as AIConfig
    from .conversation import Conversation as Conversation
    from .conversation import Session as Session
    from .errors import AIError as AIError
    from .errors import CircuitOpenError as CircuitOpenError
    from .errors import ConfigurationError as ConfigurationError
    from .errors import ConnectionFailedError as ConnectionFailedError
    from .errors import ConversationBusyError as ConversationBusyError
    from .errors import ConversationNotFoundError as ConversationNotFoundError
    from .errors import DeadlineExceededError as DeadlineExceededError
    from .errors import FieldViolation as FieldViolation
    from .errors import InvalidModelError as InvalidModelError
    from .errors import InvalidProviderError as InvalidProviderError
    from .errors import InvalidRequestError as InvalidRequestError
    from .errors import MissingCredentialsError as MissingCredentialsError
    from .errors import ProviderError as ProviderError
    from .errors import RateLimitError as RateLimitError
    from .errors import StreamInterruptedError as StreamInterruptedError
    from .errors import ToolRoundsExceededError as ToolRoundsExceededError
    from .messages import Attachment as Attachment
    from .messages import Message as Message
    from .messages import Part as Part
    from .messages import ReasoningOptions as ReasoningOptions
    from .messages import Tool as Tool
    from .messages import ToolChoice as ToolChoice
    from .messages import assistant as assistant
    from .messages import attachment as attachment
    from .messages import cached as cached
    from .messages import image as image
    from .messages import pdf as pdf
    from .messages import tool as tool
    from .messages import tool_result as tool_result
    from .messages import user as user
    from .stream import AIStream as AIStream
    from .stream import AsyncAIStream as AsyncAIStream
    from .types.artifact import Artifact as Artifact
    from .types.cache_policy import CachePolicy as CachePolicy
    from .types.conversation import Compaction as Compaction
    from .types.conversation import ConversationTurn as ConversationTurn
    from .types.embeddings import Embeddings as Embeddings
    from .types.health import ProviderHealth as ProviderHealth
    from .types.metrics import MetricsRow as MetricsRow
    from .types.metrics import MetricsSummary as MetricsSummary
    from .types.model import Model as Model
    from .types.model_suggestion import ModelSuggestion as ModelSuggestion
    from .types.model_suggestion import TokenCount as TokenCount
    from .types.quality import ModelQuality as ModelQuality
    from .types.quality import ProviderQuality as ProviderQuality
    from .types.rate_limit import RateLimitResult as RateLimitResult
    from .types.response import AIResponse as AIResponse
    from .types.response import ToolCall as ToolCall
    from .types.run_result import RunResult as RunResult
    from .types.stream_events import Restarted as Restarted
    from .types.usage import Attempt as Attempt
    from .types.usage import Usage as Usage

_MODULES = {
    "_convert.message_dict": ("message_from_dict", "message_to_dict"),
    "_convert.prompt": ("Prompt", "Turn"),
    "async_client": ("AsyncAIManager",),
    "async_conversation": ("AsyncConversation",),
    "chainable_request": ("AsyncChainableRequest", "ChainableRequest"),
    "types.model_suggestion": ("ModelSuggestion", "TokenCount"),
    "types.artifact": ("Artifact",),
    "types.cache_policy": ("CachePolicy",),
    "types.conversation": ("Compaction", "ConversationTurn"),
    "client": ("AIManager",),
    "config": ("AIConfig",),
    "conversation": ("Conversation", "Session"),
    "messages": (
        *("Attachment", "Message", "Part", "ReasoningOptions", "Tool", "ToolChoice"),
        *("assistant", "attachment", "cached", "image", "pdf", "tool", "tool_result", "user"),
    ),
    "types.embeddings": ("Embeddings",),
    "errors": (
        *("AIError", "CircuitOpenError", "ConfigurationError", "ConnectionFailedError", "DeadlineExceededError"),
        *("ConversationBusyError", "ConversationNotFoundError"),
        *("InvalidModelError", "InvalidProviderError", "InvalidRequestError", "MissingCredentialsError"),
        *("ProviderError", "RateLimitError", "StreamInterruptedError", "ToolRoundsExceededError"),
        "FieldViolation",
    ),
    "types.health": ("ProviderHealth",),
    "types.metrics": ("MetricsRow", "MetricsSummary"),
    "types.model": ("Model",),
    "types.quality": ("ModelQuality", "ProviderQuality"),
    "types.rate_limit": ("RateLimitResult",),
    "types.response": ("AIResponse", "ToolCall"),
    "types.run_result": ("RunResult",),
    "types.stream_events": ("Restarted",),
    "stream": ("AIStream", "AsyncAIStream"),
    "types.usage": ("Attempt", "Usage"),
}


def __getattr__(name: str) -> object:
    if name == "__all__":  # for a star import
        return [each for names in _MODULES.values() for each in names]
    if name == "__version__":
        return import_module("importlib.metadata").version(__name__)
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *(name for names in _MODULES.values() for name in names)})
