"""The `aimanager chat` command."""

from .command import add_chat_arguments as add_chat_arguments
from .command import chat as chat
