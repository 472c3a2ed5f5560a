"""Tests for blocking_methods."""

import queue
import threading
from collections.abc import Callable
from unittest import mock

from absl.testing import absltest
from google.protobuf import message

from tensorflow_serving.rpc import (
    blocking_methods,
    call,
    echo_pb2,
    observer,
)
from tensorflow_serving.util import errors

_MAX_WAITING = blocking_methods.MAX_WAITING


class _Call(call.Call):
    """A call whose end the test waits for."""

    def __init__(self, text: str = "") -> None:
        self.request = echo_pb2.EchoRequest(text=text).SerializeToString()
        self.ends: queue.Queue[object] = queue.Queue()
        self.is_left = False
        self.on_cancelled: Callable[[], None] | None = None
        self.metadata = ()

    @property
    def is_active(self) -> bool:
        return not self.is_left

    def reply(
        self,
        response: bytes | message.Message,
        trailing_metadata: call.Metadata = (),
    ) -> None:
        self.ends.put(response)

    def fail(
        self,
        error: errors.ServingError,
        trailing_metadata: call.Metadata = (),
    ) -> None:
        self.ends.put(error)


class BlockingMethodsTest(absltest.TestCase):
    """Two threads that answer calls."""

    def setUp(self) -> None:
        """Starts the threads."""
        super().setUp()
        self.methods = blocking_methods.BlockingMethods(2)
        self.methods.start()
        self.addCleanup(self.methods.close)
        self.started = threading.Semaphore(0)
        self.go_on = threading.Event()
        self.addCleanup(self.go_on.set)

    def _echo(self, request: echo_pb2.EchoRequest) -> echo_pb2.EchoResponse:
        return echo_pb2.EchoResponse(text=request.text)

    def _wait(self, request: echo_pb2.EchoRequest) -> echo_pb2.EchoResponse:
        self.started.release()
        self.go_on.wait()
        return self._echo(request)

    def _begin(self, method: call.BlockingMethod, each: call.Call) -> None:
        self.methods.begin("/s/m", method, echo_pb2.EchoRequest, each)

    def test_method_answers(self) -> None:
        """The request is parsed for it."""
        each = _Call("hello")
        self._begin(self._echo, each)
        self.assertEqual(each.ends.get(), echo_pb2.EchoResponse(text="hello"))

    def test_garbage_is_an_invalid_argument(self) -> None:
        """The method is not called."""
        each = _Call()
        each.request = b"\xff\xff"
        self._begin(self.fail, each)
        error = each.ends.get()
        self.assertIsInstance(error, errors.InvalidArgumentError)
        self.assertRegex(str(error), "EchoRequest; got 2 bytes")

    def test_all_threads_are_there_before_the_first_call(self) -> None:
        """Under load there may be no more to be had."""
        with mock.patch.object(
            threading.Thread, "start", side_effect=RuntimeError
        ):
            calls = [_Call() for _ in range(3)]
            for each in calls:
                self._begin(self._wait, each)
            for _ in range(2):
                self.started.acquire()
            self.go_on.set()
            for each in calls:
                self.assertEqual(each.ends.get(), echo_pb2.EchoResponse())

    def test_threads_that_cannot_be_started_are_an_error(self) -> None:
        """The error names the option, and nothing is left behind."""
        methods = blocking_methods.BlockingMethods(3)
        self.addCleanup(methods.close)
        with (
            mock.patch.object(
                threading.Thread,
                "start",
                side_effect=RuntimeError("can't start new thread"),
            ),
            self.assertRaisesRegex(
                errors.ResourceExhaustedError, "num_threads .*; got 3: can't"
            ),
        ):
            methods.start()

    def test_call_that_was_left_is_not_begun(self) -> None:
        """It waited for a thread, and nobody waits for it."""
        running = [_Call() for _ in range(2)]
        for each in running:
            self._begin(self._wait, each)
        left = _Call()
        self._begin(self.fail, left)
        left.is_left = True
        last = _Call("last")
        self._begin(self._echo, last)
        self.go_on.set()
        self.assertEqual(last.ends.get(), echo_pb2.EchoResponse(text="last"))
        self.assertTrue(left.ends.empty())

    def test_close_says_whether_a_call_is_running(self) -> None:
        """It waits for it a moment only; a second close is no error."""
        each = _Call()
        self._begin(self._wait, each)
        self.started.acquire()
        self.assertFalse(self.methods.close())
        self.go_on.set()
        each.ends.get()
        idle = blocking_methods.BlockingMethods(1)
        idle.start()
        self.assertTrue(idle.close())
        self.assertTrue(idle.close())

    def test_method_that_exits_does_not_end_its_thread(self) -> None:
        """The call gets INTERNAL, and so does the next one."""

        def leave(request: object) -> message.Message:
            raise SystemExit

        for _ in range(4):
            each = _Call()
            with self.assertLogs(level="ERROR"):
                self._begin(leave, each)
                self.assertIsInstance(each.ends.get(), errors.InternalError)


