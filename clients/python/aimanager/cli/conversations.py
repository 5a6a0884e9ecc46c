"""The `aimanager conversations` command."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from datetime import datetime
from itertools import islice
from pathlib import Path

from .._convert.scalars import enum_word
from ..client import AIManager
from ..conversation import Conversation
from ..errors import ConfigurationError, InvalidRequestError
from ..messages import Message, Part
from ..types.conversation import ConversationTurn
from ..v1.content_pb2 import Role
from .console import Console, message_to_dict, messages_to_json, to_json
from .tables import UNKNOWN, format_money, table

ACTIONS = ("list", "show", "export", "import", "delete")
DEFAULT_LIMIT = 50
MAX_TITLE_LENGTH = 40


def add_conversations_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `conversations`."""
    parser.set_defaults(keeps_conversations=True)
    parser.add_argument("action", nargs="?", choices=ACTIONS, default="list", help="default: list")
    parser.add_argument("id", nargs="?", default="", metavar="ID", help="id of the conversation; the file to import")
    parser.add_argument("file", nargs="?", default="", metavar="FILE", help="new file for export")
    parser.add_argument(
        "--limit", type=int, default=DEFAULT_LIMIT, metavar="N", help=f"list at most N (default: {DEFAULT_LIMIT})"
    )


def conversations(client: AIManager, options: argparse.Namespace, console: Console) -> int:
    """List the conversations of this caller; show, save, load or delete one."""
    _check_arguments(options.action, options.id, options.file)
    match options.action:
        case "list":
            _list(client, options, console)
        case "show":
            _show(client.conversations.get(options.id), options, console)
        case "export":
            save_conversation(client.conversations.get(options.id), Path(options.file))
            console.write("{}\n" if options.json else f"saved: {options.file}\n")
        case "import":
            loaded = load_conversation(client, Path(options.id))
            turns = "1 turn" if loaded.turn_count == 1 else f"{loaded.turn_count} turns"
            line = f"{loaded.id}: {turns} from {options.id}\n"
            console.write(messages_to_json(loaded.proto) if options.json else line)
        case _:
            client.conversations.delete(options.id)
            console.write("{}\n" if options.json else f"deleted {options.id}\n")
    return 0


def _check_arguments(action: str, name: str, file: str) -> None:
    if action == "list" and name:
        raise InvalidRequestError("list takes no id", f"Write `aimanager conversations show {name}`.")
    if action == "import" and not name:
        raise InvalidRequestError("import needs a file", "Pass a file that export, or /save in a chat, wrote.")
    if action != "list" and not name:
        solution = "`aimanager conversations` lists the ids."
        raise InvalidRequestError(f"{action} needs the id of a conversation", solution)
    if (action == "export") != bool(file):
        problem = "export needs a file" if action == "export" else f"{action} takes one argument, got {file!r} too"
        raise InvalidRequestError(problem, "For example: aimanager conversations export ID trip.json")


def save_conversation(conversation: Conversation, path: Path) -> None:
    """Write a conversation to a new JSON file. Raises AIError."""
    require_new(path)
    try:
        conversation.save(path)
    except OSError as error:
        raise ConfigurationError(f"Cannot write {str(path)!r}: {error.strerror}.", "Check its folder.") from error


def require_new(path: Path) -> None:
    """Raise InvalidRequestError if the file exists."""
    if path.exists():
        raise InvalidRequestError(f"{str(path)!r} exists already.", "Save under another name.")


def load_conversation(client: AIManager, path: Path) -> Conversation:
    """Start a conversation with the content of a JSON file. Raises AIError."""
    try:
        return Conversation.load(client, path)
    except OSError as error:
        raise ConfigurationError(f"Cannot read {str(path)!r}: {error.strerror}.", "Check the path.") from error


def _list(client: AIManager, options: argparse.Namespace, console: Console) -> None:
    listed = list(islice(client.conversations.list(), max(0, options.limit)))
    if options.json:
        console.write(messages_to_json(*(each.proto for each in listed), as_list=True))
    else:
        console.write(f"{conversations_table(listed)}\n")


def conversations_table(listed: Iterable[Conversation]) -> str:
    """Format one line per conversation."""
    rows = [[each.id, str(each.turn_count), _time(each.update_time), _title(each.title)] for each in listed]
    return table(["ID", "TURNS", "LAST USED (UTC)", "TITLE"], rows)


def _time(time: datetime | None) -> str:
    return f"{time:%Y-%m-%d %H:%M}" if time else UNKNOWN


def _title(title: str) -> str:
    """Return a title on one line, cut to the width of its column."""
    line = " ".join(title.split()) or UNKNOWN
    return line if len(line) <= MAX_TITLE_LENGTH else f"{line[: MAX_TITLE_LENGTH - 1]}…"


def _show(conversation: Conversation, options: argparse.Namespace, console: Console) -> None:
    turns = conversation.turns
    if options.json:
        shown = {
            "conversation": message_to_dict(conversation.proto),
            "turns": [message_to_dict(turn.proto) for turn in turns],
        }
        console.write(to_json(shown))
        return
    console.write("\n".join([*_heading(conversation), *(line for turn in turns for line in turn_lines(turn))]) + "\n")


def _heading(conversation: Conversation) -> Iterable[str]:
    cost, currency = conversation.cost, conversation.proto.cost.currency_code
    fields = {
        "title": _title(conversation.title),
        "model": conversation.model or UNKNOWN,
        "system": conversation.system_instruction or UNKNOWN,
        "tokens": f"{conversation.usage.input_tokens} input + {conversation.usage.output_tokens} output",
        "cost": UNKNOWN if cost is None else format_money(cost, currency or "USD"),
        "expires": f"{_time(conversation.expire_time)} UTC",
    }
    return (f"{name}: {value}" for name, value in fields.items())


def turn_lines(turn: ConversationTurn) -> Iterable[str]:
    """Yield the lines that show a turn."""
    marks = [name for name, is_set in (("pinned", turn.is_pinned), ("interrupted", turn.is_interrupted)) if is_set]
    yield f"\n--- turn {turn.number}{''.join(f', {mark}' for mark in marks)}"
    for message in turn.messages:
        yield f"{enum_word(Role, message.role)}: {_text(message)}"


def _text(message: Message) -> str:
    return "\n".join(text for part in message.parts if (text := _part_text(part)))


def _part_text(part: Part) -> str:
    match part.WhichOneof("content"):
        case "text":
            return part.text
        case "tool_call":
            return f"[calls {part.tool_call.name} with {part.tool_call.arguments_json}]"
        case "tool_result":
            return f"[{part.tool_result.name} returned {part.tool_result.output}]"
        case "attachment":
            return f"[{part.attachment.filename or 'file'}, {part.attachment.mime_type}]"
    return ""
