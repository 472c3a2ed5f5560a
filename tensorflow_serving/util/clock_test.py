"""Tests for clock."""

import threading

from absl.testing import absltest

from tensorflow_serving.util import clock


class MonotonicClockTest(absltest.TestCase):
    """The real clock."""

    def test_sleep_takes_the_time_asked_for(self) -> None:
        """After a sleep, now() has moved on by at least that long."""
        real = clock.MonotonicClock()
        before = real.now()
        real.sleep(0.001)
        self.assertGreaterEqual(real.now() - before, 0.001)

    def test_wait_until_returns_at_the_deadline(self) -> None:
        """Without a notification, the deadline ends the wait."""
        real = clock.MonotonicClock()
        condition = threading.Condition()
        deadline = real.now() + 0.001
        with condition:
            while real.now() < deadline:
                real.wait_until(condition, deadline)

    def test_wait_until_returns_at_once_after_the_deadline(self) -> None:
        """A deadline in the past is no error."""
        real = clock.MonotonicClock()
        condition = threading.Condition()
        with condition:
            real.wait_until(condition, real.now() - 1)

    def test_wait_until_may_be_longer_than_a_thread_can_wait(self) -> None:
        """A deadline that never comes is no error."""
        real = clock.MonotonicClock()
        condition = threading.Condition()
        arrived = False

        def arrive() -> None:
            nonlocal arrived
            with condition:
                arrived = True
                condition.notify()

        thread = threading.Thread(target=arrive)
        with condition:
            thread.start()
            while not arrived:
                real.wait_until(condition, 1e300)
        thread.join()

    def test_wait_until_without_deadline_waits_for_a_notification(self) -> None:
        """None waits until somebody notifies."""
        real = clock.MonotonicClock()
        condition = threading.Condition()
        arrived = False

        def arrive() -> None:
            nonlocal arrived
            with condition:
                arrived = True
                condition.notify()

        thread = threading.Thread(target=arrive)
        with condition:
            thread.start()
            while not arrived:
                real.wait_until(condition, None)
        thread.join()


if __name__ == "__main__":
    absltest.main()
