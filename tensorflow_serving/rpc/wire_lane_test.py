"""Tests for wire_lane, by its contract with a server."""

import queue
import socket
import threading
from collections.abc import Callable
from unittest import mock

from absl.testing import absltest

from tensorflow_serving.rpc import call as call_lib
from tensorflow_serving.rpc import (
    lane,
    message_frame,
    raw_client,
    wire_lane,
)
from tensorflow_serving.rpc import options as options_lib
from tensorflow_serving.rpc.http2 import frame_script, frames

_PATH = "/a.B/Unary"
_DEFAULTS = options_lib.Options()


class _HangingWork:
    """Work that ends when the test says so."""

    def __init__(self) -> None:
        self.is_running = threading.Event()
        self.is_left = threading.Event()
        self.released = threading.Event()
        # Called before it ends.
        self.on_release: Callable[[], None] = lambda: None

    def run(self) -> bool:
        """Hangs."""
        self.is_running.set()
        self.released.wait()
        self.on_release()
        return False

    def leave(self) -> None:
        """Keeps that it was called."""
        self.is_left.set()


class _LongWork:
    """Work that takes several rounds."""

    def __init__(self, num_rounds: int) -> None:
        self.num_left = num_rounds

    def run(self) -> bool:
        """Does a part of it."""
        self.num_left -= 1
        return self.num_left > 0

    def leave(self) -> None:
        """Is not called, as no round is long."""


