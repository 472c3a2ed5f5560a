"""Tests for server: what clients may send, frame by frame."""

import http.client
import math
import resource
import socket
import time
import zlib

from absl.testing import absltest, parameterized

from tensorflow_serving.rpc import (
    echo_service,
    grpcio_lane,
    h2_client,
    lane,
    wire_lane,
)
from tensorflow_serving.rpc import server as server_lib
from tensorflow_serving.util import errors

_Code = errors.StatusCode
_SECONDS = 60.0
_MAX_REQUEST_BYTES = 1_000_000
_HELLO = echo_service.message("hello")


def _compress(data: bytes, encoding: str) -> bytes:
    compressor = zlib.compressobj(
        wbits=zlib.MAX_WBITS + (16 if encoding == "gzip" else 0)
    )
    return compressor.compress(data) + compressor.flush()


class _ServerTestCase(parameterized.TestCase):
    """A server that echoes texts, and a client that sees frames."""

    lane_class: type[lane.Lane] = wire_lane.WireLane

    def setUp(self) -> None:
        """Starts the server and a client."""
        super().setUp()
        self.echo = echo_service.EchoService()
        self.server = self.enter_context(
            server_lib.Server(
                "127.0.0.1:0",
                [self.echo.service()],
                server_lib.Options(max_request_bytes=_MAX_REQUEST_BYTES),
                self.lane_class,
            )
        )
        self.server.start()
        self.client = self.enter_context(h2_client.H2Client(self.server.port))

    def _respond(
        self,
        data: bytes,
        headers: h2_client.Headers = (),
        path: str = echo_service.ECHO,
    ) -> h2_client.Response:
        """Sends the data of a whole request, and returns what comes back."""
        stream_id = self.client.begin(path, headers)
        self.client.send(stream_id, data, ends=True)
        response: h2_client.Response = self.client.response(stream_id)
        return response

    def _check_failure(
        self, response: h2_client.Response, code: _Code, text: str = ".*"
    ) -> None:
        self.assertEqual(response.headers[":status"], "200")
        self.assertEqual(response.messages, [])
        self.assertEqual(_Code(response.code), code)
        self.assertRegex(response.text, text)

    def _check_echo(self, response: h2_client.Response, data: bytes) -> None:
        self.assertEqual(response.messages, [data])
        self.assertEqual(response.code, _Code.OK)


