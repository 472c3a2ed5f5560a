"""Tests for backoff."""

from absl.testing import absltest, parameterized

from tensorflow_serving.rpc import backoff as backoff_lib


class BackoffTest(parameterized.TestCase):
    """The delays before restarts."""

    def test_delay_doubles_up_to_half_a_minute(self) -> None:
        """The delay doubles up to half a minute, and stays there."""
        backoff = backoff_lib.Backoff()
        delays = [backoff.delay_seconds(0) for _ in range(12)]
        self.assertEqual(
            [round(delay, 6) for delay in delays],
            [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30, 30, 30],
        )

    @parameterized.parameters((59.9, 0.4), (60.0, 0.1), (1e6, 0.1))
    def test_good_minute_is_a_new_beginning(
        self, good_seconds: float, delay_seconds: float
    ) -> None:
        """Less than a minute is not; the next delay is twice that one."""
        backoff = backoff_lib.Backoff()
        backoff.delay_seconds(0)
        backoff.delay_seconds(0)
        self.assertAlmostEqual(
            backoff.delay_seconds(good_seconds), delay_seconds
        )
        self.assertAlmostEqual(backoff.delay_seconds(0), 2 * delay_seconds)


if __name__ == "__main__":
    absltest.main()
