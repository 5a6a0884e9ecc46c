"""Conversations to protobuf, and their settings and page tokens from it."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from aimanager.v1 import conversation_pb2

from ...config.settings import Limits
from ...core.conversation import Conversation, ConversationSettings, NewTurn, Turn
from ...operations.conversations import Compacted
from ...storage.conversations import Page
from ...validation.conversations import settings_violations
from .fields import FieldParser, invalid_field
from .requests import check_message_counts, parse_each_message, parse_messages
from .responses import artifact_to_proto, clamp_int32, cost_to_proto, message_to_proto, usage_to_proto, valid_text
from .times import optional_timestamp

CHANGEABLE = ("title", "model", "system_instruction", "labels")
PAGE = re.compile(r"([0-9.]{1,40}) (conv_[A-Za-z0-9_-]{1,64})")
INVALID_PAGE = "must be the next_page_token of a page of this list"


def conversation_to_proto(conversation: Conversation) -> conversation_pb2.Conversation:
    """Convert a conversation."""
    settings, summary = conversation.settings, conversation.summary
    converted = conversation_pb2.Conversation(
        id=conversation.id,
        title=settings.title,
        model=settings.model,
        system_instruction=settings.system_instruction,
        labels=settings.labels,
        turn_count=conversation.turn_count,
        message_count=conversation.message_count,
        usage=usage_to_proto(conversation.usage),
        create_time=optional_timestamp(conversation.created_at),
        update_time=optional_timestamp(conversation.updated_at),
        expire_time=optional_timestamp(conversation.expires_at),
        forked_from=conversation.forked_from,
    )
    if conversation.cost is not None:
        converted.cost.CopyFrom(cost_to_proto(conversation.cost))
    if summary is not None:
        converted.summary.turns = summary.turns
        converted.summary.text = valid_text(summary.text)
        converted.summary.provider, converted.summary.model = summary.provider, summary.model
        if (native := summary.native) is not None:
            converted.summary.native_model = f"{native.provider}/{native.model}"
    return converted


def compacted_to_proto(compacted: Compacted) -> conversation_pb2.CompactConversationResponse:
    """Convert the result of a compaction."""
    response = conversation_pb2.CompactConversationResponse(conversation=conversation_to_proto(compacted.conversation))
    if compacted.usage is not None:
        response.usage.CopyFrom(usage_to_proto(compacted.usage))
    if compacted.cost is not None:
        response.cost.CopyFrom(cost_to_proto(compacted.cost))
    for warning in compacted.warnings:
        response.warnings.add(field=warning.field, message=valid_text(warning.message))
    return response


def turn_to_proto(turn: Turn) -> conversation_pb2.Turn:
    """Convert a turn."""
    converted = conversation_pb2.Turn(
        number=turn.number,
        messages=map(message_to_proto, turn.messages),
        create_time=optional_timestamp(turn.created_at),
        interrupted=turn.is_interrupted,
        pinned=turn.is_pinned,
        artifacts=map(artifact_to_proto, turn.artifacts),
    )
    if turn.usage is not None:
        converted.usage.CopyFrom(usage_to_proto(turn.usage))
    if turn.cost is not None:
        converted.cost.CopyFrom(cost_to_proto(turn.cost))
    return converted


def turns_page(turns: Sequence[Turn], turn_count: int) -> conversation_pb2.ListMessagesResponse:
    """Return a page of a conversation with so many turns."""
    page = conversation_pb2.ListMessagesResponse(turns=map(turn_to_proto, turns))
    if turns and turns[-1].number + 1 < turn_count:
        page.next_page_token = str(turns[-1].number + 1)
    return page


def parse_settings(
    title: str, model: str, system_instruction: str, labels: Mapping[str, str], prefix: str = ""
) -> ConversationSettings:
    """Return the settings of a conversation. Raises InvalidRequest; `prefix` precedes the paths of its fields."""
    parser = FieldParser()
    for name, text in (("title", title), ("model", model), ("system_instruction", system_instruction)):
        parser.text(text, f"{prefix}{name}")
    settings = ConversationSettings(title, model, system_instruction, dict(labels))
    for violation in settings_violations(settings):
        parser.reject(f"{prefix}{violation.field}", violation.description)
    parser.raise_violations()
    return settings


def parse_new_turns(request: conversation_pb2.CreateConversationRequest, limits: Limits) -> Sequence[NewTurn]:
    """Return the turns that a new conversation begins with. Raises InvalidRequest."""
    if not request.turns:
        messages = parse_messages(request.messages, limits)
        return [NewTurn(messages)] if messages else []
    if request.messages:
        raise invalid_field("messages", "must be empty if turns is set")
    count = sum(len(turn.messages) for turn in request.turns)
    if max(count, len(request.turns)) > limits.max_messages:
        description = f"must have at most {limits.max_messages} messages, each turn at least one"
        raise invalid_field("turns", f"{description}, got {count} in {len(request.turns)} turns")
    parser = FieldParser()
    for index, turn in enumerate(request.turns):
        check_message_counts(parser, turn.messages, limits, f"turns[{index}].")
    parser.raise_violations()
    turns = [
        NewTurn(
            parse_each_message(parser, turn.messages, f"turns[{index}]."),
            is_pinned=turn.pinned,
            is_interrupted=turn.interrupted,
        )
        for index, turn in enumerate(request.turns)
    ]
    parser.raise_violations()
    return turns


def parse_changes(
    request: conversation_pb2.UpdateConversationRequest,
) -> Callable[[ConversationSettings], ConversationSettings]:
    """Return a function that changes the fields of the mask. Raises InvalidRequest."""
    given, paths = request.conversation, list(request.update_mask.paths)
    accepted = ", ".join(CHANGEABLE)
    if not paths:
        raise invalid_field("update_mask", f"must name at least one of {accepted}")
    for path in paths:
        if path not in CHANGEABLE:
            raise invalid_field("update_mask", f"must name only {accepted}, got {path[:64]!r}")
    new = parse_settings(given.title, given.model, given.system_instruction, given.labels, "conversation.")
    changes = {path: getattr(new, path) for path in paths}
    return lambda settings: replace(settings, **changes)


def page_token(conversation: Conversation) -> str:
    """Return the token of the page after a conversation."""
    return base64.urlsafe_b64encode(f"{conversation.updated_at:.6f} {conversation.id}".encode()).decode().rstrip("=")


def parse_page_token(token: str) -> Page | None:
    """Return the position of a page, None for the first. Raises InvalidRequest."""
    if not token:
        return None
    try:
        text = base64.urlsafe_b64decode(token[:256] + "=" * (-len(token) % 4)).decode("ascii")
        match = PAGE.fullmatch(text)
        if match is not None:
            return Page(float(match[1]), match[2])
    except (binascii.Error, UnicodeDecodeError, ValueError):
        pass
    raise invalid_field("page_token", INVALID_PAGE)


def parse_turn_token(token: str) -> int:
    """Return the number of the first turn of a page. Raises InvalidRequest."""
    if not token:
        return 0
    if not re.fullmatch(r"[0-9]{1,9}", token):
        raise invalid_field("page_token", INVALID_PAGE)
    return int(token)


def parse_count(value: int, path: str) -> int:
    """Return a count. Raises InvalidRequest if it is negative."""
    if value < 0:
        raise invalid_field(path, f"must be at least 0, got {value}")
    return clamp_int32(value)
