"""Tests for server: the ends of calls that services do not see."""

import queue

from absl.testing import absltest, parameterized
from google.protobuf import message
from typing_extensions import override

from tensorflow_serving.rpc import (
    call,
    echo_pb2,
    echo_service,
    h2_client,
    observer,
)
from tensorflow_serving.rpc import server as server_lib
from tensorflow_serving.util import errors

_Code = errors.StatusCode
_HEADERS = (("traceparent", "t"),)


class _Observer(observer.Observer):
    """Keeps what it gets."""

    def __init__(self) -> None:
        self.refusals: queue.Queue[tuple[str, _Code]] = queue.Queue()
        self.answers: queue.Queue[tuple[str, bytes, _Code]] = queue.Queue()

    @override
    def call_refused(
        self, path: str, metadata: call.Metadata, error: errors.ServingError
    ) -> None:
        assert _HEADERS[0] in metadata
        self.refusals.put((path, error.code))

    @override
    def call_answered(
        self,
        path: str,
        call: call.Call,
        seconds: float,
        error: errors.ServingError | None,
    ) -> None:
        assert _HEADERS[0] in call.metadata
        assert seconds >= 0
        code = _Code.OK if error is None else error.code
        self.answers.put((path, call.request, code))


def _blocking(request: message.Message) -> message.Message:
    """Echoes, refuses, or fails, as the text of a request says."""
    assert isinstance(request, echo_pb2.EchoRequest)
    if request.text == echo_service.REFUSE:
        raise errors.NotFoundError(echo_service.REFUSAL)
    if not request.text:
        raise ValueError("a bug")
    return request


class ServerObserverTest(parameterized.TestCase):
    """A server with small limits, and somebody who observes it."""

    def _client(self, service: call.Service) -> h2_client.H2Client:
        self.observer = _Observer()
        server = self.enter_context(
            server_lib.Server(
                "127.0.0.1:0",
                [service],
                server_lib.Options(
                    max_request_bytes=1_000,
                    max_concurrent_calls=1,
                    observer=self.observer,
                ),
            )
        )
        server.start()
        client: h2_client.H2Client = self.enter_context(
            h2_client.H2Client(server.port)
        )
        return client

    def _code(
        self, client: h2_client.H2Client, data: bytes, path: str = ""
    ) -> _Code:
        stream_id = client.begin(path or echo_service.ECHO, _HEADERS)
        client.send(stream_id, data, ends=True)
        return _Code(client.response(stream_id).code)

    @parameterized.named_parameters(
        ("method", "/no.Such/Method", b"", _Code.UNIMPLEMENTED),
        ("size", echo_service.ECHO, bytes(1_001), _Code.RESOURCE_EXHAUSTED),
    )
    def test_call_that_gets_to_no_method_is_refused(
        self, path: str, request: bytes, code: _Code
    ) -> None:
        """The observer gets it once, with the code that the caller gets."""
        client = self._client(echo_service.EchoService().service())
        self.assertEqual(
            self._code(client, h2_client.message(request), path), code
        )
        self.assertEqual(self.observer.refusals.get(), (path, code))
        self.assertTrue(self.observer.refusals.empty())

    def test_call_without_a_message_is_refused(self) -> None:
        """A request that ends too early is no message either."""
        client = self._client(echo_service.EchoService().service())
        for data in (b"", b"\0\0\0\0\5abc"):
            self.assertEqual(self._code(client, data), _Code.UNIMPLEMENTED)
            self.assertEqual(
                self.observer.refusals.get(),
                (echo_service.ECHO, _Code.UNIMPLEMENTED),
            )

    def test_call_beyond_the_limit_is_refused(self) -> None:
        """The one that runs is the service's to report."""
        client = self._client(echo_service.EchoService().service())
        first = client.begin(echo_service.ECHO, _HEADERS)
        keep = h2_client.message(echo_service.message(echo_service.KEEP))
        client.send(first, keep, ends=True)
        self.assertEqual(self._code(client, keep), _Code.RESOURCE_EXHAUSTED)
        self.assertEqual(
            self.observer.refusals.get(),
            (echo_service.ECHO, _Code.RESOURCE_EXHAUSTED),
        )
        self.assertTrue(self.observer.refusals.empty())

    def test_calls_of_methods_that_answer_later_are_not_reported(self) -> None:
        """Neither those that succeed nor those that fail."""
        client = self._client(echo_service.EchoService().service())
        for text in ("hello", echo_service.REFUSE):
            self._code(client, h2_client.message(echo_service.message(text)))
        self.assertTrue(self.observer.refusals.empty())
        self.assertTrue(self.observer.answers.empty())

    @parameterized.parameters(
        (echo_service.message("hello"), _Code.OK),
        (echo_service.message(echo_service.REFUSE), _Code.NOT_FOUND),
        (b"\xff", _Code.INVALID_ARGUMENT),
        (b"", _Code.INTERNAL),
    )
    def test_call_of_a_method_that_blocks_is_reported(
        self, request: bytes, code: _Code
    ) -> None:
        """The observer gets its request and its end."""
        service = call.Service(
            echo_service.EchoService().service().descriptor,
            methods={"Echo": _blocking},
        )
        client = self._client(service)
        self.assertEqual(self._code(client, h2_client.message(request)), code)
        self.assertEqual(
            self.observer.answers.get(), (echo_service.ECHO, request, code)
        )


if __name__ == "__main__":
    absltest.main()
