"""Upstreams that cannot be reached or trusted, and connections that are stale or exhausted."""

from __future__ import annotations

import datetime
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.integration.faults.fault_catalog import responds, sends, stalls
from tests.integration.faults.gateway import FALLBACK, SINGLE_ATTEMPT, attempts_of, gateway, text_of, wait_until
from tests.integration.faults.scenarios import scenario
from tests.integration.faults.upstream import Upstream
from tests.integration.faults.wires import TEXT
from tests.support.http_servers.blackhole import black_hole
from tests.support.http_servers.raw import SocketFault

CONNECT_TIMEOUT: dict[str, Any] = {"connect_timeout_seconds": 0.2}
YESTERDAY = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)


def unused_port() -> int:
    """Return a port that refuses connections."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@scenario(22)
def test_an_unresolvable_host_falls_back() -> None:
    first = Upstream(base_url="http://no-such-host.invalid/v1", allow_plaintext=True, **CONNECT_TIMEOUT)

    with gateway(first, Upstream(responds()), retry=SINGLE_ATTEMPT) as server:
        response = server.generate(fallback_models=FALLBACK)

    assert text_of(response) == TEXT
    assert attempts_of(response.execution) == [("first", "PROVIDER_UNREACHABLE"), ("second", "")]


@scenario(22)
def test_a_refused_connection_falls_back() -> None:
    first = Upstream(base_url=f"http://127.0.0.1:{unused_port()}/v1", **CONNECT_TIMEOUT)

    with gateway(first, Upstream(responds())) as server:
        response = server.generate(fallback_models=FALLBACK)

    assert attempts_of(response.execution)[0] == ("first", "PROVIDER_UNREACHABLE")
    assert attempts_of(response.execution)[-1] == ("second", "")


@scenario(22)
def test_connect_timeout_bounds_the_wait_for_a_black_hole() -> None:
    with black_hole() as port:
        first = Upstream(base_url=f"http://127.0.0.1:{port}/v1", **CONNECT_TIMEOUT)
        with gateway(first, Upstream(responds()), retry=SINGLE_ATTEMPT) as server:
            response = server.generate(fallback_models=FALLBACK)

    assert attempts_of(response.execution)[0] == ("first", "PROVIDER_UNREACHABLE")
    assert attempts_of(response.execution)[-1] == ("second", "")
    assert response.execution.attempts[0].duration.ToTimedelta().total_seconds() < 2.0


@scenario(22)
def test_an_unreachable_address_family_falls_back_to_the_other() -> None:
    """localhost resolves to ::1 as well, where nothing listens."""
    first = Upstream(responds())
    both_families = Upstream(**CONNECT_TIMEOUT)

    with gateway(first) as reached:
        reached.generate()
        both_families.settings["base_url"] = f"http://localhost:{first.port}/v1"
        with gateway(both_families) as server:
            response = server.generate()

    assert text_of(response) == TEXT


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def tls_upstream(authority: trustme.CA, folder: Path, host: str, **fields: Any) -> Upstream:
    """Return an upstream over TLS with a certificate for the host."""
    ca_file = folder / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(host, **fields).configure_cert(context)
    return Upstream(responds(), tls=context, ca_file=str(ca_file), connect_timeout_seconds=2.0)


@scenario(23)
def test_a_valid_certificate_is_accepted(authority: trustme.CA, tmp_path: Path) -> None:
    with gateway(tls_upstream(authority, tmp_path, "127.0.0.1")) as server:
        response = server.generate()

    assert text_of(response) == TEXT


@scenario(23)
@pytest.mark.parametrize(
    ("host", "fields"),
    [("elsewhere.test", {}), ("127.0.0.1", {"not_after": YESTERDAY, "not_before": YESTERDAY - datetime.timedelta(1)})],
    ids=["wrong host", "expired"],
)
def test_an_invalid_certificate_is_not_retried(
    authority: trustme.CA, tmp_path: Path, host: str, fields: dict[str, Any]
) -> None:
    first, second = tls_upstream(authority, tmp_path, host, **fields), Upstream(responds())

    with gateway(first, second) as server:
        response = server.generate(fallback_models=FALLBACK)
        failure = server.generate_failure()

    assert attempts_of(response.execution) == [("first", "PROVIDER_UNTRUSTED"), ("second", "")]
    assert failure.attempts == [("first", "PROVIDER_UNTRUSTED")]
    assert first.requests == []


@scenario(23)
def test_connect_timeout_bounds_a_stalled_tls_handshake() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        first = Upstream(base_url=f"https://127.0.0.1:{silent.getsockname()[1]}/v1", **CONNECT_TIMEOUT)
        with gateway(first, Upstream(responds()), retry=SINGLE_ATTEMPT) as server:
            response = server.generate(fallback_models=FALLBACK)

    assert attempts_of(response.execution) == [("first", "PROVIDER_UNREACHABLE"), ("second", "")]
    assert response.execution.attempts[0].duration.ToTimedelta().total_seconds() < 2.0


@scenario(24)
def test_a_stale_pooled_connection_costs_no_attempt() -> None:
    first = Upstream(responds(), sends(SocketFault.CLOSE), responds())

    with gateway(first) as server:
        server.generate()
        response = server.generate()

    assert text_of(response) == TEXT
    assert attempts_of(response.execution) == [("first", "")]
    assert len(first.requests) == 3
    assert len(first.connections) == 2


@scenario(24)
def test_an_exhausted_connection_pool_falls_back_or_fails_as_overloaded() -> None:
    first = Upstream(stalls(), responds(), max_connections=1, connect_timeout_seconds=0.5)

    with gateway(first, Upstream(responds())) as server:
        holder = server.start_call()
        wait_until(lambda: len(first.requests) == 1)
        with_fallback = server.generate(fallback_models=FALLBACK)
        without_fallback = server.generate_failure()
        holder.cancel()
        wait_until(lambda: first.open_connections == 0)
        afterwards = server.generate()

    assert attempts_of(with_fallback.execution)[-1] == ("second", "")
    assert without_fallback.reason == "OVERLOADED"
    assert text_of(afterwards) == TEXT
