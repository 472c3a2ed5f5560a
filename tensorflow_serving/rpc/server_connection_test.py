"""Tests for server: the life of its connections in the wire lane."""

import socket
import threading
import time

from absl.testing import absltest, parameterized

from tensorflow_serving.rpc import echo_service, h2_client
from tensorflow_serving.rpc import options as options_lib
from tensorflow_serving.rpc import server as server_lib
from tensorflow_serving.rpc.http2 import limits as limits_lib
from tensorflow_serving.test_util import certificates, fake_clock
from tensorflow_serving.util import errors

_SECONDS = 60.0
_HELLO = echo_service.message("hello")
_KEEP = echo_service.message(echo_service.KEEP)
_DEFAULTS = limits_lib.Limits()
_WATCH = "/grpc.health.v1.Health/Watch"
# The last stream of a first GOAWAY: any stream will be answered.
_ANY_STREAM = 2**31 - 1


class ServerConnectionTest(parameterized.TestCase):
    """An echo service, and clients that see frames."""

    def _start(
        self, limits: limits_lib.Limits = _DEFAULTS, *, uses_tls: bool = False
    ) -> None:
        self.files = certificates.write(self.create_tempdir().full_path)
        tls = options_lib.TlsOptions(
            self.files.server.key_file, self.files.server.certificate_file
        )
        self.clock = fake_clock.FakeClock()
        self.echo = echo_service.EchoService()
        self.server = self.enter_context(
            server_lib.Server(
                "127.0.0.1:0",
                [self.echo.service()],
                server_lib.Options(
                    limits=limits, tls=tls if uses_tls else None
                ),
                clock=self.clock,
            )
        )
        self.server.start()

    def _connect(self, *, is_silent: bool = False) -> h2_client.H2Client:
        client: h2_client.H2Client = self.enter_context(
            h2_client.H2Client(self.server.port, is_silent=is_silent)
        )
        return client

    def _connect_socket(self) -> socket.socket:
        """Returns a connection on which nothing was sent."""
        client: socket.socket = self.enter_context(
            socket.create_connection(("127.0.0.1", self.server.port), _SECONDS)
        )
        return client

    def _keep(self, client: h2_client.H2Client) -> int:
        """Begins a call that waits for _reply(); returns its stream."""
        stream_id: int = client.call(echo_service.ECHO, _KEEP)
        self.call = self.echo.kept.get(timeout=_SECONDS)
        return stream_id

    def _reply(self, client: h2_client.H2Client, stream_id: int) -> None:
        """Replies to the call, and checks that the reply arrives."""
        self.call.reply(b"kept")
        self.assertEqual(client.response(stream_id).messages, [b"kept"])

    def _check_echo(self, client: h2_client.H2Client) -> None:
        response = client.response(client.call(echo_service.ECHO, _HELLO))
        self.assertEqual(response.messages, [_HELLO])
        self.assertEqual(response.code, 0)

    def _begin_to_stop(self, drain_delay_seconds: float = 0.0) -> None:
        stopper = threading.Thread(
            target=self.server.stop,
            args=(_SECONDS,),
            kwargs={"drain_delay_seconds": drain_delay_seconds},
        )
        stopper.start()
        self.addCleanup(stopper.join)

    def _check_stop(self) -> None:
        """Checks that a stop has nothing to wait for."""
        start = time.monotonic()
        self.assertTrue(self.server.stop(_SECONDS))
        self.assertLess(time.monotonic() - start, _DEFAULTS.handshake_seconds)

    # The end by the server.

    def test_client_is_sent_away_in_two_steps(self) -> None:
        """Calls that it makes before the second step are still answered."""
        self._start()
        client = self._connect()
        kept_id = self._keep(client)
        client.is_silent = True
        self._begin_to_stop()
        client.receive_until(lambda: bool(client.goaways))
        self.assertEqual(
            client.goaways, [h2_client.GoAway(_ANY_STREAM, 0, b"")]
        )
        self._check_echo(client)
        late_id = client.call(echo_service.ECHO, _HELLO)
        client.response(late_id)
        client.speak()
        client.receive_until(lambda: len(client.goaways) == 2)
        self.assertEqual(client.goaways[1], h2_client.GoAway(late_id, 0, b""))
        ignored_id = client.call(echo_service.ECHO, _HELLO)
        self._reply(client, kept_id)
        self.assertFalse(client.response(ignored_id).is_over)
        self.assertTrue(client.is_closed)
        self.assertEqual(self.echo.num_echoes, 2)

    def test_client_that_does_not_answer_is_sent_away_too(self) -> None:
        """The second step comes after a second."""
        self._start()
        client = self._connect(is_silent=True)
        kept_id = self._keep(client)
        self._begin_to_stop()
        client.receive_until(lambda: len(client.goaways) == 2)
        self.assertEqual(
            client.goaways,
            [
                h2_client.GoAway(_ANY_STREAM, 0, b""),
                h2_client.GoAway(kept_id, 0, b""),
            ],
        )
        self._reply(client, kept_id)
        client.receive_to_the_end()

    def test_client_without_calls_is_disconnected_by_a_stop(self) -> None:
        """It learns that none of its streams was left."""
        self._start()
        client = self._connect()
        self._check_echo(client)
        self._begin_to_stop()
        client.receive_to_the_end()
        self.assertEqual(
            [goaway.last_stream_id for goaway in client.goaways],
            [_ANY_STREAM, 1],
        )

    def test_server_serves_until_its_drain_delay_is_over(self) -> None:
        """New clients are served during the delay, and none after it."""
        self._start()
        client = self._connect()
        self._begin_to_stop(drain_delay_seconds=5.0)
        self.clock.settle(threads=1)
        self._check_echo(client)
        self._check_echo(self._connect())
        self.assertEqual(client.goaways, [])
        self.clock.advance_micros(5_000_000)
        client.receive_to_the_end()
        with self.assertRaises(ConnectionError):
            self._connect_socket()

    def test_connections_without_a_word_do_not_hold_up_a_stop(self) -> None:
        """A port scanner has no call that could be lost."""
        self._start()
        for _ in range(3):
            self._connect_socket()
        self._connect_socket().sendall(b"PRI * HTTP/2.0")
        self._check_stop()

    def test_unfinished_handshakes_do_not_hold_up_a_stop(self) -> None:
        """A client that does not go on with TLS has no call either."""
        self._start(uses_tls=True)
        for _ in range(3):
            self._connect_socket()
        # The first bytes of a ClientHello.
        self._connect_socket().sendall(b"\x16\x03\x01\x02\0\x01\0")
        self._check_stop()

    def test_idle_streams_do_not_hold_up_a_stop(self) -> None:
        """The server ends a watch, even one whose request has not come."""
        self._start()
        client = self._connect()
        client.messages(client.call(_WATCH), 1)
        silent_id = client.begin(_WATCH)
        client.ping()
        self._begin_to_stop()
        self.assertEqual(client.response(silent_id).code, 0)
        client.receive_to_the_end()

    @parameterized.named_parameters(("window", 1), ("socket", 1 << 30))
    def test_answer_that_is_not_read_is_not_finished(
        self, window_bytes: int
    ) -> None:
        """A stop that has to cut it off says so."""
        self._start()
        client = self.enter_context(
            h2_client.H2Client(self.server.port, window_bytes=window_bytes)
        )
        self._keep(client)
        self.call.reply(bytes(32 << 20))
        self._check_echo(self._connect())  # the reply is on its way
        self.assertFalse(self.server.stop(0.1))

    def test_end_of_an_encrypted_connection_is_said(self) -> None:
        """A client can tell it from a connection that was cut."""
        self._start(uses_tls=True)
        client = self.enter_context(
            h2_client.H2Client(
                self.server.port, tls=self.files.client_context()
            )
        )
        self._check_echo(client)
        self._begin_to_stop()
        client.receive_to_the_end()

    # Time.

    def test_silent_client_is_disconnected(self) -> None:
        """One that does not answer a PING is lost, and so are its calls."""
        self._start(
            limits_lib.Limits(
                keep_alive_seconds=0.2, keep_alive_timeout_seconds=0.2
            )
        )
        client = self._connect(is_silent=True)
        self._keep(client)
        client.receive_to_the_end()
        self.assertEqual(len(client.pings), 1)
        self.assertTrue(self.echo.left.acquire(timeout=_SECONDS))
        self.assertFalse(self.call.is_active)

    def test_client_that_answers_is_kept(self) -> None:
        """It is asked again and again."""
        self._start(limits_lib.Limits(keep_alive_seconds=0.05))
        client = self._connect()
        client.receive_until(lambda: len(client.pings) >= 4)
        self._check_echo(client)
        self.assertEqual(client.goaways, [])

    def test_handshake_has_a_time_limit(self) -> None:
        """A client that says nothing, or half of the preface, must go."""
        self._start(limits_lib.Limits(handshake_seconds=0.2))
        established = self._connect()
        self._check_echo(established)
        for data in (b"", b"PRI * HTTP/2.0\r\n"):
            client = self._connect_socket()
            client.sendall(data)
            with client.makefile("rb") as file:
                file.read()
        self._check_echo(established)

    def test_handshake_of_tls_has_a_time_limit(self) -> None:
        """A client that says nothing must go."""
        self._start(limits_lib.Limits(handshake_seconds=0.2), uses_tls=True)
        self.assertEqual(self._connect_socket().recv(1), b"")

    def test_idle_client_is_sent_away(self) -> None:
        """Its next call comes on another connection."""
        self._start(limits_lib.Limits(max_idle_seconds=0.2))
        client = self._connect()
        self._check_echo(client)
        client.receive_to_the_end()
        self.assertEqual(
            client.goaways,
            [
                h2_client.GoAway(_ANY_STREAM, 0, b""),
                h2_client.GoAway(1, 0, b""),
            ],
        )
        self._check_echo(self._connect())

    def test_client_with_a_call_is_not_idle(self) -> None:
        """It has all of its idle time after its last call."""
        max_idle_seconds = 0.3
        self._start(limits_lib.Limits(max_idle_seconds=max_idle_seconds))
        client = self._connect()
        stream_id = self._keep(client)
        # These are idle for as long as the call waits.
        for _ in range(2):
            self._connect().receive_to_the_end()
        self.assertEqual(client.goaways, [])
        end = time.monotonic()
        self._reply(client, stream_id)
        client.receive_until(lambda: bool(client.goaways))
        self.assertGreaterEqual(time.monotonic() - end, max_idle_seconds)

    def test_old_client_is_sent_away_without_loss(self) -> None:
        """Its calls are finished."""
        self._start(limits_lib.Limits(max_age_seconds=0.2))
        client = self._connect()
        stream_id = self._keep(client)
        client.receive_until(lambda: len(client.goaways) == 2)
        self.assertFalse(client.is_closed)
        self._reply(client, stream_id)
        client.receive_to_the_end()

    def test_request_must_arrive_in_time(self) -> None:
        """Half of one is refused; a call with many may wait for the next."""
        self._start(limits_lib.Limits(message_seconds=0.2))
        client = self._connect()
        chat_id = client.begin(echo_service.CHAT)
        stream_id = client.begin(echo_service.ECHO)
        client.send(stream_id, h2_client.message(_HELLO)[:-1])
        response = client.response(stream_id)
        self.assertEqual(response.code, errors.StatusCode.DEADLINE_EXCEEDED)
        self.assertRegex(
            response.text, "^The request did not arrive within 0.2 s"
        )
        client.send(chat_id, h2_client.message(_HELLO), ends=True)
        self.assertEqual(client.response(chat_id).messages, [_HELLO])


if __name__ == "__main__":
    absltest.main()
