"""The committed stubs are those of the protos, made for the oldest runtime that is promised."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet, MethodOptions

from tests.support.paths import ROOT

STUBS = ROOT / "clients/python/aimanager/v1"
PROTOS = sorted((ROOT / "proto/aimanager/v1").glob("*.proto"))


@pytest.fixture(scope="module")
def built() -> dict[str, FileDescriptorProto]:
    """What proto/ says now, by the stem of the file."""
    buf = str(Path(sys.executable).with_name("buf"))
    command = [
        buf,
        "build",
        "proto",
        "--exclude-imports",
        "--exclude-source-info",
        "--as-file-descriptor-set",
        "-o",
        "-",
    ]
    output = subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout
    return {Path(file.name).stem: plain(file) for file in FileDescriptorSet.FromString(output).file}


def plain(file: FileDescriptorProto) -> FileDescriptorProto:
    """Without the JSON names that one compiler writes out and the other leaves to be derived."""
    for message in file.message_type:
        for nested in (message, *message.nested_type):
            for field in nested.field:
                field.ClearField("json_name")
    return file


@pytest.mark.parametrize("proto", PROTOS, ids=lambda path: path.stem)
def test_the_committed_stub_is_that_of_the_proto(proto: Path, built: dict[str, FileDescriptorProto]) -> None:
    committed = FileDescriptorProto()

    import_module(f"aimanager.v1.{proto.stem}_pb2").DESCRIPTOR.CopyToProto(committed)

    assert plain(committed) == built[proto.stem], "run `make proto`"


def test_every_stub_has_its_proto(built: dict[str, FileDescriptorProto]) -> None:
    messages = {path.name for path in STUBS.glob("*_pb2.py*")}
    services = {path.name for path in STUBS.glob("*_pb2_grpc.py*")}

    assert messages == {f"{stem}_pb2{end}" for stem in built for end in (".py", ".pyi")}
    assert services == {f"{stem}_pb2_grpc{end}" for stem in built if built[stem].service for end in (".py", ".pyi")}


def test_stubs_ask_for_no_newer_runtime_than_is_promised() -> None:
    promised = (ROOT / ".ci/floor.txt").read_text()

    for stub in STUBS.glob("*_pb2.py"):
        version = written(stub, "Protobuf Python Version: (.+)")
        assert f"protobuf=={version}\n" in promised
    for stub in STUBS.glob("*_pb2_grpc.py"):
        version = written(stub, "GRPC_GENERATED_VERSION = '(.+)'")
        assert f"grpcio=={version}\n" in promised


def written(stub: Path, pattern: str) -> str:
    """What the stub says about itself."""
    match = re.search(pattern, stub.read_text())
    assert match, f"{stub.name} does not say {pattern!r}"
    return match[1]


def test_reads_say_that_they_change_nothing(built: dict[str, FileDescriptorProto]) -> None:
    methods = [method for file in built.values() for service in file.service for method in service.method]

    for method in methods:
        reads = re.match(r"Get|List|Watch|Suggest|Assess|Count|Embed", method.name) is not None
        marked = method.options.idempotency_level == MethodOptions.NO_SIDE_EFFECTS
        assert reads == marked, method.name


def test_free_numbers_are_not_reserved(built: dict[str, FileDescriptorProto]) -> None:
    messages = [message for file in built.values() for message in file.message_type]

    reserved = [message.name for message in messages if message.reserved_range or message.reserved_name]

    assert not reserved, "leave the number free: the breaking check would pin a reserved one"
