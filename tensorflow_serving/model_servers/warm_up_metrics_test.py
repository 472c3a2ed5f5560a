"""Tests for warm_up_metrics."""

from absl.testing import absltest

from tensorflow_serving.model_servers import warm_up_metrics
from tensorflow_serving.servables.tensorflow import model_warm_up
from tensorflow_serving.test_util import fake_clock
from tensorflow_serving.util import errors

_OK = model_warm_up.Outcome(3, None)


class WarmUpMetricsTest(absltest.TestCase):
    """Warm-ups on a clock that the test moves."""

    def setUp(self) -> None:
        """Makes the clock."""
        super().setUp()
        self.clock = fake_clock.FakeClock()
        self.metrics = warm_up_metrics.WarmUpMetrics(self.clock)

    def _measure(self, path: str, outcome: model_warm_up.Outcome) -> None:
        with self.metrics.measuring(path) as ended:
            self.clock.advance_micros(500)
            ended(outcome)

    def _found(self) -> dict[tuple[str, str], tuple[int, float, int]]:
        """Returns number, microseconds and requests, by path and status."""
        return {
            (key.path, key.status): (
                sum(count.latency.counts),
                round(count.latency.total),
                count.num_requests,
            )
            for key, count in self.metrics.snapshot().items()
        }

    def test_warm_ups_are_counted_by_how_they_ended(self) -> None:
        """One with a warning has the status of what went wrong."""
        self._measure("a", _OK)
        self._measure("a", _OK)
        self._measure(
            "a", model_warm_up.Outcome(1, errors.DataLossError("no file"))
        )
        self._measure("b", model_warm_up.Outcome(0, None))
        self.assertEqual(
            self._found(),
            {
                ("a", "OK"): (2, 1000, 6),
                ("a", "DATA_LOSS"): (1, 500, 1),
                ("b", "OK"): (1, 500, 0),
            },
        )

    def test_warm_up_that_raises_is_counted(self) -> None:
        """The error goes on."""
        with (
            self.assertRaises(errors.FailedPreconditionError),
            self.metrics.measuring("a"),
        ):
            self.clock.advance_micros(500)
            raise errors.FailedPreconditionError("hangs")
        self.assertEqual(
            self._found(), {("a", "FAILED_PRECONDITION"): (1, 500, 0)}
        )

    def test_only_the_last_have_counts(self) -> None:
        """However many models come and go, there are few."""
        for number in range(2000):
            self._measure(f"/{number}/1", _OK)
            self._measure("/again/1", _OK)
        found = self._found()
        self.assertEqual(len(found), 1000)
        self.assertEqual(found["/again/1", "OK"][0], 2000)
        self.assertNotIn(("/1000/1", "OK"), found)

    def test_only_the_last_versions_of_a_model_have_counts(self) -> None:
        """The page of metrics does not grow with each of them."""
        self._measure("/other/1", _OK)
        for number in range(100):
            self._measure(f"/m/{number}", _OK)
        found = self._found()
        self.assertEqual(len(found), 33)
        self.assertIn(("/other/1", "OK"), found)
        self.assertIn(("/m/99", "OK"), found)


if __name__ == "__main__":
    absltest.main()
