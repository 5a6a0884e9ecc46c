"""Lets `python -m aimanager_server` do what `aimanager-server` does."""

from .commands.main import main

if __name__ == "__main__":
    raise SystemExit(main())