class ServerProtocolTest(_ServerTestCase):
    """The rules of gRPC, which both lanes keep."""

    def test_response_has_the_fields_of_grpc(self) -> None:
        """A status of HTTP, a type, and the status of the call at the end."""
        response = self._respond(h2_client.message(_HELLO))
        self._check_echo(response, _HELLO)
        self.assertEqual(response.headers[":status"], "200")
        self.assertEqual(response.headers["content-type"], "application/grpc")
        self.assertNotIn("grpc-status", response.headers)

    def test_unknown_methods_are_unimplemented(self) -> None:
        """A method that only the proto has is unimplemented as well."""
        for path in (f"/{echo_service.NAME}/Unserved", "/no.Service/No", "/"):
            response = self._respond(h2_client.message(_HELLO), path=path)
            self._check_failure(response, _Code.UNIMPLEMENTED)

    def test_request_may_come_byte_by_byte(self) -> None:
        """Frames of HTTP/2 need not be those of messages."""
        stream_id = self.client.begin(echo_service.ECHO)
        for byte in h2_client.message(_HELLO):
            self.client.send(stream_id, bytes([byte]))
        self.client.send(stream_id, b"", ends=True)
        self._check_echo(self.client.response(stream_id), _HELLO)

    def test_empty_message_is_a_message(self) -> None:
        """Its prefix is all there is."""
        self._check_echo(self._respond(h2_client.message(b"")), b"")

    @parameterized.parameters("gzip", "deflate")
    def test_compressed_request_is_inflated(self, encoding: str) -> None:
        """A method gets the message as it was."""
        large = echo_service.message("large" * 100_000)
        response = self._respond(
            h2_client.message(_compress(large, encoding), is_compressed=True),
            [("grpc-encoding", encoding)],
        )
        self._check_echo(response, large)

    @parameterized.parameters("gzip", "deflate")
    def test_requests_of_a_stream_may_be_compressed(
        self, encoding: str
    ) -> None:
        """Some requests are compressed, and all keep their order."""
        requests = [b"%d" % number * 100 for number in range(10)]
        data = b"".join(
            h2_client.message(_compress(request, encoding), is_compressed=True)
            if number % 3
            else h2_client.message(request)
            for number, request in enumerate(requests)
        )
        response = self._respond(
            data, [("grpc-encoding", encoding)], echo_service.CHAT
        )
        self.assertEqual(response.messages, requests)
        self.assertEqual(response.code, _Code.OK)

    @parameterized.parameters("identity", "gzip", "deflate")
    def test_request_need_not_be_compressed(self, encoding: str) -> None:
        """The encoding is for the messages that are flagged."""
        response = self._respond(
            h2_client.message(_HELLO), [("grpc-encoding", encoding)]
        )
        self._check_echo(response, _HELLO)

    @parameterized.parameters("gzip", "deflate")
    def test_broken_compression_is_an_error(self, encoding: str) -> None:
        """Other data and a part of the data are both refused."""
        for data in (b"something else", _compress(_HELLO, encoding)[:-6]):
            response = self._respond(
                h2_client.message(data, is_compressed=True),
                [("grpc-encoding", encoding)],
            )
            self._check_failure(response, _Code.INTERNAL)
        self._check_echo(self._respond(h2_client.message(_HELLO)), _HELLO)

    def test_flag_without_an_encoding_is_an_error(self) -> None:
        """A compressed message needs the name of its compression."""
        response = self._respond(
            h2_client.message(_compress(_HELLO, "gzip"), is_compressed=True)
        )
        self._check_failure(response, _Code.INTERNAL)

    @parameterized.parameters("gzip", "deflate")
    def test_compressed_bomb_is_not_inflated(self, encoding: str) -> None:
        """A request that becomes too large is refused, at a small cost."""
        wbits = zlib.MAX_WBITS + (16 if encoding == "gzip" else 0)
        compressor = zlib.compressobj(1, wbits=wbits)
        bomb = b"".join(compressor.compress(bytes(1 << 20)) for _ in range(300))
        bomb += compressor.flush()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for path in (echo_service.ECHO, echo_service.CHAT):
            response = self._respond(
                h2_client.message(bomb, is_compressed=True),
                [("grpc-encoding", encoding)],
                path,
            )
            self._check_failure(response, _Code.RESOURCE_EXHAUSTED)
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        self.assertLess(after - before, 100 << 10)  # KiB, of 300 MiB

    def test_request_may_be_as_large_as_the_limit(self) -> None:
        """One byte more is refused."""
        # Tag and length take four bytes.
        largest = echo_service.message("x" * (_MAX_REQUEST_BYTES - 4))
        self.assertEqual(len(largest), _MAX_REQUEST_BYTES)
        self._check_echo(self._respond(h2_client.message(largest)), largest)
        for path in (echo_service.ECHO, echo_service.CHAT):
            response = self._respond(
                h2_client.message(largest + b"x"), path=path
            )
            self._check_failure(response, _Code.RESOURCE_EXHAUSTED)

    def test_deadline_is_kept_by_the_server(self) -> None:
        """A client that only waits gets an answer, and the service learns."""
        stream_id = self.client.call(
            echo_service.ECHO,
            echo_service.message(echo_service.KEEP),
            [("grpc-timeout", "500m")],
        )
        response = self.client.response(stream_id)
        self.assertEqual(response.code, _Code.DEADLINE_EXCEEDED)
        self.assertTrue(self.echo.left.acquire(timeout=_SECONDS))
        self.assertFalse(self.echo.kept.get().is_active)

    @parameterized.parameters(
        ("2H", 7200.0),
        ("3M", 180.0),
        ("50S", 50.0),
        ("50000m", 50.0),
        ("50000000u", 50.0),
        ("99999999n", 0.1),
        ("99999999H", math.inf),
    )
    def test_deadline_has_units(self, text: str, seconds: float) -> None:
        """Deadlines may have any unit of gRPC; distant ones are infinite."""
        before = time.monotonic()
        self.client.call(
            echo_service.ECHO,
            echo_service.message(echo_service.KEEP),
            [("grpc-timeout", text)],
        )
        deadline = self.echo.kept.get(timeout=_SECONDS).deadline
        if math.isfinite(seconds):
            self.assertGreater(deadline, before + seconds - 1)
            self.assertLessEqual(deadline, time.monotonic() + seconds)
        else:
            self.assertGreater(deadline, before + 1e9)

    def test_caller_may_take_a_call_back(self) -> None:
        """The service learns it, and the connection goes on."""
        stream_id = self.client.call(
            echo_service.ECHO, echo_service.message(echo_service.KEEP)
        )
        call = self.echo.kept.get(timeout=_SECONDS)
        self.client.reset(stream_id)
        self.assertTrue(self.echo.left.acquire(timeout=_SECONDS))
        self.assertFalse(call.is_active)
        self._check_echo(self._respond(h2_client.message(_HELLO)), _HELLO)

    def test_caller_may_vanish(self) -> None:
        """The services of all of its calls learn it."""
        for _ in range(3):
            self.client.call(
                echo_service.ECHO, echo_service.message(echo_service.KEEP)
            )
            self.echo.kept.get(timeout=_SECONDS)
        self.client.close()
        for _ in range(3):
            self.assertTrue(self.echo.left.acquire(timeout=_SECONDS))


