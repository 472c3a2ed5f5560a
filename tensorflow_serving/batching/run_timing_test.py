"""Tests for run_timing."""

from absl.testing import absltest

from tensorflow_serving.batching import run_timing


class OverallTest(absltest.TestCase):
    """The timing of a task that ran in parts."""

    def test_timing_of_parts_is_the_largest_batch_and_the_whole_time(
        self,
    ) -> None:
        """Parts count from the first start to the last end."""
        parts = [
            run_timing.RunTiming(2, 3, 1.0, 2.0, 3.0),
            run_timing.RunTiming(4, 0, 0.5, 2.5, 4.0),
        ]
        self.assertEqual(
            run_timing.overall(parts),
            run_timing.RunTiming(4, 3, 0.5, 2.0, 4.0),
        )


if __name__ == "__main__":
    absltest.main()
