"""Request a compaction of the Messages API, store its block, and send it back first in place of the messages.

A compaction is a Messages request with `compaction`; the response is one signed block. The header is required for both
requests. https://platform.claude.com/docs/en/build-with-claude/compaction-on-demand, read 2026-11-27; types of
anthropic 2.12.0.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from typing import Any

from pydantic_core import from_json, to_json

from ....core.compaction import CompactedPrompt, check_compaction_size
from ....core.content import Role, Text
from ....core.errors import ProviderProtocolError
from ....core.provider_state import is_obtained_with, unmarked
from ....core.request import Attempt
from ....core.usage import Usage, UsageSource, add_usage
from ..json_codec import decode_json, object_field, string_field
from .response_parser import AnthropicParser

Json = dict[str, Any]

BETA = "compact-2026-09-04"
BETA_HEADER = "anthropic-beta"
STATE_TYPE = "compaction"

REQUEST_FIELDS = (
    *("model", "max_tokens", "messages", "system", "tools", "thinking", "metadata", "service_tier", "inference_geo"),
)
"""The fields of a generation request that a compaction takes: those that shape only an answer are rejected."""


def compaction_body(generation_body: bytes) -> bytes:
    """Return the body that compacts the messages of a generation request.

    >>> compaction_body(b'{"model":"m","stop_sequences":["x"],"output_config":{"effort":"low","format":{}}}')
    b'{"model":"m","output_config":{"effort":"low"},"compaction":{"type":"summarize"}}'
    """
    generation = from_json(generation_body)
    body = {field: generation[field] for field in REQUEST_FIELDS if field in generation}
    effort = object_field(generation, "output_config").get("effort")
    if effort is not None:
        body["output_config"] = {"effort": effort}
    return to_json({**body, "compaction": {"type": "summarize"}})


def with_beta(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers with the beta, after those that the operator configured.

    >>> with_beta({"anthropic-beta": "a"}) == with_beta(with_beta({"anthropic-beta": "a"}))
    True
    >>> with_beta({"anthropic-beta": "a"})
    {'anthropic-beta': 'a,compact-2026-09-04'}
    """
    others = [value for name, value in headers.items() if name.lower() == BETA_HEADER]
    if any(BETA in value for value in others):
        return dict(headers)
    kept = {name: value for name, value in headers.items() if name.lower() != BETA_HEADER}
    return {**kept, BETA_HEADER: ",".join([*others, BETA])}


def decode_compaction(message: Mapping[str, Any]) -> CompactedPrompt:
    """Return the compacted prompt of a response. Raises ProviderProtocolError, with the usage, if it has none."""
    usage = _usage(object_field(message, "usage"))
    content = message.get("content")
    block = content[0] if isinstance(content, list) and len(content) == 1 else None
    if not _is_compaction(block):
        reason = string_field(message, "stop_reason")[:64]
        raise ProviderProtocolError(f"The response has no summary; its stop_reason is {reason!r}.", usage=usage)
    state = to_json({"type": STATE_TYPE, "block": block})
    check_compaction_size(state, usage)
    return CompactedPrompt(state, usage)


def compaction_block(attempt: Attempt[Any], key: str, options: Mapping[str, Any]) -> Json | None:
    """Return the block that replaces the first message, None if that has none for this target and key.

    The API rejects a block after other messages, and together with a compaction of its own choice.
    """
    first = attempt.messages[0] if attempt.messages else None
    if first is None or first.role is not Role.USER or len(first.parts) != 1 or attempt.omits_state:
        return None
    part = first.parts[0]
    if (first.provider, first.model) != attempt.target.key or not isinstance(part, Text):
        return None
    if not is_obtained_with(part.provider_state, key):
        return None
    if "context_management" in options or "context_management" in attempt.target.options:
        return None
    try:
        state = decode_json(unmarked(part.provider_state))
    except ValueError:
        return None
    block = state.get("block") if isinstance(state, dict) and state.get("type") == STATE_TYPE else None
    return block if _is_compaction(block) else None


def _is_compaction(block: Any) -> bool:
    """Return whether a block can be sent back: without content it stands for a compaction that failed."""
    if not isinstance(block, dict) or block.get("type") != "compaction":
        return False
    return all(isinstance(block.get(field), str) and block[field] != "" for field in ("content", "signature"))


def _usage(usage: Mapping[str, Any]) -> Usage:
    """Return the usage of the compaction, which the counts of the response itself do not include."""
    iterations = usage.get("iterations")
    entries = [each for each in iterations if isinstance(each, dict)] if isinstance(iterations, list) else []
    compactions = [each for each in entries if each.get("type") == "compaction"]
    counted = [each for each in map(_counts, [usage, *compactions]) if each.source is not UsageSource.MISSING]
    return reduce(add_usage, counted) if counted else Usage()


def _counts(counts: Mapping[str, Any]) -> Usage:
    parser = AnthropicParser()
    parser.update_usage(counts)
    return parser.usage
