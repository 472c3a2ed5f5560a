"""Tests for line_limit."""

from absl.testing import absltest

from tensorflow_serving.util import line_limit


class LineLimitTest(absltest.TestCase):
    """Lines of many kinds."""

    def setUp(self) -> None:
        """Makes a limit."""
        super().setUp()
        self.limit = line_limit.LineLimit()

    def _log(self, num_lines: int, now: float) -> list[str | None]:
        return [
            self.limit.admit(f"Batch {number} failed", now)
            for number in range(num_lines)
        ]

    def test_ten_lines_of_a_kind_pass_in_ten_seconds(self) -> None:
        """Lines of one kind differ in their numbers."""
        lines = self._log(100, 5.0)
        self.assertEqual(lines[0], "Batch 0 failed")
        self.assertEqual(lines[9:11], ["Batch 9 failed", None])
        self.assertEqual(lines.count(None), 90)
        self.assertEqual(self._log(1, 14.9), [None])

    def test_later_line_says_how_many_were_left_out(self) -> None:
        """The number is written once; and then ten lines may pass again."""
        self._log(13, 5.0)
        lines = self._log(11, 15.0)
        self.assertEqual(
            lines[:2],
            [
                "Batch 0 failed (left out before: 3 of this kind)",
                "Batch 1 failed",
            ],
        )
        self.assertEqual(lines.count(None), 1)

    def test_the_same_line_passes_once(self) -> None:
        """One that differs in a number still passes."""
        lines = ["Model 1 failed", "Model 1 failed", "Model 2 failed"]
        self.assertEqual(
            [self.limit.admit(line, 5.0) for line in lines],
            ["Model 1 failed", None, "Model 2 failed"],
        )

    def test_number_is_known_if_no_line_comes_again(self) -> None:
        """It is there once the ten seconds are over, and only once."""
        self.assertIsNone(self.limit.seconds_to_counts(5.0))
        self._log(13, 5.0)
        self.assertEqual(self.limit.seconds_to_counts(6.0), 9.0)
        self.assertEqual(self.limit.counts(14.9), [])
        self.assertEqual(
            self.limit.counts(15.0),
            ["Batch 0 failed (left out since: 3 of this kind)"],
        )
        self.assertEqual(self.limit.counts(15.0), [])
        self.assertIsNone(self.limit.seconds_to_counts(15.0))
        self.assertEqual(self._log(1, 15.0), ["Batch 0 failed"])

    def test_lines_may_be_left_out_until_the_time_is_over(self) -> None:
        """Whoever waits for their number waits until then."""
        self._log(1, 5.0)
        self.assertEqual(self.limit.seconds_to_counts(6.0), 9.0)
        self.assertIsNone(self.limit.seconds_to_counts(15.0))

    def test_other_kinds_pass(self) -> None:
        """Each is counted by itself."""
        self._log(100, 5.0)
        self.assertEqual(self.limit.admit("Other", 5.0), "Other")

    def test_clock_that_is_set_back_begins_anew(self) -> None:
        """Otherwise nothing would be logged until it has caught up."""
        self._log(100, 5_000.0)
        self.assertIsNotNone(self._log(1, 1.0)[0])

    def test_kinds_are_forgotten_when_there_are_too_many(self) -> None:
        """Kinds are forgotten at a limit, as callers may choose them."""
        self._log(100, 5.0)
        for number in range(1_000):
            self.limit.admit("x" * number, 5.0)
        self.assertEqual(self._log(1, 5.0), ["Batch 0 failed"])


if __name__ == "__main__":
    absltest.main()
