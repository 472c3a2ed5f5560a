"""Tests for signals."""

import os
import signal
import threading

from absl.testing import absltest, parameterized

from tensorflow_serving.util import signals


class TerminationTest(parameterized.TestCase):
    """SIGTERM and Ctrl-C."""

    def setUp(self) -> None:
        """Puts the handlers back afterwards."""
        super().setUp()
        for number in (signal.SIGINT, signal.SIGTERM):
            self.addCleanup(signal.signal, number, signal.getsignal(number))
        self.addCleanup(signal.set_wakeup_fd, -1)

    @parameterized.parameters("SIGINT", "SIGTERM")
    def test_first_signal_ends_the_wait(self, name: str) -> None:
        """Even if it came before; the next one takes its default effect."""
        termination = signals.Termination()
        os.kill(os.getpid(), signal.Signals[name])
        self.assertEqual(termination.wait(), name)
        for number in (signal.SIGINT, signal.SIGTERM):
            self.assertEqual(signal.getsignal(number), signal.SIG_DFL)

    def test_next_signal_may_be_ignored(self) -> None:
        """A worker that drains is told to end by several others."""
        termination = signals.Termination(ignores_the_next=True)
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGTERM)
        self.assertEqual(termination.wait(), "SIGTERM")
        os.kill(os.getpid(), signal.SIGTERM)

    def test_signal_may_come_to_any_thread(self) -> None:
        """The main thread, which waits, hears of it all the same."""
        termination = signals.Termination()
        go_on = threading.Event()

        def signal_this_thread() -> None:
            signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
            go_on.wait()

        thread = threading.Thread(target=signal_this_thread)
        thread.start()
        self.assertEqual(termination.wait(), "SIGTERM")
        go_on.set()
        thread.join()

    def test_wait_may_be_for_something_else_too(self) -> None:
        """wake() ends it, also one that came before; so does the time."""
        termination = signals.Termination()
        self.assertIsNone(termination.wait_or_woken(0))
        termination.wake()
        self.assertIsNone(termination.wait_or_woken(60))
        waker = threading.Thread(target=termination.wake)
        waker.start()
        self.assertIsNone(termination.wait_or_woken(60))
        waker.join()
        os.kill(os.getpid(), signal.SIGTERM)
        self.assertEqual(termination.wait_or_woken(60), "SIGTERM")
        self.assertEqual(signal.getsignal(signal.SIGINT), signal.SIG_DFL)

    def test_wake_without_end_does_not_block(self) -> None:
        """Even if nobody waits; and it is no signal."""
        termination = signals.Termination()
        for _ in range(100_000):
            termination.wake()
        self.assertIsNone(termination.wait_or_woken(0))


if __name__ == "__main__":
    absltest.main()
