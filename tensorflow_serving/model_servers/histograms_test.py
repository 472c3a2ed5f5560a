"""Tests for histograms."""

from absl.testing import absltest

from tensorflow_serving.model_servers import histograms


class HistogramsTest(absltest.TestCase):
    """Counts of values by size."""

    def test_value_is_counted_below_its_bound(self) -> None:
        """A bound belongs to the bucket below it; the last one has none."""
        histogram = histograms.Histogram([1, 10])
        histogram.add([0.5, 1, 1.5, 10, 11, 1000])
        histogram.add_many(10, 3)
        self.assertEqual(histogram.counts, [2, 5, 2])
        self.assertEqual(histogram.total, 0.5 + 1 + 1.5 + 10 + 11 + 1000 + 30)

    def test_many_values_are_counted_as_few(self) -> None:
        """Neither the way nor the number of values makes a difference."""
        values = [-1.0, 0.5, 1, 1.5, 10, 11, 1000]
        many = histograms.Histogram([1, 10])
        many.add(values * 20)
        few = histograms.Histogram([1, 10])
        for _ in range(20):
            few.add(values)
        self.assertEqual(many.counts, few.counts)
        self.assertAlmostEqual(many.total, few.total)
        self.assertIs(type(many.counts[0]), int)

    def test_copy_stays_as_it_is(self) -> None:
        """A copy does not count what comes later."""
        counted = histograms.Histograms[str]([1])
        counted["a"].add([0.5])
        copies = counted.copies()
        counted["a"].add([0.5])
        counted["b"].add([2])
        self.assertEqual(list(copies), ["a"])
        self.assertEqual(copies["a"].counts, [1, 0])
        self.assertEqual(counted["b"].counts, [0, 1])

    def test_values_of_another_are_counted(self) -> None:
        """Counts and sums add up; the other one stays as it is."""
        one, other = (histograms.Histogram([1, 10]) for _ in range(2))
        one.add([0.5, 2])
        other.add([2, 11])
        one.add_all(other)
        self.assertEqual((one.counts, one.total), ([1, 2, 1], 15.5))
        self.assertEqual((other.counts, other.total), ([0, 1, 1], 13))


if __name__ == "__main__":
    absltest.main()
