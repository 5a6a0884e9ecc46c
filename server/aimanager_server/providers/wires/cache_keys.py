"""Name the provider's prompt cache of a caller, so that two callers never use the same one."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from hashlib import blake2b, sha256
from typing import Any

from ...catalog.model import PromptCacheSpec
from ...config.providers import ProviderSettings
from ...core.request import Attempt, Caller

KEY_BYTES = 16
"""32 hexadecimal digits, where OpenAI accepts 64 characters and DeepSeek 512."""


class PromptCacheKeys:
    """Derive cache keys from the caller and the conversation, with the provider's API key as the secret.

    The provider learns neither the caller's name nor whether it uses other providers too. All replicas of a gateway
    derive the same keys, since they have the same API keys. Without an API key, the secret is random.
    """

    def __init__(self, settings: ProviderSettings) -> None:
        credentials = settings.credentials()
        self._secret = sha256(credentials[0].key.encode()).digest() if credentials else secrets.token_bytes(32)

    def add_to(self, body: dict[str, Any], attempt: Attempt[Any], spec: PromptCacheSpec) -> None:
        """Set the key in a body into which all options are merged.

        A `prompt_cache_key` of the caller selects one of its own caches. Its `user_id`, which stands for an end user
        and may be read by a person, is kept and preceded by the key. A key that the operator configured stays.
        """
        own = attempt.target.options
        match spec.key:
            case "prompt_cache_key" if spec.key in own:
                if own[spec.key] is not None:
                    body[spec.key] = self._derive(attempt.caller, "key", str(own[spec.key]))
            case "prompt_cache_key" if spec.key not in body:
                body[spec.key] = self._derive(attempt.caller, "conversation", _conversation_id(attempt))
            case "user_id" if spec.key in own:
                if own[spec.key] is not None:
                    body[spec.key] = f"{self._derive(attempt.caller)}_{own[spec.key]}"
            case "user_id" if spec.key not in body:
                body[spec.key] = self._derive(attempt.caller)

    def headers(self, attempt: Attempt[Any], spec: PromptCacheSpec) -> Mapping[str, str]:
        """Return the header with the key, for a provider that has one. Its names and values are in lower case."""
        if spec.key != "x-grok-conv-id":
            return {}
        return {spec.key: self._derive(attempt.caller, "conversation", _conversation_id(attempt))}

    def _derive(self, caller: Caller, *scope: str) -> str:
        digest = blake2b(key=self._secret, digest_size=KEY_BYTES)
        for text in (caller.name, *(f"{name}={key}" for name, key in sorted(caller.provider_keys.items())), *scope):
            digest.update(len(text).to_bytes(8, "big") + text.encode("utf-8", "surrogatepass"))
        return digest.hexdigest()


def _conversation_id(attempt: Attempt[Any]) -> str:
    turn = attempt.call.turn
    return "" if turn is None else turn.conversation_id
