"""The standard gRPC reflection service, by both of its names.

Protocol: https://github.com/grpc/grpc/blob/master/doc/server-reflection.md
"""

import collections
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

# How much may wait for a caller that asks and does not read, and what a request
# costs beside its bytes.
_MAX_WAITING_BYTES = 1 << 18
_REQUEST_BYTES = 100


class Reflection:
    """Describes the services of a server to clients. Thread-safe."""

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
        _Conversation(call, self._servicer).begin()


class _Conversation:
    """A call, and the requests that wait until its caller reads.

    For the thread of the calls only.
    """

    def __init__(self, call: call_lib.StreamCall, servicer: Any) -> None:
        self._call = call
        self._servicer = servicer
        self._waiting: collections.deque[bytes] = collections.deque()
        self._num_waiting_bytes = 0
        self._has_ended = False

    def begin(self) -> None:
        """Answers from now on."""
        self._call.on_request = self._take
        self._call.on_requests_end = self._end
        self._call.on_writable = self._answer_waiting
        self._call.on_drain = self._call.finish

    def _take(self, data: bytes) -> None:
        self._num_waiting_bytes += len(data) + _REQUEST_BYTES
        if self._num_waiting_bytes > _MAX_WAITING_BYTES:
            raise errors.ResourceExhaustedError(
                "Too many responses wait for the client; read them before the"
                " next request."
            )
        self._waiting.append(data)
        self._answer_waiting()

    def _end(self) -> None:
        self._has_ended = True
        self._answer_waiting()

    def _answer_waiting(self) -> None:
        while self._waiting and self._call.is_writable:
            data = self._waiting.popleft()
            self._num_waiting_bytes -= len(data) + _REQUEST_BYTES
            self._answer(data)
        if self._has_ended and not self._waiting:
            self._call.finish()

    def _answer(self, data: bytes) -> None:
        try:
            request = reflection_pb2.ServerReflectionRequest.FromString(data)
        except message.DecodeError:
            raise errors.InvalidArgumentError(
                f"request must be a ServerReflectionRequest; got {len(data)} "
                "bytes of something else"
            ) from None
        # The library answers each request on its own, and needs no context.
        for response in self._servicer.ServerReflectionInfo([request], None):
            self._call.send(response)


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
