"""The `aimanager` command."""

from .command import main as main