class GrpcioLaneServerProtocolTest(ServerProtocolTest):
    """The same, with the server of grpcio."""

    lane_class = grpcio_lane.GrpcioLane


class WireLaneServerProtocolTest(_ServerTestCase):
    """How the wire lane answers those who break rules."""

    @parameterized.parameters(
        "application/grpc", "application/grpc+proto", "application/grpc;a=b"
    )
    def test_type_of_grpc_is_served(self, content_type: str) -> None:
        """The type of the messages may be named."""
        stream_id = self.client.begin(
            echo_service.ECHO, content_type=content_type
        )
        self.client.send(stream_id, h2_client.message(_HELLO), ends=True)
        self._check_echo(self.client.response(stream_id), _HELLO)

    @parameterized.parameters(
        "application/grpcx", "application/grpc-web", "application/json", "", "x"
    )
    def test_other_types_are_unsupported(self, content_type: str) -> None:
        """Status 415 tells a client of HTTP that this is not for it."""
        stream_id = self.client.begin(
            echo_service.ECHO, content_type=content_type
        )
        response = self.client.response(stream_id)
        self.assertEqual(response.headers[":status"], "415")

    @parameterized.parameters("GET", "HEAD", "PUT", "DELETE", "OPTIONS")
    def test_other_methods_are_not_allowed(self, method: str) -> None:
        """Status 405 tells a browser that this is not for it."""
        stream_id = self.client.begin(
            echo_service.ECHO, method=method, ends=True
        )
        response = self.client.response(stream_id)
        self.assertEqual(response.headers[":status"], "405")

    @parameterized.parameters(
        "", "1", "m", "-1m", "1.5S", "123456789m", "1s", "1 S", "1mm", "0x1S"
    )
    def test_deadline_that_is_none_is_refused(self, text: str) -> None:
        """A call without the deadline that its caller wants would be wrong."""
        response = self._respond(
            h2_client.message(_HELLO), [("grpc-timeout", text)]
        )
        self._check_failure(
            response, _Code.INVALID_ARGUMENT, "^grpc-timeout must be .* got"
        )

    def test_binary_metadata_may_be_joined(self) -> None:
        """Values of a key may be in one field, with padding or without."""
        self.client.call(
            echo_service.ECHO,
            echo_service.message(echo_service.KEEP),
            [("a-bin", "YQ==,YWI,YWJj"), ("a-bin", "")],
        )
        call = self.echo.kept.get(timeout=_SECONDS)
        values = [value for key, value in call.metadata if key == "a-bin"]
        self.assertEqual(values, [b"a", b"ab", b"abc", b""])

    def test_metadata_that_are_no_base64_are_refused(self) -> None:
        """The error names the key."""
        for value in ("*", "Y", "YQ==*"):
            response = self._respond(
                h2_client.message(_HELLO), [("a-bin", value)]
            )
            self._check_failure(
                response, _Code.INVALID_ARGUMENT, "^metadata a-bin must be"
            )

    def test_too_large_metadata_are_refused(self) -> None:
        """The connection goes on."""
        response = self._respond(
            h2_client.message(_HELLO), [("token", "x" * 20_000)]
        )
        self._check_failure(
            response, _Code.RESOURCE_EXHAUSTED, "^metadata must be smaller"
        )
        self._check_echo(self._respond(h2_client.message(_HELLO)), _HELLO)

    def test_unknown_encoding_is_unimplemented(self) -> None:
        """The client may try again with another one."""
        response = self._respond(
            h2_client.message(_HELLO, is_compressed=True),
            [("grpc-encoding", "snappy")],
        )
        self._check_failure(response, _Code.UNIMPLEMENTED)

    @parameterized.named_parameters(
        ("none", b""),
        ("half_a_prefix", b"\0\0"),
        ("half_a_message", h2_client.message(_HELLO)[:-1]),
        ("one_byte_more", h2_client.message(_HELLO) + b"\0"),
        ("two_messages", h2_client.message(_HELLO) * 2),
    )
    def test_call_has_one_request(self, data: bytes) -> None:
        """A call has exactly one request."""
        self._check_failure(
            self._respond(data),
            _Code.UNIMPLEMENTED,
            "^request must be exactly one whole message",
        )

    def test_half_a_message_ends_a_stream_of_requests(self) -> None:
        """The messages before it have been handled."""
        data = h2_client.message(b"a") + h2_client.message(b"bcd")[:-1]
        response = self._respond(data, path=echo_service.CHAT)
        self.assertEqual(response.messages, [b"a"])
        self.assertEqual(response.code, _Code.UNIMPLEMENTED)

    def test_unknown_flag_of_a_message_is_an_error(self) -> None:
        """There are two kinds of messages only."""
        for path in (echo_service.ECHO, echo_service.CHAT):
            response = self._respond(b"\2\0\0\0\1x", path=path)
            self._check_failure(response, _Code.INTERNAL, "must be 0 or 1")

    def test_too_large_request_is_refused_before_it_comes(self) -> None:
        """Its first bytes say how large it is."""
        for path in (echo_service.ECHO, echo_service.CHAT):
            stream_id = self.client.begin(path)
            size = (_MAX_REQUEST_BYTES + 1).to_bytes(4, "big")
            self.client.send(stream_id, b"\0" + size)
            self._check_failure(
                self.client.response(stream_id),
                _Code.RESOURCE_EXHAUSTED,
                f"^request must be at most {_MAX_REQUEST_BYTES} bytes",
            )

    def test_text_of_an_error_may_name_any_path(self) -> None:
        """It is escaped, and cut."""
        path = "/no.Service/%" + "x" * 5000
        response = self._respond(h2_client.message(b""), path=path)
        self._check_failure(
            response, _Code.UNIMPLEMENTED, "got /no.Service/%25xxx"
        )
        self.assertLess(len(response.text), 1100)

    @parameterized.parameters("GET", "POST", "PUT", "HEAD", "OPTIONS")
    def test_client_of_http_1_learns_its_fault(self, method: str) -> None:
        """It gets an answer in its own language, and is disconnected."""
        client = http.client.HTTPConnection(
            "127.0.0.1", self.server.port, timeout=_SECONDS
        )
        self.addCleanup(client.close)
        client.request(method, "/v1/models/mnist:predict")
        response = client.getresponse()
        self.assertEqual(response.status, 400)
        text = response.read()
        if method != "HEAD":
            self.assertRegex(text, b"^This port must be called with gRPC.*\n$")
        self.assertTrue(response.will_close)

    @parameterized.parameters(
        b"hello\r\n\r\n", b"\x16\x03\x01\x02\0\x01", b"\0" * 100, b"PRI * HTTP"
    )
    def test_client_of_another_protocol_is_disconnected(
        self, data: bytes
    ) -> None:
        """The first bytes that are not HTTP/2 end the connection."""
        with socket.create_connection(
            ("127.0.0.1", self.server.port), _SECONDS
        ) as client:
            client.sendall(data + bytes(24))
            with client.makefile("rb") as file:
                self.assertNotIn(b"HTTP/1", file.read())


if __name__ == "__main__":
    absltest.main()
