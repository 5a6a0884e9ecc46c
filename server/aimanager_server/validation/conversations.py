"""Validate the settings of a conversation."""

from __future__ import annotations

from collections.abc import Iterator

from ..catalog.model import MAX_MODEL_NAME_LENGTH
from ..core.conversation import ConversationSettings
from ..core.errors import FieldViolation
from .request import label_violations
from .violations import too_long

MAX_TITLE_LENGTH = 256
MAX_SYSTEM_INSTRUCTION_LENGTH = 1_000_000


def settings_violations(settings: ConversationSettings) -> Iterator[FieldViolation]:
    """Yield the invalid settings."""
    yield from too_long("title", settings.title, MAX_TITLE_LENGTH)
    yield from too_long("model", settings.model, MAX_MODEL_NAME_LENGTH)
    yield from too_long("system_instruction", settings.system_instruction, MAX_SYSTEM_INSTRUCTION_LENGTH)
    yield from label_violations(settings.labels)
