"""Build the operations of conversations."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from operator import attrgetter
from os import PathLike
from typing import Any, TypeAlias

from google.protobuf.message import Message

from ..config import MIB
from ..errors import InvalidRequestError
from ..messages import Attachment, AttachmentSource
from ..options import OnInterruption, RequestOptions
from ..types.conversation import Compaction
from ..types.response import read_warning
from ..types.usage import read_usage
from ..v1 import conversation_pb2 as pb
from .checks import require_utf8, set_number
from .defaults import CallDefaults
from .operation import READ_TIMEOUT, REQUEST_TIMEOUT, TRANSFER_TIMEOUT, Operation
from .prompt import Prompt, read_prompt
from .requests import GenerateOperation, StreamOperation, generate, stream_generate
from .scalars import read_cost

PAGE_SIZE = 50

MAX_SENT_MESSAGES, MAX_SENT_FIELDS, MAX_SENT_BYTES = 5_000, 19_000, 28 * MIB
"""Messages, fields and bytes of the turns that a new conversation begins with: what a server accepts by default, less
what the settings of the conversation take."""

ConversationOperation: TypeAlias = Operation[Any, Any, pb.Conversation]
ListOperation: TypeAlias = Operation[pb.ListConversationsRequest, pb.ListConversationsResponse, Any]
TurnsOperation: TypeAlias = Operation[pb.ListMessagesRequest, pb.ListMessagesResponse, Any]
CompactOperation: TypeAlias = Operation[
    pb.CompactConversationRequest, pb.CompactConversationResponse, tuple[pb.Conversation, Compaction]
]


def open_conversation(
    conversation_id: str | None,
    title: str | None,
    model: str | None,
    system_instruction: str | None,
    labels: Mapping[str, str] | None,
    defaults: CallDefaults,
) -> ConversationOperation:
    """Describe the lookup of a conversation, or the creation of one that has the client's default model.

    Raises InvalidRequestError for an id together with settings, which would be ignored.
    """
    settings = {"title": title, "model": model, "system_instruction": system_instruction, "labels": labels}
    if conversation_id is None:
        request = pb.CreateConversationRequest(**_checked({**settings, "model": defaults.qualified_model(model)}))
        return _operation("CreateConversation", request)
    if given := [name for name, value in settings.items() if value is not None]:
        raise InvalidRequestError(
            f"{given[0]} applies to a new conversation, and an id was passed too",
            f"Write ai.conversation(id), then conversation.update({given[0]}=…).",
        )
    return get_conversation(conversation_id)


def create_copy(settings: pb.Conversation, turns: Sequence[pb.NewTurn]) -> ConversationOperation:
    """Describe the creation of a conversation with these settings and turns."""
    request = pb.CreateConversationRequest(
        title=settings.title,
        model=settings.model,
        system_instruction=settings.system_instruction,
        labels=settings.labels,
        turns=turns,
    )
    return _operation("CreateConversation", request, timeout=TRANSFER_TIMEOUT)


def count_first_turns(turns: Sequence[pb.NewTurn]) -> int:
    """Return how many of the turns one request carries: as many as fit, at least one."""
    messages, fields, size = 0, 0, 0
    for index, turn in enumerate(turns):
        messages += len(turn.messages)
        fields += 1 + _count_fields(turn)
        size += turn.ByteSize()
        if index and (messages > MAX_SENT_MESSAGES or fields > MAX_SENT_FIELDS or size > MAX_SENT_BYTES):
            return index
    return len(turns)


def _count_fields(message: Message) -> int:
    """Return the number of fields of a message and its submessages, as a server counts them.

    >>> _count_fields(pb.NewTurn(pinned=True, messages=[{"parts": [{"text": "Hi"}]}]))
    4
    """
    count = 0
    for field, value in message.ListFields():
        values = (value,) if isinstance(value, Message | str | bytes | int | float) else value
        count += len(values)
        if field.message_type is not None and not field.message_type.GetOptions().map_entry:
            count += sum(map(_count_fields, values))
    return count


def get_conversation(conversation_id: str) -> ConversationOperation:
    """Describe the lookup of a conversation."""
    return _operation("GetConversation", pb.GetConversationRequest(conversation_id=_id(conversation_id)))


def list_conversations(labels: Mapping[str, str] | None, page_size: int, page_token: str = "") -> ListOperation:
    """Describe one page of conversations."""
    request = pb.ListConversationsRequest(page_token=page_token, **_checked({"labels": labels}))
    set_number(request, "page_size", "page_size", page_size)
    return _operation("ListConversations", request, _whole)


def update_conversation(
    conversation_id: str,
    title: str | None,
    model: str | None,
    system_instruction: str | None,
    labels: Mapping[str, str] | None,
    defaults: CallDefaults,
) -> ConversationOperation:
    """Describe a change of the settings that are not None. Raises InvalidRequestError without any."""
    qualified = defaults.qualified_model(model) if model else model
    settings = _checked(
        {"title": title, "model": qualified, "system_instruction": system_instruction, "labels": labels}
    )
    if not settings:
        raise InvalidRequestError(
            "update() needs something to change", "Pass title, model, system_instruction or labels."
        )
    request = pb.UpdateConversationRequest(conversation=pb.Conversation(id=conversation_id, **settings))
    request.update_mask.paths.extend(settings)
    operation = _operation("UpdateConversation", request)
    return replace(operation, field_name=lambda path: path.removeprefix("conversation."))


def delete_conversation(conversation_id: str) -> Operation[Any, Any, None]:
    """Describe a deletion."""
    request = pb.DeleteConversationRequest(conversation_id=_id(conversation_id))
    return _operation("DeleteConversation", request, _nothing)


def append_messages(conversation_id: str, prompt: Prompt, *, pinned: bool) -> ConversationOperation:
    """Describe a turn that is added without a response."""
    messages = read_prompt(prompt)
    if messages.system:
        raise InvalidRequestError(
            "prompt must not have a system message", "Write conversation.update(system_instruction=…)."
        )
    request = pb.AppendMessagesRequest(conversation_id=conversation_id, messages=messages.messages, pinned=pinned)
    operation = _operation("AppendMessages", request, timeout=TRANSFER_TIMEOUT)
    return replace(operation, field_name=messages.field_name)


def append_turn(conversation_id: str, turn: pb.NewTurn) -> ConversationOperation:
    """Describe a turn of a saved conversation that did not fit into the first request."""
    request = pb.AppendMessagesRequest(
        conversation_id=conversation_id, messages=turn.messages, pinned=turn.pinned, interrupted=turn.interrupted
    )
    return _operation("AppendMessages", request, timeout=TRANSFER_TIMEOUT)


def list_turns(conversation_id: str, page_token: str = "") -> TurnsOperation:
    """Describe one page of turns."""
    request = pb.ListMessagesRequest(conversation_id=conversation_id, page_size=PAGE_SIZE, page_token=page_token)
    return _operation("ListMessages", request, _whole, TRANSFER_TIMEOUT)


def pin_turn(conversation_id: str, turn: int, *, pinned: bool) -> Operation[Any, Any, None]:
    """Describe that a turn is pinned or unpinned."""
    request = pb.PinTurnRequest(conversation_id=conversation_id, pinned=pinned)
    set_number(request, "turn", "turn", turn)
    return _operation("PinTurn", request, _nothing)


def fork_conversation(conversation_id: str, turn: int | None, title: str | None) -> ConversationOperation:
    """Describe a copy of the turns before `turn`, or of all."""
    request = pb.ForkConversationRequest(conversation_id=conversation_id, **_checked({"title": title}))
    set_number(request, "turn_count", "turn", turn)
    operation = _operation("ForkConversation", request)
    return replace(operation, field_name=lambda path: "turn" if path == "turn_count" else path)


def compact_conversation(
    conversation_id: str,
    keep_turns: int | None,
    model: str | None,
    timeout: float | None,
    defaults: CallDefaults,
    *,
    native: bool = False,
) -> CompactOperation:
    """Describe a summary of all turns but the newest."""
    qualified = defaults.qualified_model(model) if model else ""
    settings = _checked({"model": qualified})
    request = pb.CompactConversationRequest(conversation_id=conversation_id, native=native, **settings)
    set_number(request, "keep_turns", "keep_turns", keep_turns)
    return Operation(
        "conversations.CompactConversation",
        request,
        defaults.timeout_for(timeout, REQUEST_TIMEOUT),
        _read_compaction,
        sends_provider_key=True,
        field_name=str,
    )


def _read_compaction(response: pb.CompactConversationResponse) -> tuple[pb.Conversation, Compaction]:
    summary = response.conversation.summary
    usage, cost = read_usage(response.usage), read_cost(response, "cost")
    warnings = tuple(map(read_warning, response.warnings))
    return response.conversation, Compaction(summary.turns, summary.text, usage, cost, warnings)


def generate_turn(
    conversation: pb.Conversation, prompt: Prompt, options: RequestOptions, defaults: CallDefaults
) -> GenerateOperation:
    """Describe a generation that adds a turn."""
    operation = generate(prompt, options, _turn_defaults(conversation, defaults))
    operation.request.conversation_id = conversation.id
    return operation


def stream_turn(
    conversation: pb.Conversation,
    prompt: Prompt,
    options: RequestOptions,
    defaults: CallDefaults,
    on_interruption: OnInterruption,
) -> StreamOperation:
    """Describe a streamed generation that adds a turn. With its key, a retry does not add a second one."""
    operation = stream_generate(prompt, options, _turn_defaults(conversation, defaults), on_interruption)
    request = operation.request.request
    request.conversation_id = conversation.id
    request.idempotency_key = request.idempotency_key or uuid.uuid4().hex
    return operation


def _turn_defaults(conversation: pb.Conversation, defaults: CallDefaults) -> CallDefaults:
    """Return the defaults of a turn: the model of the conversation comes before that of the client."""
    return replace(defaults, model="") if conversation.model else defaults


def with_files(
    options: RequestOptions, before: Sequence[AttachmentSource] = (), after: Sequence[AttachmentSource] = ()
) -> RequestOptions:
    """Return the options with more attachments before and after their own."""
    if not before and not after:
        return options
    given = options.get("attachments") or ()
    own = [given] if isinstance(given, str | PathLike | bytes | bytearray | Attachment) else list(given)
    return {**options, "attachments": [*before, *own, *after]}


def _operation(
    method: str, request: Any, read: Callable[[Any], Any] = attrgetter("conversation"), timeout: float = READ_TIMEOUT
) -> Operation[Any, Any, Any]:
    """Return an operation that returns a conversation, and whose fields are called as the API calls them."""
    return Operation(f"conversations.{method}", request, timeout, read, field_name=str)


def _whole(response: Any) -> Any:
    return response


def _nothing(response: Any) -> None:
    """Return nothing, as the response has no content."""


def _id(conversation_id: str) -> str:
    return require_utf8("id", conversation_id)


def _checked(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that are not None. Raises InvalidRequestError for one of another type."""
    return {name: _checked_setting(name, value) for name, value in settings.items() if value is not None}


def _checked_setting(name: str, value: Any) -> Any:
    if name != "labels":
        return require_utf8(name, value)
    if not isinstance(value, Mapping):
        raise InvalidRequestError(
            f"labels must be a dict, got {type(value).__name__}", 'Write labels={"team": "search"}.'
        )
    return {require_utf8("labels", key): require_utf8("labels", each) for key, each in value.items()}
