"""Tests for abuses: what a server does about each, and that others go on."""

import dataclasses
import socket
import ssl

from absl.testing import absltest, parameterized

from tensorflow_serving.rpc import (
    abuses,
    call,
    echo_pb2,
    message_frame,
    raw_client,
    server,
)
from tensorflow_serving.rpc import options as options_lib
from tensorflow_serving.rpc.http2 import limits as limits_lib
from tensorflow_serving.test_util import certificates

_SERVICE = echo_pb2.DESCRIPTOR.services_by_name["EchoService"]
_ECHO = f"/{_SERVICE.full_name}/Echo"
_ABUSES = {each.name: each for each in abuses.all_abuses(_ECHO)}
# Small, so that a few chunks are too much; and no time makes it more.
_RATE = limits_lib.Rate(burst=300, per_second=1)
_LIMITS = limits_lib.Limits(
    max_concurrent_streams=50,
    resets=_RATE,
    settings=_RATE,
    pings=_RATE,
    other_frames=limits_lib.Rate(burst=1000, per_second=1),
    # Nothing here depends on how fast the machine is.
    handshake_seconds=1000,
    message_seconds=1000,
)
# How many chunks a flood has, unless the server ends it before.
_NUM_CHUNKS = 200

_CALM = "GOAWAY ENHANCE_YOUR_CALM"
# The end of each abuse. Floods of calls, however bad, are calls: they get
# answers as long as their client reads them.
_ENDS = (
    ("rapid_reset", _CALM),
    ("delayed_reset", _CALM),
    ("continuation_flood", _CALM),
    ("settings_flood", _CALM),
    ("ping_flood", _CALM),
    ("window_updates", _CALM),
    ("empty_data", _CALM),
    ("hpack_bomb", _CALM),
    ("malformed", _CALM),
    ("refused_streams", _CALM),
    ("churning_watches", _CALM),
    ("byte_by_byte_windows", _CALM),
    ("large_heads", "answer"),
    ("no_grpc", "answer"),
    ("unknown_method", "answer"),
    ("announced_4_gb", "answer"),
    # They are inflated, up to a limit, and answered a while later.
    ("gzip_bombs", "open"),
    ("dying_clients", "open"),
    ("slow_bytes", "open"),
    ("closed_windows", "open"),
    ("unfinished_messages", "open"),
    ("never_reads", "open"),
    ("churning_connections", "open"),
)


class AbusesTest(parameterized.TestCase):
    """A server, a client that abuses it, and another client."""

    def setUp(self) -> None:
        """Has no server yet."""
        super().setUp()
        self.begun: list[call.Call] = []

    def _begin(self, each: call.Call) -> None:
        self.begun.append(each)

    def _reply(self) -> None:
        begun, self.begun = self.begun, []
        for each in begun:
            each.reply(each.request)

    def _serve(self, options: options_lib.Options) -> int:
        service = call.Service(
            _SERVICE,
            async_methods={"Echo": self._begin},
            when_idle=self._reply,
        )
        serving: server.Server = self.enter_context(
            server.Server("127.0.0.1:0", [service], options)
        )
        serving.start()
        return serving.port

    def _play(self, name: str, port: int) -> dict[str, int]:
        """Plays a round; returns what the server did."""
        left = [_NUM_CHUNKS]

        def goes_on() -> bool:
            left[0] -= 1
            return left[0] > 0

        with abuses.Round(
            lambda: raw_client.RawClient.connect(port),
            begin=lambda: None,
            goes_on=goes_on,
            rest=lambda: None,
        ) as this_round:
            _ABUSES[name].play(this_round)
        return this_round.ends

    def _require_answer(self, client: raw_client.RawClient) -> None:
        client.send(raw_client.request(1, _ECHO, b"hello"))
        self.assertEqual(client.answer(1).data, message_frame.frame(b"hello"))

    @parameterized.named_parameters((name, name, end) for name, end in _ENDS)
    def test_abuse_ends_as_it_should(self, name: str, end: str) -> None:
        """A client that was there before is served afterwards."""
        port = self._serve(
            options_lib.Options(limits=_LIMITS, max_request_bytes=100_000)
        )
        with raw_client.RawClient.connect(port) as client:
            client.greet()
            self.assertIn(end, self._play(name, port))
            self._require_answer(client)

    def test_every_abuse_is_tested(self) -> None:
        """Those with tests of their own are not in the table."""
        self.assertEqual(
            set(_ABUSES),
            {name for name, _ in _ENDS} | {"idle_connections", "half_tls"},
        )

    def test_thousand_connections_without_calls_are_kept(self) -> None:
        """They cost others nothing."""
        port = self._serve(options_lib.Options())
        clients = []
        for _ in range(1_000):
            client = self.enter_context(raw_client.RawClient.connect(port))
            client.greet()
            clients.append(client)
        for client in (clients[0], clients[-1]):
            self._require_answer(client)

    def test_half_handshakes_hold_up_nobody(self) -> None:
        """Others shake hands and call meanwhile."""
        files = certificates.write(self.create_tempdir().full_path)
        tls = options_lib.TlsOptions(
            files.server.key_file, files.server.certificate_file
        )
        port = self._serve(options_lib.Options(tls=tls, limits=_LIMITS))
        halves = []
        for _ in range(200):
            half = self.enter_context(raw_client.RawClient.connect(port))
            half.send(abuses.CLIENT_HELLO_START)
            halves.append(half)
        context = ssl.create_default_context(cafile=files.ca_file)
        sock = socket.create_connection(("127.0.0.1", port), 60)
        with raw_client.RawClient(
            context.wrap_socket(sock, server_hostname="localhost")
        ) as client:
            client.greet()
            self._require_answer(client)

    def test_half_handshake_has_a_time_limit(self) -> None:
        """The connection is closed after that."""
        files = certificates.write(self.create_tempdir().full_path)
        port = self._serve(
            options_lib.Options(
                tls=options_lib.TlsOptions(
                    files.server.key_file, files.server.certificate_file
                ),
                limits=dataclasses.replace(_LIMITS, handshake_seconds=0.02),
            )
        )
        with raw_client.RawClient.connect(port) as half:
            half.send(abuses.CLIENT_HELLO_START)
            half.wait_for_end()
            self.assertTrue(half.is_over)


if __name__ == "__main__":
    absltest.main()
