"""Tests for reflection, without a server."""

from typing import Any

from absl.testing import absltest, parameterized
from google.protobuf import message
from grpc_reflection.v1alpha import reflection_pb2

from tensorflow_serving.rpc import call, echo_pb2, reflection
from tensorflow_serving.util import errors

_NAME = echo_pb2.DESCRIPTOR.services_by_name["EchoService"].full_name
# Any: the module of the messages has no types.
_Request: Any = reflection_pb2.ServerReflectionRequest
_Response: Any = reflection_pb2.ServerReflectionResponse


class _Call(call.StreamCall):
    """A call that keeps what it is sent."""

    is_active = True
    is_writable = True

    def __init__(self) -> None:
        super().__init__()
        self.responses: list[Any] = []
        self.is_finished = False

    def send(self, response: bytes | message.Message) -> None:
        self.responses.append(_Response.FromString(call.to_bytes(response)))

    def finish(self, trailing_metadata: call.Metadata = ()) -> None:
        self.is_finished = True

    def fail(
        self,
        error: errors.ServingError,
        trailing_metadata: call.Metadata = (),
    ) -> None:
        raise AssertionError(error)


class ReflectionTest(parameterized.TestCase):
    """Both names of the service."""

    def setUp(self) -> None:
        """Begins a call of each."""
        super().setUp()
        services = reflection.Reflection([_NAME]).services()
        self.names = [each.descriptor.full_name for each in services]
        self.calls = [_Call(), _Call()]
        for service, each in zip(services, self.calls, strict=True):
            service.stream_methods["ServerReflectionInfo"](each)

    def _ask(self, **request: str) -> list[Any]:
        """Returns the answers of both, to one request."""
        for each in self.calls:
            each.on_request(_Request(**request).SerializeToString())
        return [each.responses[-1] for each in self.calls]

    def test_both_names_are_served(self) -> None:
        """New tools ask for v1, old ones for v1alpha."""
        self.assertCountEqual(
            self.names,
            [
                "grpc.reflection.v1.ServerReflection",
                "grpc.reflection.v1alpha.ServerReflection",
            ],
        )

    def test_services_are_listed_with_those_of_reflection(self) -> None:
        """The answer is the same by both names."""
        for response in self._ask(list_services=""):
            self.assertCountEqual(
                [each.name for each in response.list_services_response.service],
                [_NAME, *self.names],
            )

    def test_file_of_a_service_is_found(self) -> None:
        """Tools learn the types of methods from it."""
        for response in self._ask(file_containing_symbol=_NAME):
            self.assertIn(
                echo_pb2.DESCRIPTOR.serialized_pb,
                response.file_descriptor_response.file_descriptor_proto,
            )

    def test_unknown_symbol_is_an_error_in_the_response(self) -> None:
        """The call goes on."""
        for response in self._ask(file_containing_symbol="no.Such"):
            self.assertEqual(
                response.error_response.error_code,
                errors.StatusCode.NOT_FOUND,
            )
        self._ask(list_services="")

    def test_garbage_is_an_invalid_argument(self) -> None:
        """A request for reflection that is garbage ends its call."""
        for each in self.calls:
            with self.assertRaisesRegex(
                errors.InvalidArgumentError, "got 2 bytes of something else"
            ):
                each.on_request(b"\xff\xff")

    def test_client_that_does_not_read_cannot_ask_for_more(self) -> None:
        """Its answers would fill the memory."""
        for each in self.calls:
            each.is_writable = False
            with self.assertRaisesRegex(
                errors.ResourceExhaustedError, "^Too many responses wait"
            ):
                each.on_request(bytes(1 << 18))

    @parameterized.parameters("on_requests_end", "on_drain")
    def test_call_ends_with_its_requests_or_with_the_server(
        self, callback: str
    ) -> None:
        """An idle tool does not keep a server that stops."""
        for each in self.calls:
            self.assertFalse(each.is_finished)
            getattr(each, callback)()
            self.assertTrue(each.is_finished)


if __name__ == "__main__":
    absltest.main()
