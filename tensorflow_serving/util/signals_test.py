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


if __name__ == "__main__":
    absltest.main()
