"""Run `python -m aimanager_server` as the `aimanager-server` command."""

from .commands.main import main

if __name__ == "__main__":
    raise SystemExit(main())
