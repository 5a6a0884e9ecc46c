"""Server reflection: describes the services to tools such as grpcurl and ghz."""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter
from typing import Any

import grpc
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import Default, DescriptorPool
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.reflection import SERVICE_NAME as V1ALPHA_SERVICE
from grpc_reflection.v1alpha.reflection import aio

V1_PACKAGE = "grpc.reflection.v1"
V1_FILE = "grpc/reflection/v1/reflection.proto"
V1_SERVICE = f"{V1_PACKAGE}.ServerReflection"
METHOD = "ServerReflectionInfo"


class ReflectionService:
    """Implement both versions of grpc.reflection, whose messages are the same on the wire.

    grpcio-reflection offers v1alpha alone; newer tools ask for v1 first.
    """

    name = V1_SERVICE

    def __init__(self, services: Iterable[str]) -> None:
        self._servicer = aio.ReflectionServicer([*services, V1_SERVICE, V1ALPHA_SERVICE], pool=_Pool())

    def add_to(self, server: Any) -> None:
        """Register both versions with a server that has not started yet."""
        handler = grpc.stream_stream_rpc_method_handler(
            self._servicer.ServerReflectionInfo,
            request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
            response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
        )
        for service in (V1_SERVICE, V1ALPHA_SERVICE):
            server.add_registered_method_handlers(service, {METHOD: handler})


class _Pool:
    """The default descriptor pool, in which methods and the v1 reflection service are found as well."""

    def __init__(self) -> None:
        self._default = Default()
        self._v1 = DescriptorPool()
        self._v1.Add(_v1_file())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._default, name)

    def FindFileByName(self, name: str) -> Any:
        """Return a file. Raises KeyError if it does not exist."""
        return (self._v1 if name == V1_FILE else self._default).FindFileByName(name)

    def FindFileContainingSymbol(self, symbol: str) -> Any:
        """Return the file of a symbol. Raises KeyError if it does not exist."""
        pool = self._v1 if symbol.startswith(f"{V1_PACKAGE}.") else self._default
        try:
            return pool.FindFileContainingSymbol(symbol)
        except KeyError:
            # protobuf does not find a method, which is in the file of its service.
            service, _, method = symbol.rpartition(".")
            if method not in pool.FindServiceByName(service).methods_by_name:
                raise
            return pool.FindFileContainingSymbol(service)


def _v1_file() -> FileDescriptorProto:
    """Return the file of v1, which is that of v1alpha in another package."""
    file = FileDescriptorProto()
    reflection_pb2.DESCRIPTOR.CopyToProto(file)
    old, new = f".{file.package}.", f".{V1_PACKAGE}."
    for message in file.message_type:
        for field in filter(attrgetter("type_name"), message.field):
            field.type_name = field.type_name.replace(old, new)
    for method in file.service[0].method:
        method.input_type = method.input_type.replace(old, new)
        method.output_type = method.output_type.replace(old, new)
    file.name, file.package = V1_FILE, V1_PACKAGE
    return file
