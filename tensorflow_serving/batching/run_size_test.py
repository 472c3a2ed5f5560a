"""Tests for run_size."""

from absl.testing import absltest, parameterized

from tensorflow_serving.batching import run_size


class RunSizeTest(parameterized.TestCase):
    """Numbers of rows."""

    @parameterized.parameters(
        (0, 0), (1, 1), (1000, 1000), (1024, 1024), (1025, 2048), (5000, 8192)
    )
    def test_large_numbers_are_powers_of_two(
        self, num_rows: int, expected: int
    ) -> None:
        """There are few different ones, and each bucket has its own."""
        self.assertEqual(run_size.rounded(num_rows), expected)

    def test_runs_are_counted_by_size(self) -> None:
        """Sums are exact, also those of large runs."""
        counts = run_size.RunCounts()
        for num_rows, num_padding_rows in ((3, 1), (3, 1), (4, 0), (3000, 0)):
            counts.add(num_rows, num_padding_rows)
        found = counts.by_size()
        self.assertEqual(
            found,
            {
                run_size.RunSize(3, 1): 2,
                run_size.RunSize(4, 0): 1,
                run_size.RunSize(4096, 0): 1,
            },
        )
        self.assertEqual((counts.num_rows, counts.num_padding_rows), (3010, 2))
        counts.add(4, 0)
        self.assertEqual(found[run_size.RunSize(4, 0)], 1)


if __name__ == "__main__":
    absltest.main()