class WireLaneTest(absltest.TestCase):
    """A lane whose method answers when the test says so."""

    def setUp(self) -> None:
        """Has no lane yet."""
        super().setUp()
        self.calls: queue.Queue[call_lib.Call] = queue.Queue()
        self.rounds: queue.Queue[int] = queue.Queue()
        self.work: call_lib.Work | None = None

    def _when_idle(self) -> call_lib.Work | None:
        self.rounds.put(self.calls.qsize())
        return self.work

    def _make(
        self, options: options_lib.Options = _DEFAULTS
    ) -> wire_lane.WireLane:
        made = wire_lane.WireLane(
            lane.Methods({_PATH: self.calls.put}, {}, [self._when_idle]),
            options,
        )
        self.addCleanup(made.stop, 0)
        return made

    def _start(
        self, options: options_lib.Options = _DEFAULTS
    ) -> raw_client.RawClient:
        self.lane = self._make(options)
        self.port = self.lane.listen("127.0.0.1:0")
        self.lane.start()
        return self._connect()

    def _connect(self) -> raw_client.RawClient:
        client = raw_client.RawClient.connect(self.port)
        self.addCleanup(client.close)
        client.greet()
        return client

    def test_calls_of_a_packet_are_begun_before_the_services_work(
        self,
    ) -> None:
        """Calls of one packet are begun first, so that they share a batch."""
        client = self._start()
        client.send(
            b"".join(
                raw_client.request(stream_id, _PATH, b"x")
                for stream_id in range(1, 9, 2)
            )
        )
        for _ in range(4):
            self.calls.get(timeout=60).reply(b"y")
        self.assertGreater(self.rounds.get(timeout=60), 0)
        self.assertEqual(client.answer(7).data, message_frame.frame(b"y"))

    def test_function_of_the_lane_runs_on_its_thread(self) -> None:
        """The function runs at once if that thread asks for it."""
        self._start()
        ran: queue.Queue[str] = queue.Queue()

        def nested() -> None:
            self.lane.run(lambda: ran.put("inner"))
            ran.put(threading.current_thread().name)

        self.lane.run(nested)
        self.assertEqual(ran.get(timeout=60), "inner")
        self.assertEqual(ran.get(timeout=60), "rpc_events")

    def test_work_that_hangs_holds_up_nobody(self) -> None:
        """Another thread goes on; who was held up can still reply."""
        self.work = work = _HangingWork()
        client = self._start()
        client.send(raw_client.request(1, _PATH, b"x"))
        held_up = self.calls.get(timeout=60)
        work.on_release = lambda: held_up.reply(b"late")
        self.assertTrue(work.is_running.wait(60))
        self.work = None
        other = self._connect()
        for stream_id in (1, 3):
            other.send(raw_client.request(stream_id, _PATH, b"y"))
            self.calls.get(timeout=60).reply(b"z")
            self.assertEqual(
                other.answer(stream_id).data, message_frame.frame(b"z")
            )
        self.assertTrue(work.is_left.is_set())
        work.released.set()
        self.assertEqual(client.answer(1).data, message_frame.frame(b"late"))
        client.close()
        other.close()
        self.assertTrue(self.lane.stop(60))

    def test_work_that_hangs_at_the_end_does_not_hold_it_up(self) -> None:
        """Calls that are left are answered after the grace."""
        self.work = work = _HangingWork()
        self.addCleanup(work.released.set)
        client = self._start()
        client.send(raw_client.request(1, _PATH, b"x"))
        self.assertTrue(work.is_running.wait(60))
        self.assertFalse(self.lane.stop(0))
        self.assertEqual(client.answer(1).fields["grpc-status"], "14")

    def test_work_that_is_not_done_goes_on_without_an_event(self) -> None:
        """The services are asked again until they have no more to do."""
        self.work = work = _LongWork(3)
        client = self._start()
        client.send(raw_client.request(1, _PATH, b"x"))
        self.calls.get(timeout=60)
        for _ in range(3):
            self.rounds.get(timeout=60)
        client.settle()
        self.assertEqual(work.num_left, 0)
        self.assertTrue(self.rounds.empty())

    def test_several_addresses_are_served(self) -> None:
        """Each has a port of its own."""
        self.lane = self._make()
        ports = [self.lane.listen("127.0.0.1:0") for _ in range(2)]
        self.lane.start()
        for port in ports:
            with raw_client.RawClient.connect(port) as client:
                client.greet()
                client.settle()
                self.assertFalse(client.is_over)

    def test_heartbeat_comes_from_the_thread_that_answers(self) -> None:
        """The first one comes with the start."""
        beats: queue.Queue[None] = queue.Queue()
        self._start(options_lib.Options(heartbeat=lambda: beats.put(None)))
        beats.get(timeout=60)
        beats.get(timeout=60)

    def test_lane_that_was_not_started_can_be_stopped(self) -> None:
        """Its address is free again; a second stop is no error."""
        made = self._make()
        port = made.listen("127.0.0.1:0")
        self.assertTrue(made.stop(0))
        self.assertTrue(made.stop(0))
        with self.assertRaises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), 60)

    def test_connections_wait_while_there_are_no_descriptors(self) -> None:
        """It is logged once in a while, and not for each connection."""
        client = self._start()
        client.settle()
        error = OSError(24, "Too many open files")
        failed = threading.Semaphore(0)

        def fail(*args: object) -> None:
            failed.release()
            raise error

        with (
            mock.patch.object(socket.socket, "accept", fail),
            self.assertLogs(level="ERROR") as log,
        ):
            waiting = self._connect()
            for _ in range(3):
                self.assertTrue(failed.acquire(timeout=60))
            client.settle()
        self.assertEqual(len(log.output), 1)
        waiting.settle()
        self.assertFalse(waiting.is_over)

    def test_stop_lets_calls_end_that_a_client_made_before_it_knew(
        self,
    ) -> None:
        """A client answers the PING after the GOAWAY and begins no calls."""
        client = self._start()
        client.send(raw_client.request(1, _PATH, b"x"))
        first = self.calls.get(timeout=60)
        stopped = queue.Queue[bool]()
        stopper = threading.Thread(
            target=lambda: stopped.put(self.lane.stop(60))
        )
        stopper.start()
        client.wait_for(frames.GOAWAY)
        client.send(raw_client.request(3, _PATH, b"y"))
        second = self.calls.get(timeout=60)
        ping = client.wait_for(frames.PING)
        assert ping is not None
        client.send(frame_script.ping(ping.payload, flags=frames.ACK))
        for each in (first, second):
            each.reply(each.request)
        self.assertEqual(client.answer(1).status, 0)
        self.assertEqual(client.answer(3).status, 0)
        client.wait_for_end()
        client.close()
        self.assertTrue(stopped.get(timeout=60))
        stopper.join()

    def test_stop_without_grace_answers_what_is_left(self) -> None:
        """A stop without grace ends calls with UNAVAILABLE, for both sides."""
        client = self._start()
        client.send(raw_client.request(1, _PATH, b"x"))
        call = self.calls.get(timeout=60)
        left = threading.Event()
        call.on_cancelled = left.set
        self.assertFalse(self.lane.stop(0))
        self.assertTrue(left.wait(60))
        self.assertEqual(client.answer(1).fields["grpc-status"], "14")
        call.reply(b"late")


if __name__ == "__main__":
    absltest.main()
