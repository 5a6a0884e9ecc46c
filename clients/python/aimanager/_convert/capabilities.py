"""Names of model capabilities: those of the API, and the words that people use for them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ..errors import InvalidRequestError
from ..v1.model_pb2 import Capability
from .scalars import enum_words

CAPABILITY_SYNONYMS: Mapping[str, str] = MappingProxyType(
    {
        "vision": "image_input",
        "images": "image_input",
        "pdf": "document_input",
        "documents": "document_input",
        "function_calling": "tool_calling",
        "tools": "tool_calling",
        "json_schema": "structured_output",
        "thinking": "reasoning",
    }
)
ARTIFACTS = "artifacts"
"""No capability of a model: the gateway extracts artifacts from the responses of every model."""


def canonical_capability(name: str, parameter: str = "capability") -> str:
    """Return the API's name for a capability. Raises InvalidRequestError for an unknown one.

    >>> canonical_capability("vision"), canonical_capability("reasoning")
    ('image_input', 'reasoning')
    """
    canonical = CAPABILITY_SYNONYMS.get(name, name) if isinstance(name, str) else ""
    if canonical and (canonical in enum_words(Capability) or canonical == ARTIFACTS):
        return canonical
    accepted = ", ".join(word for word in (*enum_words(Capability), *CAPABILITY_SYNONYMS, ARTIFACTS) if word)
    raise InvalidRequestError(f"{parameter} must be a known capability, got {name!r:.100}", f"Use one of {accepted}.")
