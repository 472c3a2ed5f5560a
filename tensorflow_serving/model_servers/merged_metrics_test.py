"""Tests for merged_metrics."""

from collections.abc import Mapping

from absl.testing import absltest, parameterized

from tensorflow_serving.model_servers import merged_metrics, metric_families

_Combine = metric_families.Combine
_SUM = _Combine.SUM


def _family(
    kind: str,
    series: Mapping[str, float],
    combine: metric_families.Combine = _SUM,
) -> metric_families.Family:
    family = metric_families.Family("f", kind, "", ("model",), combine)
    for model, value in series.items():
        family.add((model,), value)
    return family


class MergedMetricsTest(parameterized.TestCase):
    """Two workers, 0 and 1."""

    def setUp(self) -> None:
        """Starts without metrics."""
        super().setUp()
        self.merged = merged_metrics.MergedMetrics()

    def _put(self, worker: int, **calls: float) -> None:
        self.merged.put(worker, [_family("counter", calls)])

    def _found(self, *fresh: int) -> dict[metric_families.Labels, float]:
        (family,) = self.merged.families(fresh)
        return {labels: value for labels, (value,) in family.series.items()}

    def test_counts_are_summed(self) -> None:
        """Each worker has a part; one that does not answer has its last."""
        self._put(0, m=3, n=1)
        self._put(1, m=4)
        self._put(1, m=5)
        self.assertEqual(self._found(), {("m",): 8, ("n",): 1})

    def test_what_was_counted_stays_after_an_end(self) -> None:
        """No sum goes backwards: not at the end, nor at the next start."""
        self._put(0, m=3)
        self._put(1, m=4)
        for number in (3, 6, 7):
            self.merged.end(0)
            self.assertEqual(self._found()["m",], number + 4)
            self._put(0, m=1)
            self.assertEqual(self._found()["m",], number + 5)
            self._put(0, m=3 if number == 3 else 1)

    def test_what_a_worker_forgets_stays_while_another_has_it(self) -> None:
        """A version goes in one worker first: the sum does not lose a part."""
        self._put(0, m=3, n=1)
        self._put(1, m=4)
        self._put(0, n=1)
        self.assertEqual(self._found(), {("m",): 7, ("n",): 1})
        self._put(1, m=2)
        self.assertEqual(self._found()["m",], 9)

    def test_series_that_no_worker_has_ends(self) -> None:
        """It begins at zero again, and what was lost takes no room."""
        self._put(0, m=3)
        self._put(1, m=4)
        self.merged.end(0)
        self.merged.end(1)
        self.assertEqual(self._found(), {})
        self._put(0, m=1)
        self.assertEqual(self._found(), {("m",): 1})

    def test_histograms_are_counts(self) -> None:
        """Each bucket and the sum of the values add up, and stay."""
        for worker in (0, 1):
            family = metric_families.Family(
                "f", "histogram", "", (), bounds=(1,), series={(): [1, 2, 8.5]}
            )
            self.merged.put(worker, [family])
        self.merged.end(0)
        (found,) = self.merged.families([1])
        self.assertEqual(found.series, {(): [2, 4, 17]})

    @parameterized.parameters(
        (_Combine.SUM, {("m",): 5}),
        (_Combine.MAX, {("m",): 3}),
        (_Combine.APART, {("m", "0"): 3, ("m", "1"): 2}),
    )
    def test_gauges_are_those_of_workers_that_answer(
        self,
        combine: metric_families.Combine,
        expected: Mapping[metric_families.Labels, float],
    ) -> None:
        """A state is not twice as true, and a queue of the past is gone."""
        for worker, value in ((0, 3), (1, 2), (2, 7)):
            self.merged.put(worker, [_family("gauge", {"m": value}, combine)])
        self.assertEqual(self._found(0, 1), expected)
        self.merged.end(1)
        self.merged.end(0)
        self.assertEqual(self._found(0, 1), {})

    def test_counters_apart_are_not_kept(self) -> None:
        """The next process of a worker begins at zero."""
        family = _family("counter", {"m": 3}, _Combine.APART)
        self.merged.put(0, [family])
        self.merged.end(0)
        family.series["m",] = [1]
        self.merged.put(0, [family])
        self.assertEqual(self._found(0), {("m", "0"): 1})

    def test_what_was_put_does_not_change(self) -> None:
        """A sum is a value of its own."""
        self._put(0, m=3)
        self._put(1, m=4)
        for _ in range(2):
            self.assertEqual(self._found()["m",], 7)


if __name__ == "__main__":
    absltest.main()
