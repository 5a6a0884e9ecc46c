"""`aimanager-server storage`: check and migrate the database of the settings, and make encryption keys."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from ..config.errors import StartupError
from ..config.settings import Settings
from ..storage.opening import check_file_system, sql_database
from ..telemetry import logs


def run_storage(action: str, settings: Settings) -> int:
    """Run an action and return the exit status: 0, or 1 with an error.

    `check` fails unless the server could use the database now, `migrate` creates or updates the tables, and `status`
    prints its version and what it holds.
    """
    if settings.storage.url is None:
        print("Conversations are kept in memory: storage.url is not set.")
        return 0
    logs.configure("error", str)
    actions: dict[str, Callable[[Settings], Awaitable[str]]] = {"check": _check, "migrate": _migrate, "status": _status}
    try:
        print(asyncio.run(_run(actions[action], settings)))
    except StartupError as error:
        print(f"aimanager-server: {error}", file=sys.stderr)
        return 1
    return 0


def print_key() -> int:
    """Print a new encryption key, named for the current month."""
    from ..storage.encryption import new_key_line

    print(new_key_line(f"{datetime.now(UTC):%Y-%m}"))
    return 0


async def _run(action: Callable[[Settings], Awaitable[str]], settings: Settings) -> str:
    check_file_system(settings.storage)
    return await action(settings)


async def _check(settings: Settings) -> str:
    from ..storage.sql.schema import check_version

    async with sql_database(settings.storage) as database:
        await check_version(database)
        return f"The database {database.name} is ready."


async def _migrate(settings: Settings) -> str:
    from ..storage.sql.schema import current_version, migrate

    async with sql_database(settings.storage) as database:
        before = await current_version(database)
        await migrate(database)
        after = await current_version(database)
        change = f"already has version {after}" if before == after else f"now has version {after}"
        return f"The database {database.name} {change}."


async def _status(settings: Settings) -> str:
    from ..storage.sql.schema import current_version, latest_version
    from ..storage.sql.status import contents

    async with sql_database(settings.storage) as database:
        version = await current_version(database)
        rows: dict[str, object] = {
            "database": database.name,
            "version": f"{version or 'none'} (this release: {latest_version()})",
        }
        if version == latest_version():
            rows |= await contents(database)
        return "\n".join(f"{name:<13} {value}" for name, value in rows.items())
