"""Tests for signals."""

import os
import signal

from absl.testing import absltest, parameterized

from tensorflow_serving.util import signals


class TerminationTest(parameterized.TestCase):
    """SIGTERM and Ctrl-C."""

    def setUp(self) -> None:
        """Puts the handlers back afterwards."""
        super().setUp()
        for number in (signal.SIGINT, signal.SIGTERM):
            self.addCleanup(signal.signal, number, signal.getsignal(number))

    @parameterized.parameters("SIGINT", "SIGTERM")
    def test_first_signal_ends_the_wait(self, name: str) -> None:
        """Even if it came before; the next one takes its default effect."""
        termination = signals.Termination()
        os.kill(os.getpid(), signal.Signals[name])
        self.assertEqual(termination.wait(), name)
        for number in (signal.SIGINT, signal.SIGTERM):
            self.assertEqual(signal.getsignal(number), signal.SIG_DFL)


if __name__ == "__main__":
    absltest.main()
