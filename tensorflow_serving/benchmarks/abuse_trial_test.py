"""Tests for abuse_trial."""

import os

from absl.testing import absltest

from tensorflow_serving.benchmarks import abuse_trial


class AbuseTrialTest(absltest.TestCase):
    """Short trials, whose figures mean nothing."""

    def test_trial_has_figures_of_both_clients(self) -> None:
        """A trial measures the honest client, the server and what it did."""
        abuses = {each.name: each for each in abuse_trial.all_abuses()}
        trial = abuse_trial.run(abuses["ping_flood"], seconds=0.3)
        self.assertGreater(trial.alone_seconds, 0)
        self.assertGreaterEqual(trial.tail_seconds, trial.beside_seconds)
        self.assertGreaterEqual(trial.peak_bytes, trial.before_bytes)
        self.assertIn("GOAWAY ENHANCE_YOUR_CALM", trial.ends)
        self.assertRegex(
            abuse_trial.line(trial),
            r"^ping_flood +\d+\.\d\d ms +\d+\.\d\d ms .* ENHANCE_YOUR_CALM",
        )

    def test_abuse_of_tls_has_a_server_with_tls(self) -> None:
        """An abuse of TLS meets a server with TLS."""
        abuses = {each.name: each for each in abuse_trial.all_abuses()}
        trial = abuse_trial.run(abuses["half_tls"], seconds=0.3)
        self.assertEqual(trial.ends, {"open": 1_000})

    def test_first_one_is_no_abuse(self) -> None:
        """The first one is an ordinary client with many calls."""
        self.assertEqual(abuse_trial.all_abuses()[0].name, "ordinary_calls")

    def test_memory_is_that_of_a_process(self) -> None:
        """The memory of a process is at most its peak."""
        now = abuse_trial.memory_bytes(os.getpid(), "VmRSS")
        self.assertGreaterEqual(
            abuse_trial.memory_bytes(os.getpid(), "VmHWM"), now
        )
        with self.assertRaisesRegex(ValueError, "VmNothing"):
            abuse_trial.memory_bytes(os.getpid(), "VmNothing")


if __name__ == "__main__":
    absltest.main()
