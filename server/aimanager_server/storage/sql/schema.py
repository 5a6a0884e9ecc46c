"""The version of the tables: check it and migrate it."""

from __future__ import annotations

from pathlib import Path

from alembic.command import upgrade
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from ...config.errors import StartupError
from .database import Database

MIGRATION_LOCK = 0x61696D67
"""Key of the advisory lock that lets several servers start at the same time."""


def latest_version() -> str:
    """Return the version that this release needs."""
    return ScriptDirectory.from_config(_config()).get_current_head() or ""


async def current_version(database: Database) -> str:
    """Return the version of the database, empty without tables. Raises StorageUnavailable."""
    async with database.reading() as connection:
        return await connection.run_sync(_version)


async def migrate(database: Database) -> None:
    """Create or update the tables; servers that start at the same time wait for each other.

    Raises StorageUnavailable, and StartupError if the database is newer than this release.
    """
    async with database.writing() as connection:
        if not database.is_sqlite:
            await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
        await connection.run_sync(_migrate, database.name)


async def check_version(database: Database) -> None:
    """Raise StartupError unless the tables are those that this release needs."""
    current = await current_version(database)
    if current != latest_version():
        raise StartupError(
            f"The database {database.name} has version {current or 'none'}, this release needs "
            f"{latest_version()}; run 'aimanager-server storage migrate', or set storage.migrate = true."
        )


def _migrate(connection: Connection, url: str) -> None:
    config, current = _config(), _version(connection)
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if current and current not in known:
        raise StartupError(f"The database {url} has version {current} of a newer release; update the server.")
    config.attributes["connection"] = connection
    upgrade(config, "head")


def _version(connection: Connection) -> str:
    return MigrationContext.configure(connection).get_current_revision() or ""


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config
