"""Tests for server with the gRPC clients of Python, with TLS and without."""

import threading
from collections.abc import Callable

from absl.testing import absltest, parameterized

from tensorflow_serving.rpc import echo_service, python_clients
from tensorflow_serving.rpc import options as options_lib
from tensorflow_serving.rpc import server as server_lib
from tensorflow_serving.test_util import certificates, fake_clock
from tensorflow_serving.util import errors

_Code = errors.StatusCode
_Kind = Callable[[python_clients.Target], python_clients.PythonClient]
_SECONDS = 60.0

_KINDS: dict[str, _Kind] = {
    "grpcio": python_clients.GrpcioClient,
    "aio": python_clients.AioClient,
    "grpclib": python_clients.GrpclibClient,
}
# Plaintext; a server with a certificate; both sides with one.
_SECURITIES = ("plain", "tls", "mutual_tls")

_each_client = parameterized.named_parameters(
    (f"{kind}_{security}", _KINDS[kind], security)
    for kind in _KINDS
    for security in _SECURITIES
)
_each_kind = parameterized.named_parameters(_KINDS.items())

# States of the health protocol.
_SERVING, _NOT_SERVING = 1, 2


class ServerClientsTest(parameterized.TestCase):
    """An echo service on the wire lane."""

    def _start(self, security: str) -> python_clients.Target:
        """Starts the server, and returns it as its clients see it."""
        self.echo = echo_service.EchoService()
        self.clock = fake_clock.FakeClock()
        self.files = certificates.write(self.create_tempdir().full_path)
        tls = None
        if security != "plain":
            tls = options_lib.TlsOptions(
                self.files.server.key_file,
                self.files.server.certificate_file,
                self.files.ca_file if security == "mutual_tls" else "",
            )
        self.server = self.enter_context(
            server_lib.Server(
                "localhost:0",
                [self.echo.service()],
                server_lib.Options(tls=tls),
                clock=self.clock,
            )
        )
        self.server.start()
        if security == "plain":
            return python_clients.Target(self.server.port)
        if security == "tls":
            return python_clients.Target(self.server.port, self.files.ca_file)
        return self._target(self.files.client)

    def _target(self, pair: certificates.KeyPair) -> python_clients.Target:
        """Returns the server, as it is for clients with a certificate."""
        return python_clients.Target(
            self.server.port,
            self.files.ca_file,
            pair.key_file,
            pair.certificate_file,
        )

    def _connect(
        self, kind: _Kind, security: str
    ) -> python_clients.PythonClient:
        client: python_clients.PythonClient = self.enter_context(
            kind(self._start(security))
        )
        return client

    def _check_failure(
        self, client: python_clients.PythonClient, text: str
    ) -> python_clients.CallError:
        with self.assertRaises(python_clients.CallError) as caught:
            client.echo(text, timeout_seconds=0.5)
        return caught.exception

    @_each_client
    def test_answers_and_errors_arrive(
        self, kind: _Kind, security: str
    ) -> None:
        """An error has its code and its text, whatever is in it."""
        client = self._connect(kind, security)
        self.assertEqual(client.echo("naïve ☃"), "naïve ☃")
        error = self._check_failure(client, echo_service.REFUSE)
        self.assertEqual(error.code, _Code.NOT_FOUND)
        self.assertEqual(error.text, echo_service.REFUSAL)
        self.assertEqual(client.echo(""), "")

    @_each_client
    def test_thousand_calls_get_their_own_answers(
        self, kind: _Kind, security: str
    ) -> None:
        """Sixty-four are in flight at a time."""
        client = self._connect(kind, security)
        texts = [f"text {number}" for number in range(1000)]
        self.assertEqual(client.echo_all(texts, 64), texts)
        self.assertEqual(self.echo.num_echoes, 1000)

    @_each_client
    def test_large_messages_go_both_ways(
        self, kind: _Kind, security: str
    ) -> None:
        """Several calls of three million bytes are answered at a time."""
        client = self._connect(kind, security)
        texts = [f"{number} " * 1_500_000 for number in range(3)]
        self.assertTrue(client.echo_all(texts, 3) == texts)

    @_each_client
    def test_caller_may_cancel(self, kind: _Kind, security: str) -> None:
        """The service learns it, and the connection goes on."""
        client = self._connect(kind, security)
        code = client.cancel(
            echo_service.KEEP, lambda: self.echo.kept.get(timeout=_SECONDS)
        )
        self.assertEqual(code, _Code.CANCELLED)
        self.assertEqual(client.echo("hello"), "hello")
        self.assertTrue(self.echo.left.acquire(timeout=_SECONDS))

    @_each_kind
    def test_deadline_ends_a_call(self, kind: _Kind) -> None:
        """The caller gets DEADLINE_EXCEEDED, and the service learns it."""
        client = self._connect(kind, "plain")
        self.assertEqual(client.echo("hello"), "hello")
        error = self._check_failure(client, echo_service.KEEP)
        self.assertEqual(error.code, _Code.DEADLINE_EXCEEDED)
        self.assertTrue(self.echo.left.acquire(timeout=_SECONDS))
        self.assertEqual(client.echo("hello"), "hello")

    @_each_client
    def test_watch_ends_with_the_server(
        self, kind: _Kind, security: str
    ) -> None:
        """A watcher gets NOT_SERVING while the server still takes calls."""
        client = self._connect(kind, security)
        stopper = threading.Thread(
            target=self.server.stop,
            args=(_SECONDS,),
            kwargs={"drain_delay_seconds": 5.0},
        )
        states: list[int] = []

        def on_state(state: int) -> None:
            states.append(state)
            if state == _SERVING:
                stopper.start()
            else:
                # The server serves until its delay is over.
                self.clock.settle(threads=1)
                self.clock.advance_micros(5_000_000)

        try:
            client.watch(on_state)
        except python_clients.CallError:
            # It gives up what is in flight when the server says goodbye.
            self.assertIs(kind, python_clients.GrpclibClient)
        stopper.join()
        self.assertEqual(states, [_SERVING, _NOT_SERVING])

    @_each_client
    def test_stop_under_load_loses_no_call(
        self, kind: _Kind, security: str
    ) -> None:
        """Every reply arrives, and refused calls may be tried elsewhere."""
        client = self._connect(kind, security)
        enough = threading.Semaphore(0)

        def stop() -> None:
            for _ in range(300):
                enough.acquire()
            self.server.stop(_SECONDS)

        stopper = threading.Thread(target=stop)
        stopper.start()
        codes = client.echo_until_refused(32, enough.release)
        stopper.join()
        self.assertLessEqual(set(codes), {_Code.OK, _Code.UNAVAILABLE})
        self.assertGreaterEqual(codes[_Code.OK], 300)
        if kind is python_clients.GrpclibClient:
            # It gives up what is in flight.
            self.assertLessEqual(codes[_Code.OK], self.echo.num_echoes)
        else:
            self.assertEqual(codes[_Code.OK], self.echo.num_echoes)

    @_each_kind
    def test_client_needs_a_certificate_if_the_server_says_so(
        self, kind: _Kind
    ) -> None:
        """One without is refused, and so is a stranger."""
        target = self._start("mutual_tls")
        for refused in (
            python_clients.Target(target.port, target.ca_file),
            self._target(self.files.stranger),
        ):
            with kind(refused) as client:
                error = self._check_failure(client, "hello")
                self.assertEqual(error.code, _Code.UNAVAILABLE)
        with kind(target) as client:
            self.assertEqual(client.echo("hello"), "hello")

    @_each_kind
    def test_server_with_tls_refuses_plaintext(self, kind: _Kind) -> None:
        """The client learns that it cannot get through."""
        target = self._start("tls")
        with kind(python_clients.Target(target.port)) as client:
            error = self._check_failure(client, "hello")
            self.assertEqual(error.code, _Code.UNAVAILABLE)


if __name__ == "__main__":
    absltest.main()
