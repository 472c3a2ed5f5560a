"""Tests for alarm."""

import queue

from absl.testing import absltest

from tensorflow_serving.core import alarm
from tensorflow_serving.test_util import fake_clock


class AlarmTest(absltest.TestCase):
    """Functions that are called when their time comes."""

    def setUp(self) -> None:
        """Stops the clock."""
        super().setUp()
        self.clock = fake_clock.FakeClock()
        self.alarm = alarm.Alarm(self.clock)
        self.addCleanup(self.alarm.close)
        self.calls: queue.SimpleQueue[str] = queue.SimpleQueue()

    def test_functions_are_called_in_the_order_of_their_times(self) -> None:
        """A later call may be for an earlier time."""
        self.alarm.call_after(2.0, lambda: self.calls.put("second"))
        self.alarm.call_after(1.0, lambda: self.calls.put("first"))
        self.clock.settle(threads=1)
        self.clock.advance_micros(999_999)
        self.clock.settle(threads=1)
        self.assertTrue(self.calls.empty())
        self.clock.advance_micros(1)
        self.assertEqual(self.calls.get(), "first")
        self.clock.settle(threads=1)
        self.clock.advance_micros(1_000_000)
        self.assertEqual(self.calls.get(), "second")

    def test_cancelled_function_is_not_called(self) -> None:
        """To cancel it afterwards has no effect."""
        cancel = self.alarm.call_after(1.0, lambda: self.calls.put("cancelled"))
        other = self.alarm.call_after(1.0, lambda: self.calls.put("other"))
        cancel()
        self.clock.settle(threads=1)
        self.clock.advance_micros(1_000_000)
        self.assertEqual(self.calls.get(), "other")
        other()
        self.assertTrue(self.calls.empty())

    def test_function_that_raises_is_logged_and_others_are_called(self) -> None:
        """The thread goes on."""
        with self.assertLogs(level="ERROR"):
            self.alarm.call_after(0.0, lambda: 1 // 0)
            self.alarm.call_after(0.0, lambda: self.calls.put("other"))
            self.assertEqual(self.calls.get(), "other")

    def test_closed_alarm_calls_nothing(self) -> None:
        """A closed alarm calls no function, old or new."""
        self.alarm.call_after(1.0, lambda: self.calls.put("before"))
        self.alarm.close()
        self.alarm.call_after(1.0, lambda: self.calls.put("after"))
        self.clock.advance_micros(2_000_000)
        self.assertTrue(self.calls.empty())
        self.alarm.close()


if __name__ == "__main__":
    absltest.main()
