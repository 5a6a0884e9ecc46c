"""The protos keep the conventions of the API, and the committed stubs match them on the oldest supported runtime."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    MethodOptions,
)
from packaging.specifiers import SpecifierSet

from tests.support.paths import ROOT

STUBS = ROOT / "clients/python/aimanager/v1"
PROTOS = sorted((ROOT / "proto/aimanager/v1").glob("*.proto"))

LANGUAGE_OPTIONS = (
    "csharp_namespace",
    "go_package",
    "java_multiple_files",
    "java_package",
    "objc_class_prefix",
    "php_namespace",
    "ruby_package",
)
IDEMPOTENT = {"ListModels", "ListProviderHealth", "UpdateConversation", "PinTurn", "Embed"}
"""Reads that can send requests to providers, with `refresh` and `probe`, writes of the same value, and embeddings."""

ONE_PROVIDER_ABOVE = {"ModelQuality"}
"""Messages without a field `provider`, since the message that contains them has it."""

NAMES_A_MODEL = {"Conversation"}
"""Messages whose field `model` is a name as in requests: an alias or a route too."""


@pytest.fixture(scope="module")
def built() -> dict[str, FileDescriptorProto]:
    """Return the descriptors of proto/ with their comments, by the stem of the file."""
    buf = str(Path(sys.executable).with_name("buf"))
    command = [buf, "build", "proto", "--exclude-imports", "--as-file-descriptor-set", "-o", "-"]
    output = subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout
    return {Path(file.name).stem: file for file in FileDescriptorSet.FromString(output).file}


def plain(file: FileDescriptorProto) -> FileDescriptorProto:
    """Return a copy without comments, and without JSON names, which only one of the two compilers writes."""
    copy = FileDescriptorProto()
    copy.CopyFrom(file)
    copy.ClearField("source_code_info")
    for message in copy.message_type:
        for nested in (message, *message.nested_type):
            for field in nested.field:
                field.ClearField("json_name")
    return copy


def comments(file: FileDescriptorProto) -> dict[tuple[int, ...], str]:
    """Return the leading comments of a file by their path in the descriptor."""
    return {tuple(location.path): location.leading_comments.strip() for location in file.source_code_info.location}


@pytest.mark.parametrize("proto", PROTOS, ids=lambda path: path.stem)
def test_the_committed_stub_matches_its_proto(proto: Path, built: dict[str, FileDescriptorProto]) -> None:
    committed = FileDescriptorProto()

    import_module(f"aimanager.v1.{proto.stem}_pb2").DESCRIPTOR.CopyToProto(committed)

    assert plain(committed) == plain(built[proto.stem]), "run `make proto`"


def test_every_stub_has_its_proto(built: dict[str, FileDescriptorProto]) -> None:
    messages = {path.name for path in STUBS.glob("*_pb2.py*")}
    services = {path.name for path in STUBS.glob("*_pb2_grpc.py*")}

    assert messages == {f"{stem}_pb2{end}" for stem in built for end in (".py", ".pyi")}
    assert services == {f"{stem}_pb2_grpc{end}" for stem in built if built[stem].service for end in (".py", ".pyi")}


def test_stubs_load_on_the_oldest_supported_runtime() -> None:
    floor = ROOT / ".ci/requirements/floor.in"
    grpcio, protobuf = (version_in(floor, f"(?m)^{name}==(.+)") for name in ("grpcio", "protobuf"))

    for stub in STUBS.glob("*_pb2.py"):
        generated = version_in(stub, "Protobuf Python Version: (.+)")
        assert SpecifierSet(f"~={generated}").contains(protobuf)
    for stub in STUBS.glob("*_pb2_grpc.py"):
        assert version_in(stub, "GRPC_GENERATED_VERSION = '(.+)'") == grpcio


def version_in(file: Path, pattern: str) -> str:
    """Return the version that a file states."""
    match = re.search(pattern, file.read_text())
    assert match, f"{file.name} does not contain {pattern!r}"
    return match[1]


def test_reads_say_that_they_change_nothing(built: dict[str, FileDescriptorProto]) -> None:
    methods = [method for file in built.values() for service in file.service for method in service.method]

    levels = {method.name: method.options.idempotency_level for method in methods}

    assert levels == {name: expected_idempotency_level(name) for name in levels}


def expected_idempotency_level(method: str) -> MethodOptions.IdempotencyLevel.ValueType:
    if method in IDEMPOTENT:
        return MethodOptions.IDEMPOTENT
    if re.match(r"Get|List|Watch|Suggest|Assess|Count", method):
        return MethodOptions.NO_SIDE_EFFECTS
    return MethodOptions.IDEMPOTENCY_UNKNOWN


def test_the_zero_value_of_every_enum_is_unspecified(built: dict[str, FileDescriptorProto]) -> None:
    zero_values = [
        (enum.value[0].number, enum.value[0].name, comments(file).get((5, index, 2, 0), ""))
        for file in built.values()
        for index, enum in enumerate(file.enum_type)
    ]

    assert zero_values
    for number, name, comment in zero_values:
        assert number == 0, name
        assert name.endswith("_UNSPECIFIED")
        assert comment.startswith("Unspecified"), name


def test_no_enum_is_nested(built: dict[str, FileDescriptorProto]) -> None:
    nested = [message.name for file in built.values() for message in file.message_type if message.enum_type]

    assert nested == [], "the names of its values would depend on the language"


def test_every_file_has_the_same_language_options(built: dict[str, FileDescriptorProto]) -> None:
    expected = {option: getattr(built["generation"].options, option) for option in LANGUAGE_OPTIONS}

    assert all(expected.values())
    for stem, file in built.items():
        assert {option: getattr(file.options, option) for option in LANGUAGE_OPTIONS} == expected, stem


def test_responses_have_provider_and_model_in_two_fields(built: dict[str, FileDescriptorProto]) -> None:
    for file, path, message in messages_of_responses(built):
        fields = {field.name: field for field in message.field if field.type == FieldDescriptorProto.TYPE_STRING}
        if "model" not in fields or message.name in NAMES_A_MODEL:
            continue
        comment = comments(file)[(*path, 2, list(message.field).index(fields["model"]))]
        assert "without the provider" in " ".join(comment.split()), f"{message.name}.model"
        assert "provider" in fields or message.name in ONE_PROVIDER_ABOVE, message.name


def messages_of_responses(
    built: dict[str, FileDescriptorProto],
) -> Iterator[tuple[FileDescriptorProto, tuple[int, ...], DescriptorProto]]:
    """Yield the messages that responses consist of, each with its file and its path in the file's descriptor."""
    found = {
        f".{file.package}.{message.name}": (file, (4, index), message)
        for file in built.values()
        for index, message in enumerate(file.message_type)
    }
    outputs = [method.output_type for file in built.values() for service in file.service for method in service.method]
    pending, seen = outputs, set[str]()
    while pending:
        name = pending.pop()
        if name in seen or name not in found:
            continue
        seen.add(name)
        yield found[name]
        pending.extend(field.type_name for field in found[name][2].field)


def test_free_numbers_are_not_reserved(built: dict[str, FileDescriptorProto]) -> None:
    messages = [message for file in built.values() for message in file.message_type]

    reserved = [message.name for message in messages if message.reserved_range or message.reserved_name]

    assert not reserved, "leave the number free: the breaking check would pin a reserved one"
