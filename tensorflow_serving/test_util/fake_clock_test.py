"""Tests for fake_clock."""

import threading

from absl.testing import absltest

from tensorflow_serving.test_util import fake_clock


class FakeClockTest(absltest.TestCase):
    """A clock that moves when a test says so."""

    def test_now_is_the_sum_of_advances(self) -> None:
        """Microseconds add up without rounding."""
        clock = fake_clock.FakeClock()
        clock.advance_micros(9)
        clock.advance_micros(1)
        self.assertEqual(clock.now(), 10e-6)

    def test_sleep_ends_when_the_clock_reaches_its_end(self) -> None:
        """A sleeper goes on at the exact microsecond, not before."""
        clock = fake_clock.FakeClock()
        woke = threading.Event()

        def sleep() -> None:
            clock.sleep(10e-6)
            woke.set()

        thread = threading.Thread(target=sleep)
        thread.start()
        clock.settle(threads=1)
        clock.advance_micros(9)
        clock.settle(threads=1)
        self.assertFalse(woke.is_set())
        clock.advance_micros(1)
        thread.join()
        self.assertTrue(woke.is_set())

    def test_threads_may_share_a_condition(self) -> None:
        """settle() counts each of them."""
        clock = fake_clock.FakeClock()
        condition = threading.Condition()

        def wait() -> None:
            with condition:
                while clock.now() < 1:
                    clock.wait_until(condition, 1.0)

        threads = [threading.Thread(target=wait) for _ in range(3)]
        for thread in threads:
            thread.start()
        for _ in range(20):
            clock.settle(threads=3)
        clock.advance_micros(1_000_000)
        for thread in threads:
            thread.join()

    def test_wait_until_returns_at_once_after_the_deadline(self) -> None:
        """A deadline that has come needs no notification."""
        clock = fake_clock.FakeClock()
        condition = threading.Condition()
        with condition:
            clock.wait_until(condition, 0.0)


if __name__ == "__main__":
    absltest.main()