class WaitingTest(absltest.TestCase):
    """Calls that wait until nobody wants their answer any longer."""

    def setUp(self) -> None:
        """Starts a thread for calls that do not wait."""
        super().setUp()
        self.observer = mock.create_autospec(observer.Observer, instance=True)
        self.methods = blocking_methods.BlockingMethods(1, self.observer)
        self.methods.start()
        self.addCleanup(self.methods.close)
        self.addCleanup(self.methods.drain)
        self.started = threading.Semaphore(0)

    def _wait(
        self, request: echo_pb2.EchoRequest, unwanted: call.Unwanted
    ) -> echo_pb2.EchoResponse:
        self.started.release()
        unwanted.result()
        raise AssertionError("it ends with an error")

    def _begin_waiting(self, number: int) -> list[_Call]:
        calls = [_Call() for _ in range(number)]
        for each in calls:
            self.methods.begin_waiting(
                "/s/wait", self._wait, echo_pb2.EchoRequest, each
            )
        return calls

    def test_calls_that_wait_hold_up_no_other(self) -> None:
        """There are more of them than threads."""
        waiting = self._begin_waiting(3)
        for _ in waiting:
            self.started.acquire()
        other = _Call()
        self.methods.begin(
            "/s/m",
            lambda request: echo_pb2.EchoResponse(),
            echo_pb2.EchoRequest,
            other,
        )
        self.assertEqual(other.ends.get(), echo_pb2.EchoResponse())
        self.assertTrue(all(each.ends.empty() for each in waiting))

    def test_call_ends_when_its_caller_leaves(self) -> None:
        """Nothing is left of it, though it had no deadline."""
        (each,) = self._begin_waiting(1)
        self.started.acquire()
        assert each.on_cancelled is not None
        each.on_cancelled()
        self.assertIsInstance(each.ends.get(), errors.CancelledError)
        each.on_cancelled()
        self.assertTrue(self.methods.close())

    def test_calls_end_when_the_server_begins_to_stop(self) -> None:
        """Those that come later end as well."""
        (before,) = self._begin_waiting(1)
        self.started.acquire()
        self.methods.drain()
        (after,) = self._begin_waiting(1)
        for each in (before, after):
            error = each.ends.get()
            self.assertIsInstance(error, errors.UnavailableError)
            self.assertRegex(str(error), "is shutting down")
        self.assertTrue(self.methods.close())

    def test_more_calls_than_may_wait_are_refused(self) -> None:
        """Each has a thread; the refusal is reported, too."""
        waiting = self._begin_waiting(_MAX_WAITING)
        for _ in waiting:
            self.started.acquire()
        (refused,) = self._begin_waiting(1)
        error = refused.ends.get()
        self.assertIsInstance(error, errors.ResourceExhaustedError)
        self.observer.call_answered.assert_called_once_with(
            "/s/wait", refused, 0.0, error
        )
        assert waiting[0].on_cancelled is not None
        waiting[0].on_cancelled()
        waiting[0].ends.get()
        self.methods.drain()
        self.assertTrue(self.methods.close())

    def test_thread_that_cannot_be_started_is_an_error(self) -> None:
        """The call is refused, and counts no longer."""
        with mock.patch.object(
            threading.Thread, "start", side_effect=RuntimeError("no thread")
        ):
            calls = self._begin_waiting(_MAX_WAITING + 1)
        for each in calls:
            error = each.ends.get()
            self.assertIsInstance(error, errors.ResourceExhaustedError)
            self.assertRegex(str(error), "no more threads .no thread.")


if __name__ == "__main__":
    absltest.main()
