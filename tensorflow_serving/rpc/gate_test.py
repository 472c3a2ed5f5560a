"""Tests for gate."""

import threading

from absl.testing import absltest

from tensorflow_serving.rpc import call as call_lib
from tensorflow_serving.rpc import gate as gate_lib
from tensorflow_serving.util import errors


class _Call(call_lib.Call):
    """Keeps its reply."""

    def __init__(self) -> None:
        self.error: errors.ServingError | None = None
        self.answered = threading.Event()

    @property
    def is_active(self) -> bool:
        """Whether there is no reply yet."""
        return not self.answered.is_set()

    def reply(self, response: object, trailing_metadata: object = ()) -> None:
        """Records the event."""
        self.answered.set()

    def fail(
        self, error: errors.ServingError, trailing_metadata: object = ()
    ) -> None:
        """Keeps the error."""
        self.error = error
        self.answered.set()


class ShownErrorTest(absltest.TestCase):
    """Exceptions that nobody expects, as callers see them."""

    def test_lack_of_memory_is_not_a_bug(self) -> None:
        """The caller may try again; the text has nothing of the exception."""

        def fill(call: _Call) -> None:
            raise MemoryError("Unable to allocate 1 TiB")

        call = _Call()
        with self.assertLogs(level="ERROR"):
            gate_lib.begin(fill, call)
        self.assertIsInstance(call.error, errors.ResourceExhaustedError)
        self.assertNotIn("TiB", str(call.error))
        self.assertIsInstance(
            gate_lib.shown_error(KeyError("a")), errors.InternalError
        )


class GateTest(absltest.TestCase):
    """Which calls may begin."""

    def test_any_number_of_calls_may_run_without_a_limit(self) -> None:
        """A limit of 0 is no limit."""
        self.assertTrue(gate_lib.Gate(0).admits(_Call(), 10**6))

    def test_limit_is_exact(self) -> None:
        """The second call may begin, the third may not."""
        gate = gate_lib.Gate(2)
        self.assertTrue(gate.admits(_Call(), 1))
        call = _Call()
        self.assertFalse(gate.admits(call, 2))
        self.assertIsInstance(call.error, errors.ResourceExhaustedError)

    def test_refusals_are_answered_when_the_port_is_closed(self) -> None:
        """Calls that come again wait until the port is closed; none hangs."""
        gate = gate_lib.Gate(0)
        gate.refuse()
        early, late = _Call(), _Call()
        self.assertFalse(gate.admits(early, 0))
        self.assertTrue(early.is_active)
        gate.answer_refusals()
        self.assertIsInstance(early.error, errors.UnavailableError)
        self.assertFalse(gate.admits(late, 0))
        self.assertIsInstance(late.error, errors.UnavailableError)

    def test_wait_for_a_pause_ends(self) -> None:
        """A wait for a pause ends without calls, or when its time is up."""
        gate = gate_lib.Gate(0)
        gate.wait_for_a_pause(60)
        gate.admits(_Call(), 0)
        gate.wait_for_a_pause(0)

    def test_what_a_method_raises_is_the_reply(self) -> None:
        """Errors of this project are kept as they are; others are INTERNAL."""

        def refuse(call: call_lib.Call) -> None:
            raise errors.AbortedError("no")

        def break_down(call: call_lib.Call) -> None:
            raise ZeroDivisionError("secret")

        call = _Call()
        gate_lib.begin(refuse, call)
        self.assertIsInstance(call.error, errors.AbortedError)
        call = _Call()
        with self.assertLogs(level="ERROR"):
            gate_lib.begin(break_down, call)
        self.assertIsInstance(call.error, errors.InternalError)
        self.assertNotIn("secret", str(call.error))


if __name__ == "__main__":
    absltest.main()
