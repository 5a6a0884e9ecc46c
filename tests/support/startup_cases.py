"""Settings with which the server does not start, one for each reason."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.support.certificates import Certificates

FREE = '[server]\nlisten = "127.0.0.1:0"\nmetrics_listen = "off"\n'
FOREIGN = "192.0.2.1:5"
"""Reserved for documentation, so no address of this machine."""


def startup_cases(folder: Path) -> Mapping[str, bytes]:
    """Return config files by the reason why the server rejects them, and write the files that they name."""
    certificates = Certificates(folder)
    garbage = folder / "garbage.pem"
    garbage.write_text("garbage")
    tls = {**certificates.mutual_tls}
    texts = {
        "invalid TOML": "a = [",
        "unknown setting": f"{FREE}unknown = 1\n",
        "wrong type": "[retry]\nmax_attempts = 'many'\n",
        "public listener": '[server]\nlisten = "0.0.0.0:0"\n',
        "two listeners on one address": '[server]\nlisten = "127.0.0.1:9464"\n',
        "unreadable key file": f'{FREE}[providers.claude]\napi_key_file = "{folder}/absent"\n',
        "invalid CA file": f'{FREE}[providers.claude]\nca_file = "{garbage}"\n',
        "invalid options": f"{FREE}[providers.mock.options]\nrate = 'fast'\n",
        "unknown default model": f'{FREE}default_model = "cluade/latest"\n',
        "unknown target of a route": f'{FREE}[routes.fast]\ntargets = ["cluade/latest"]\n',
        "pattern of a safety filter": f"{FREE}[safety_filters.patterns.name]\npattern = 'a+'\n",
        "unknown plug-in": f'{FREE}[plugins]\nproviders = ["acme"]\n',
        "unknown extension": f'{FREE}[extensions]\nenabled = ["acme"]\n',
        "certificate": _with_tls({**tls, "certificate_file": str(garbage)}),
        "key of another certificate": _with_tls({**tls, "key_file": _other_key(certificates, folder)}),
        "client CA": _with_tls({**tls, "client_ca_file": str(garbage)}),
        "foreign address": f'[server]\nallow_anonymous = true\nlisten = "{FOREIGN}"\n',
        "unknown host": '[server]\nallow_anonymous = true\nlisten = "no-such-host.invalid:5"\n',
        "foreign address for health": f'{FREE}health_listen = "{FOREIGN}"\n',
        "absent folder of the database": f'{FREE}[storage]\nurl = "sqlite+aiosqlite:///{folder}/absent/a.db"\n',
        "invalid encryption key": _with_encryption_key(folder),
        "foreign address for metrics": FREE.replace("off", FOREIGN),
    }
    return {**{reason: text.encode() for reason, text in texts.items()}, "no UTF-8": b"\xff"}


def _with_tls(files: Mapping[str, str]) -> str:
    return f"{FREE}[server.tls]\n{''.join(_lines(files))}"


def _with_encryption_key(folder: Path) -> str:
    key_file = folder / "storage-keys"
    key_file.write_text("2026:dG9vIHNob3J0")
    url = f"sqlite+aiosqlite:///{folder}/a.db"
    return f'{FREE}[storage]\nurl = "{url}"\nencryption_key_file = "{key_file}"\n'


def _lines(values: Mapping[str, str]) -> Iterator[str]:
    for name, value in values.items():
        yield f'{name} = "{value}"\n'


def _other_key(certificates: Certificates, folder: Path) -> str:
    path = folder / "other.pem"
    path.write_bytes(certificates.untrusted_ca.issue_cert("localhost").private_key_pem.bytes())
    return str(path)
