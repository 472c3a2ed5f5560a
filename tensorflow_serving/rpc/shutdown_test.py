"""Tests for shutdown; mnist_server_hangs_test has ends that take too long."""

import os
import signal

from absl.testing import absltest, parameterized

from tensorflow_serving.rpc import shutdown
from tensorflow_serving.util import errors, signals


class _FakeServer:
    """Remembers how it was stopped."""

    def __init__(self) -> None:
        """Runs."""
        self.stops: list[tuple[float, float]] = []

    def stop(self, grace_seconds: float, *, drain_delay_seconds: float) -> bool:
        """Records the times."""
        self.stops.append((grace_seconds, drain_delay_seconds))
        return True


class ShutdownTest(parameterized.TestCase):
    """Tests of the times that an end has."""

    def test_server_is_stopped_after_the_signal(self) -> None:
        """It gets the grace and the delay that it was given."""
        termination = signals.Termination()
        self.addCleanup(termination.close)
        server = _FakeServer()
        os.kill(os.getpid(), signal.SIGTERM)
        shutdown.Shutdown(
            drain_delay_seconds=1, grace_seconds=20
        ).wait_and_stop(server, termination)
        self.assertEqual(server.stops, [(20, 1)])

    def test_process_has_two_seconds_more_than_calls(self) -> None:
        """Delay and grace are for calls; then there is an end to make."""
        own = shutdown.Shutdown(drain_delay_seconds=1, grace_seconds=20)
        self.assertEqual(own.seconds_with_calls, 21)
        self.assertEqual(own.max_seconds, 23)

    @parameterized.parameters(-1.0, float("nan"))
    def test_time_that_is_none_is_refused(self, seconds: float) -> None:
        """The text names the field, the rule and the value."""
        with self.assertRaisesRegex(
            errors.InvalidArgumentError,
            f"grace_seconds must be at least 0; got {seconds}",
        ):
            shutdown.Shutdown(grace_seconds=seconds)


if __name__ == "__main__":
    absltest.main()
