"""`aimanager-server storage`: check and migrate the database of the settings, and make encryption keys."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime

from ..config.errors import StartupError
from ..config.settings import Settings
from ..storage.opening import check_file_system, sql_database
from ..telemetry import logs


def run_storage(action: str, settings: Settings) -> int:
    """Run an action and return the exit status: 0, or 1 with an error.

    `check` fails unless the server could use the database now, `migrate` creates or updates the tables, `status` prints
    its version and what it holds, and `reencrypt` encrypts with the first key what another one encrypted; it fails if
    something is left. All but `migrate` fail if the key file does not decrypt what is stored.
    """
    if settings.storage.url is None:
        print("Conversations are kept in memory: storage.url is not set.")
        return 0
    logs.configure("error", str)
    actions: dict[str, Callable[[Settings], Awaitable[str]]] = {
        "check": _check, "migrate": _migrate, "status": _status, "reencrypt": _reencrypt
    }  # fmt: skip
    try:
        print(asyncio.run(_run(actions[action], settings)))
    except StartupError as error:
        print(f"aimanager-server: {error}", file=sys.stderr)
        return 1
    return 0


def print_key() -> int:
    """Print a new encryption key, with an id of its own that shows the current day."""
    from ..storage.encryption import new_key_id, new_key_line

    print(new_key_line(new_key_id(datetime.now(UTC).date())))
    return 0


async def _run(action: Callable[[Settings], Awaitable[str]], settings: Settings) -> str:
    check_file_system(settings.storage)
    return await action(settings)


async def _check(settings: Settings) -> str:
    from ..storage.encryption import cipher_of
    from ..storage.sql.reencryption import unreadable_ciphers
    from ..storage.sql.schema import check_version

    cipher = cipher_of(settings.storage.encryption_key_file)
    async with sql_database(settings.storage) as database:
        await check_version(database)
        _require_readable(await unreadable_ciphers(database, cipher), settings)
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
    from ..storage.encryption import cipher_of
    from ..storage.sql.reencryption import unreadable_ciphers, values_by_cipher
    from ..storage.sql.schema import current_version, latest_version
    from ..storage.sql.status import contents

    cipher = cipher_of(settings.storage.encryption_key_file)
    unreadable: Sequence[str] = ()
    async with sql_database(settings.storage) as database:
        version = await current_version(database)
        rows: dict[str, object] = {
            "database": database.name,
            "version": f"{version or 'none'} (this release: {latest_version()})",
        }
        if version == latest_version():
            rows |= await contents(database)
            values = await values_by_cipher(database)
            rows |= {_key_name(name): count for name, count in sorted(values.items())}
            unreadable = await unreadable_ciphers(database, cipher)
    lines = "\n".join(f"{name:<13} {value}" for name, value in rows.items())
    if unreadable:
        print(lines)
    _require_readable(unreadable, settings)
    return lines


async def _reencrypt(settings: Settings) -> str:
    from ..storage.encryption import cipher_of
    from ..storage.sql.reencryption import reencrypt, unreadable_ciphers, values_by_cipher
    from ..storage.sql.schema import check_version

    key_file = settings.storage.encryption_key_file
    if key_file is None:
        raise StartupError("storage.encryption_key_file is not set; it names the key to encrypt with.")
    cipher = cipher_of(key_file)
    async with sql_database(settings.storage) as database:
        await check_version(database)
        # What the first key does not decrypt looks as if it needed no other key.
        _require_readable(
            [name for name in await unreadable_ciphers(database, cipher) if name == cipher.name], settings
        )
        done = await reencrypt(database, cipher)
        rest = {name: count for name, count in (await values_by_cipher(database)).items() if name != cipher.name}
    summary = f"Encrypted {done.values} values again, with {_key_name(cipher.name)}."
    if not rest:
        return f"{summary} No value needs another key of {key_file}: they can be removed."
    left = ", ".join(f"{count} with {_key_name(name)}" for name, count in sorted(rest.items()))
    raise StartupError(
        f"{summary} {sum(rest.values())} values are left: {left}. {done.unreadable} of them cannot be read, because "
        f"their key is missing in {key_file} or they were changed. Other values are of servers that still encrypt with "
        "another key: restart them with this file, and run this again."
    )


def _require_readable(unreadable: Sequence[str], settings: Settings) -> None:
    """Raise StartupError if values of these ciphers cannot be decrypted."""
    if not unreadable:
        return
    key_file = settings.storage.encryption_key_file
    names = ", ".join(map(_key_name, unreadable))
    if key_file is None:
        raise StartupError(
            f"Values are encrypted with {names}: set storage.encryption_key_file to the file of the key."
        )
    raise StartupError(
        f"Values encrypted with {names} cannot be read: {key_file} has no key with this id or another key than the one "
        "that was used, or a value was changed. Add the line of the original key; a different key needs another id."
    )


def _key_name(cipher: str) -> str:
    from ..storage.encryption import CIPHER_PREFIX

    return f"key {cipher.removeprefix(CIPHER_PREFIX)}" if cipher else "no encryption"
