"""Tests for event_loop."""

import concurrent.futures
import functools
import math
import os
import socket
import threading
import time
from unittest import mock

from absl.testing import absltest

from tensorflow_serving.rpc import event_loop

_READ = event_loop.READ
_WRITE = event_loop.WRITE


class EventLoopTest(absltest.TestCase):
    """A loop that the test turns round by round."""

    def setUp(self) -> None:
        """Makes a loop, and a list of what it called."""
        super().setUp()
        self.loop = event_loop.EventLoop()
        self.addCleanup(self.loop.close)
        self.called: list[object] = []

    def _pair(self) -> tuple[socket.socket, socket.socket]:
        pair = socket.socketpair()
        for sock in pair:
            self.addCleanup(sock.close)
        return pair

    # Sockets.

    def test_ready_socket_is_called_back_until_it_is_read(self) -> None:
        """A callback that leaves bytes is called again in the next round."""
        ours, theirs = self._pair()
        self.loop.watch(ours.fileno(), _READ, self.called.append)
        theirs.send(b"xy")
        self.loop.run_once(math.inf)
        self.assertEqual(self.called, [_READ])
        ours.recv(1)
        self.loop.run_once(math.inf)
        ours.recv(1)
        self.loop.run_once(0)
        self.assertEqual(self.called, [_READ, _READ])

    def test_socket_can_be_watched_for_writing_as_well(self) -> None:
        """Both events come in one call."""
        ours, theirs = self._pair()
        self.loop.watch(ours.fileno(), _READ, self.called.append)
        self.loop.rewatch(ours.fileno(), _READ | _WRITE)
        self.loop.run_once(math.inf)
        theirs.send(b"x")
        self.loop.run_once(math.inf)
        self.assertEqual(self.called, [_WRITE, _READ | _WRITE])

    def test_socket_that_is_watched_for_nothing_still_shows_its_end(
        self,
    ) -> None:
        """A peer that is gone cannot hide behind a full buffer."""
        ours, theirs = self._pair()
        self.loop.watch(ours.fileno(), _READ, self.called.append)
        self.loop.rewatch(ours.fileno(), 0)
        theirs.send(b"x")
        self.loop.run_once(0)
        self.assertFalse(self.called)
        theirs.close()
        self.loop.run_once(math.inf)
        self.assertEqual(len(self.called), 1)

    def test_socket_is_not_called_after_it_was_unwatched(self) -> None:
        """An unwatched socket is not called, even if it was ready before."""
        first, second = self._pair()
        fds = {first.fileno(), second.fileno()}

        def end_both(fd: int, events: int) -> None:
            self.called.append(fd)
            for each in fds:
                self.loop.unwatch(each)
            fds.clear()

        for fd in list(fds):
            self.loop.watch(fd, _WRITE, functools.partial(end_both, fd))
        self.loop.run_once(math.inf)
        self.loop.run_once(0)
        self.assertEqual(len(self.called), 1)

    def test_descriptor_that_is_used_again_belongs_to_the_new_socket(
        self,
    ) -> None:
        """The system gives out the number of a closed socket at once."""
        ours, _ = self._pair()
        fd = ours.fileno()
        self.loop.watch(fd, _WRITE, lambda _: self.called.append("old"))
        self.loop.unwatch(fd)
        ours.close()
        again = socket.socket(fileno=os.dup(self._pair()[0].fileno()))
        self.addCleanup(again.close)
        self.loop.watch(
            again.fileno(), _WRITE, lambda _: self.called.append("new")
        )
        self.loop.run_once(math.inf)
        self.assertEqual(self.called, ["new"])

    # Time.

    def test_timers_are_called_in_the_order_of_their_times(self) -> None:
        """Timers are called by time, then in the order of creation."""
        now = self.loop.now
        for number, seconds in enumerate([-1, -3, -2, -3]):
            self.loop.call_at(
                now + seconds, functools.partial(self.called.append, number)
            )
        self.loop.run_once(math.inf)
        self.assertEqual(self.called, [1, 3, 2, 0])

    def test_loop_waits_for_the_next_timer(self) -> None:
        """A timer is never early."""
        deadline = time.monotonic() + 0.02
        self.loop.call_at(deadline, lambda: self.called.append("late"))
        self.loop.call_at(deadline + 1_000, lambda: self.called.append("no"))
        self.loop.run_once(math.inf)
        self.assertGreaterEqual(time.monotonic(), deadline)
        self.assertEqual(self.called, ["late"])

    def test_round_takes_no_longer_than_it_may(self) -> None:
        """A round that may not wait returns with nothing to call."""
        self.loop.call_at(self.loop.now + 1_000, self.fail)
        self.loop.run_once(0.0)

    def test_cancelled_timer_is_not_called(self) -> None:
        """A second cancel, or one after the call, is no error."""
        ticket = self.loop.call_at(self.loop.now, self.fail)
        other = self.loop.call_at(
            self.loop.now, lambda: self.called.append("called")
        )
        self.loop.cancel(ticket)
        self.loop.cancel(ticket)
        self.loop.run_once(0)
        self.loop.cancel(other)
        self.assertEqual(self.called, ["called"])

    def test_time_is_that_of_the_round(self) -> None:
        """All callbacks of a round see the same time, after they were due."""
        for _ in range(2):
            self.loop.post(lambda: self.called.append(self.loop.now))
        before = time.monotonic()
        self.loop.run_once(0)
        self.assertEqual(self.called[0], self.called[1])
        self.assertGreaterEqual(self.loop.now, before)

    # Other threads.

    def test_posts_of_a_thread_keep_their_order(self) -> None:
        """Posts of several threads all arrive."""
        arrived: list[tuple[str, int]] = []

        def post_all(name: str) -> None:
            for number in range(500):
                self.loop.post(
                    functools.partial(arrived.append, (name, number))
                )

        with concurrent.futures.ThreadPoolExecutor(4) as threads:
            posters = [threads.submit(post_all, name) for name in "abcd"]
            while len(arrived) < 2_000:
                self.loop.run_once(math.inf)
            for each in posters:
                each.result()
        for name in "abcd":
            self.assertEqual(
                [each for each in arrived if each[0] == name],
                [(name, number) for number in range(500)],
            )

    def test_many_posts_wake_the_loop_once(self) -> None:
        """After it was awake, the next post wakes it again."""
        with mock.patch.object(
            os, "eventfd_write", wraps=os.eventfd_write
        ) as wake:
            for _ in range(100):
                self.loop.post(lambda: self.called.append("x"))
            self.assertEqual(wake.call_count, 1)
            self.loop.run_once(math.inf)
            self.assertEqual(len(self.called), 100)
            self.loop.post(lambda: None)
            self.assertEqual(wake.call_count, 2)

    def test_post_of_a_post_waits_for_the_next_round(self) -> None:
        """Sockets have their turn in between."""
        ours, theirs = self._pair()
        self.loop.watch(
            ours.fileno(),
            _READ,
            lambda _: self.called.append(ours.recv(9)),
        )

        def post_more() -> None:
            theirs.send(b"socket")
            self.loop.post(lambda: self.called.append("post"))

        self.loop.post(post_more)
        self.loop.run_once(math.inf)
        self.assertFalse(self.called)
        self.loop.run_once(math.inf)
        self.assertEqual(self.called, [b"socket", "post"])

    def test_loop_can_be_stopped_by_another_thread(self) -> None:
        """The round in which stop() was posted is the last that is wanted."""
        thread = threading.Thread(target=self.loop.post, args=[self.loop.stop])
        thread.start()
        while not self.loop.is_stopped:
            self.loop.run_once()
        thread.join()

    def test_post_after_the_end_has_no_effect(self) -> None:
        """A reply may be late: the number of the descriptor is not used."""
        self.loop.close()
        self.loop.close()
        with mock.patch.object(os, "eventfd_write") as wake:
            self.loop.post(self.fail)
        wake.assert_not_called()

    # Faults.

    def test_callback_that_raises_costs_only_itself(self) -> None:
        """Each fault is logged once, and those that are due are called."""
        ours, theirs = self._pair()

        def fail(*args: object) -> None:
            raise ZeroDivisionError("secret")

        self.loop.watch(ours.fileno(), _WRITE, fail)
        self.loop.watch(theirs.fileno(), _WRITE, self.called.append)
        for callback in (fail, lambda: self.called.append("timer")):
            self.loop.call_at(self.loop.now, callback)
        for callback in (fail, lambda: self.called.append("post")):
            self.loop.post(callback)
        with self.assertLogs(level="ERROR") as log:
            self.loop.run_once(math.inf)
        self.assertEqual(self.called, [_WRITE, "timer", "post"])
        self.assertEqual(len(log.output), 3)

    def test_exit_of_a_callback_ends_the_loop(self) -> None:
        """Whoever raises more than an Exception wants the end."""

        def leave() -> None:
            raise SystemExit(3)

        self.loop.post(leave)
        with self.assertRaises(SystemExit):
            self.loop.run_once()


if __name__ == "__main__":
    absltest.main()
