"""The standard gRPC reflection service, by both of its names.

Protocol: https://github.com/grpc/grpc/blob/master/doc/server-reflection.md
"""

import functools
from collections.abc import Sequence
from typing import Any

from google.protobuf import descriptor, descriptor_pb2, descriptor_pool, message
from grpc_reflection.v1alpha import reflection, reflection_pb2

from tensorflow_serving.rpc import call as call_lib
from tensorflow_serving.util import errors

_METHOD = "ServerReflectionInfo"
_ALPHA_FILE: Any = reflection_pb2.DESCRIPTOR
_ALPHA = "grpc.reflection.v1alpha"
_V1 = "grpc.reflection.v1"


class Reflection:
    """Tells clients about the services of a server. Thread-safe."""

    def __init__(self, names: Sequence[str]) -> None:
        """Takes the full names of the services, without those of reflection."""
        pool = descriptor_pool.Default()
        self._descriptors = [
            _ALPHA_FILE.services_by_name["ServerReflection"],
            _v1_file(pool).services_by_name["ServerReflection"],
        ]
        # Any: the library has no types.
        self._servicer: Any = reflection.ReflectionServicer(
            [*names, *(each.full_name for each in self._descriptors)], pool=pool
        )

    def services(self) -> list[call_lib.Service]:
        """Returns the services for a server."""
        return [
            call_lib.Service(each, stream_methods={_METHOD: self._begin})
            for each in self._descriptors
        ]

    def _begin(self, call: call_lib.StreamCall) -> None:
        call.on_request = functools.partial(self._answer, call)
        call.on_requests_end = call.finish
        call.on_drain = call.finish

    def _answer(self, call: call_lib.StreamCall, data: bytes) -> None:
        if not call.is_writable:
            raise errors.ResourceExhaustedError(
                "responses must be read before more is asked for; got another "
                "request"
            )
        try:
            request = reflection_pb2.ServerReflectionRequest.FromString(data)
        except message.DecodeError:
            raise errors.InvalidArgumentError(
                f"request must be a ServerReflectionRequest; got {len(data)} "
                "bytes of something else"
            ) from None
        # The library answers each request on its own, and needs no context.
        for response in self._servicer.ServerReflectionInfo([request], None):
            call.send(response)


def _v1_file(pool: Any) -> descriptor.FileDescriptor:
    """Returns the file of version 1, which differs from v1alpha in its name."""
    name = "grpc/reflection/v1/reflection.proto"
    try:
        found = pool.FindFileByName(name)
    except KeyError:  # nobody has needed it yet
        file = descriptor_pb2.FileDescriptorProto()
        _ALPHA_FILE.CopyToProto(file)
        _rename(file)
        file.name = name
        pool.AddSerializedFile(file.SerializeToString())
        found = pool.FindFileByName(name)
    assert isinstance(found, descriptor.FileDescriptor)
    return found


def _rename(file: descriptor_pb2.FileDescriptorProto) -> None:
    """Moves a file, and what it refers to in itself, to another package."""
    file.package = _V1
    for kind in file.message_type:
        for field in kind.field:
            if field.type_name:  # of a message
                field.type_name = field.type_name.replace(_ALPHA, _V1)
    for service in file.service:
        for method in service.method:
            method.input_type = method.input_type.replace(_ALPHA, _V1)
            method.output_type = method.output_type.replace(_ALPHA, _V1)
