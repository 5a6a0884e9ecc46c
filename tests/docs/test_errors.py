"""docs/errors.md matches the errors and their details."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from google.rpc import error_details_pb2

from aimanager.v1 import generation_pb2, usage_pb2
from aimanager_server.commands.error_reference import error_reference
from aimanager_server.core import errors
from aimanager_server.core.errors import FieldViolation
from aimanager_server.core.usage import Usage
from aimanager_server.rpc.context import REQUEST_ID_KEY
from aimanager_server.rpc.status import DETAILS_KEY, DO_NOT_RETRY, DOMAIN, MAX_TRAILER_BYTES, PUSHBACK_KEY
from aimanager_server.validation.violations import MAX_VIOLATIONS
from tests.support.calls import ended_record
from tests.support.doc_blocks import DOCS, code_blocks, run_python
from tests.support.gateway import settings_with, started_gateway
from tests.support.paths import ROOT
from tests.support.rpc import REQUEST, build_server, raising, running
from tests.support.rpc_errors import failure_of

PAGE = (DOCS / "errors.md").read_text("utf-8")
SERVER = ROOT / "server/aimanager_server"
DETAILS = {
    f"{package}.{kind.DESCRIPTOR.name}": kind
    for package, kinds in {
        "google.rpc": (
            error_details_pb2.ErrorInfo,
            error_details_pb2.LocalizedMessage,
            error_details_pb2.RetryInfo,
            error_details_pb2.QuotaFailure,
            error_details_pb2.PreconditionFailure,
            error_details_pb2.BadRequest,
        ),
        "aimanager.v1": (usage_pb2.Usage, generation_pb2.Execution),
    }.items()
    for kind in kinds
}
"""Every kind of detail, in the order of the page."""


def test_the_page_is_up_to_date() -> None:
    assert error_reference() == PAGE, "run 'make docs'"


def test_the_page_names_the_trailers_and_limits_of_the_code() -> None:
    for fact in (DOMAIN, DETAILS_KEY, PUSHBACK_KEY, REQUEST_ID_KEY, DO_NOT_RETRY):
        assert f"`{fact}`" in PAGE
    assert f"at most {MAX_VIOLATIONS} violations" in PAGE
    assert f"at most {MAX_TRAILER_BYTES // 1024} KiB" in PAGE


def test_every_metadata_key_is_described() -> None:
    described = set(re.findall(r"`(\w+)`", "".join(cells("key"))))

    assert described == set(metadata_keys())


def test_the_python_client_raises_the_error_that_the_page_shows() -> None:
    with started_gateway(settings_with()) as gateway:
        output = run_python(code_blocks("errors.md", "python")[0], gateway)

    assert "PROVIDER_RATE_LIMITED The mock provider failed with PROVIDER_RATE_LIMITED, as scripted." in output
    assert "\n200.0 mock " in output
    assert "\n['PROVIDER_RATE_LIMITED'] " in output


async def test_every_detail_is_sent_with_the_errors_that_the_page_names() -> None:
    attempts = [ended_record("claude", "m", "PROVIDER_RATE_LIMITED", 0.25, Usage(3, 2))]
    violations = (FieldViolation("model", "must exist"),)
    expected = {
        errors.RateLimited("Slow.", retry_after=1.5): {"RetryInfo", "QuotaFailure"},
        errors.MissingCredentials("No key."): {"PreconditionFailure"},
        errors.InvalidRequest("Wrong.", violations=violations): {"BadRequest"},
        errors.ProviderInternalError("Failed."): set[str](),
    }

    assert [cell.strip(" `") for cell in cells("detail")] == list(DETAILS)
    for error, own in expected.items():
        async with running(build_server(raising(error, attempts))) as gateway:
            failure = await failure_of(gateway.generation.Generate(REQUEST))
        sent = {name.rpartition(".")[2] for name, kind in DETAILS.items() if failure.detail(kind) is not None}
        assert sent == {"ErrorInfo", "LocalizedMessage", "Usage", "Execution"} | own


def cells(head: str) -> list[str]:
    """Return the second cell of each row of the table whose second column has this head."""
    [rows] = re.findall(rf"^\| in \| {head} \|.*\n\|[-| ]+\|\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    return [row.split("|")[2] for row in rows.splitlines()]


def metadata_keys() -> Iterator[str]:
    """Yield the keys of every metadata dictionary of an error in the source of the server."""
    for path in SERVER.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.keyword) and node.arg == "metadata":
                yield from string_keys(node.value)
            elif isinstance(node, ast.FunctionDef) and node.name in ("_metadata", "_similar_providers"):
                yield from string_keys(node)


def string_keys(root: ast.AST) -> Iterator[str]:
    for node in ast.walk(root):
        if isinstance(node, ast.Dict):
            yield from (key.value for key in node.keys if isinstance(key, ast.Constant) and isinstance(key.value, str))
