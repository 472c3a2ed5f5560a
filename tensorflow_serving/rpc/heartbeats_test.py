"""Tests for heartbeats."""

import signal

from absl.testing import absltest

from tensorflow_serving.rpc import heartbeats


class HeartbeatsTest(absltest.TestCase):
    """A worker that was ready at 100 s and may be silent for 10 s."""

    def setUp(self) -> None:
        """Makes it."""
        super().setUp()
        self.heartbeats = heartbeats.Heartbeats(10.0, 100.0)

    def test_worker_that_sends_heartbeats_gets_no_signal(self) -> None:
        """Each heartbeat gives it the whole time again."""
        for now in (105.0, 109.0, 118.0):
            self.assertIsNone(self.heartbeats.signal_due(now))
            self.heartbeats.record(now)
            self.assertEqual(self.heartbeats.deadline, now + 10)

    def test_silent_worker_is_aborted_and_then_killed(self) -> None:
        """It has two seconds for its stacks, and gets each signal once."""
        self.assertIsNone(self.heartbeats.signal_due(109.9))
        self.assertEqual(self.heartbeats.signal_due(110.0), signal.SIGABRT)
        self.assertEqual(self.heartbeats.deadline, 112.0)
        self.assertIsNone(self.heartbeats.signal_due(111.9))
        self.assertEqual(self.heartbeats.signal_due(112.0), signal.SIGKILL)
        self.assertIsNone(self.heartbeats.deadline)
        self.assertIsNone(self.heartbeats.signal_due(1000.0))

    def test_heartbeat_after_the_first_signal_is_too_late(self) -> None:
        """The worker is ending, and may hang while it does."""
        self.assertEqual(self.heartbeats.signal_due(110.0), signal.SIGABRT)
        self.heartbeats.record(111.0)
        self.assertEqual(self.heartbeats.signal_due(112.0), signal.SIGKILL)

    def test_worker_without_heartbeats_may_be_silent(self) -> None:
        """A timeout of 0 means that it sends none."""
        silent = heartbeats.Heartbeats(0.0, 100.0)
        self.assertIsNone(silent.deadline)
        self.assertIsNone(silent.signal_due(1e9))


if __name__ == "__main__":
    absltest.main()
