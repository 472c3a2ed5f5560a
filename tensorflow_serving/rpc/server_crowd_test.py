"""Tests of a server that has a thousand clients, and stops."""

import resource
import threading

from absl.testing import absltest

from tensorflow_serving.rpc import call as call_lib
from tensorflow_serving.rpc import echo_pb2, message_frame, raw_client, server
from tensorflow_serving.rpc.http2 import frames

_SERVICE = echo_pb2.DESCRIPTOR.services_by_name["EchoService"]
_ECHO = f"/{_SERVICE.full_name}/Echo"
_WATCH = "/grpc.health.v1.Health/Watch"

_NUM_CLIENTS = 1_000
# Both ends of each connection are in this process.
_NUM_DESCRIPTORS = 2 * _NUM_CLIENTS + 200


def _echo(call: call_lib.Call) -> None:
    call.reply(call.request)


class ServerCrowdTest(absltest.TestCase):
    """A server of this process."""

    def setUp(self) -> None:
        """Starts it."""
        super().setUp()
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        if most < _NUM_DESCRIPTORS:
            self.skipTest(f"needs {_NUM_DESCRIPTORS} open files; got {most}")
        service = call_lib.Service(_SERVICE, async_methods={"Echo": _echo})
        self.server = self.enter_context(
            server.Server("127.0.0.1:0", [service])
        )
        self.server.start()

    def _connect(self) -> raw_client.RawClient:
        client: raw_client.RawClient = self.enter_context(
            raw_client.RawClient.connect(self.server.port)
        )
        client.greet()
        return client

    def _begin_to_stop(self) -> threading.Thread:
        """Has the server stop; _check_stop() waits for that."""
        stopper = threading.Thread(target=self.server.stop, args=(60,))
        stopper.start()
        return stopper

    def _check_stop(self, stopper: threading.Thread) -> None:
        """Fails if the stop has lost a call."""
        stopper.join()
        self.assertTrue(self.server.stop(0))  # says what the first one said

    def test_watches_that_leave_at_the_end_do_not_keep_the_server(
        self,
    ) -> None:
        """Clients leave when they read NOT_SERVING, as balancers do."""
        clients = [self._connect() for _ in range(_NUM_CLIENTS)]
        for client in clients:
            client.send(raw_client.request(1, _WATCH, b""))
            client.wait_for(frames.DATA, 1)
        stopper = self._begin_to_stop()
        for client in clients:
            client.wait_for(frames.DATA, 1)
            client.close()
        self._check_stop(stopper)

    def test_idle_connections_do_not_keep_the_server(self) -> None:
        """Each has made a call, and says nothing when it is asked to leave."""
        clients = [self._connect() for _ in range(_NUM_CLIENTS)]
        for client in clients:
            client.send(raw_client.request(1, _ECHO, b"x"))
        for client in clients:
            self.assertEqual(client.answer(1).data, message_frame.frame(b"x"))
        self._check_stop(self._begin_to_stop())
        for client in clients:
            client.wait_for_end()

    def test_client_that_floods_does_not_keep_the_server(self) -> None:
        """It makes calls as fast as it can, whatever it is asked."""
        client = self._connect()
        client.send(raw_client.request(1, _ECHO, b"x"))
        client.answer(1)
        stopper = self._begin_to_stop()
        stream_id = 3
        while not client.is_over:
            client.send(raw_client.request(stream_id, _ECHO, b"x"))
            client.drop_frames()
            stream_id += 2
        self._check_stop(stopper)


if __name__ == "__main__":
    absltest.main()
