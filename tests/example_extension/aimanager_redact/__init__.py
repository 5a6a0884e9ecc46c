"""Two complete extensions: one with typed requests, one with dicts as in the original design document."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from aimanager_server.extensions import (
    API_VERSION,
    ExtensionCall,
    ExtensionRequest,
    ExtensionResponse,
    FeatureExtension,
    Message,
    Text,
)


class Redact:
    """Replace words in prompts by placeholders, and the placeholders in answers by the words."""

    name = "redact"
    api_version = API_VERSION

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._pattern = re.compile("|".join(map(re.escape, options["words"])), re.IGNORECASE)

    def on_request(self, call: ExtensionCall, request: ExtensionRequest) -> ExtensionRequest:
        """Replace the words in the messages, the system instruction, and the history, which is stored as written."""
        placeholders: dict[str, str] = {}

        def placeholder(match: re.Match[str]) -> str:
            return placeholders.setdefault(match[0], f"[REDACTED {len(placeholders) + 1}]")

        def without_words(message: Message) -> Message:
            parts = (
                Text(self._pattern.sub(placeholder, part.text)) if isinstance(part, Text) else part
                for part in message.parts
            )
            return replace(message, parts=tuple(parts))

        history, messages = (tuple(map(without_words, each)) for each in (request.history, request.messages))
        system_instruction = self._pattern.sub(placeholder, request.system_instruction)
        call.state["words"] = {value: word for word, value in placeholders.items()}
        return replace(request, history=history, messages=messages, system_instruction=system_instruction)

    def on_completion(self, call: ExtensionCall, response: ExtensionResponse) -> ExtensionResponse | None:
        """Put the words back."""
        text = response.text
        for placeholder, word in call.state["words"].items():
            text = text.replace(placeholder, word)
        return None if text == response.text else response.with_text(text)


class Sign(FeatureExtension):
    """Sign answers with the model that wrote them."""

    def get_feature_name(self) -> str:
        """Return the name of the entry point."""
        return "sign"

    def process_request(self, request_data: dict[str, Any]) -> dict[str, Any]:
        """Change nothing."""
        return request_data

    def process_response(self, response_data: dict[str, Any]) -> dict[str, Any]:
        """Append a line."""
        response_data["content"] += f"\n({response_data['model']})"
        return response_data
