"""Tests for progress."""

import io
from unittest import mock

from absl.testing import absltest

from tensorflow_serving.util import progress


class _Terminal(io.StringIO):
    """A file that says that it is a terminal."""

    def isatty(self) -> bool:
        """Returns True."""
        return True


class ProgressTest(absltest.TestCase):
    """Progress of something that takes a while."""

    def test_terminal_gets_a_bar(self) -> None:
        """A terminal gets a bar with the number of finished items."""
        out = _Terminal()
        bar = progress.bar("Working", 10, "pieces", out)
        bar.update(4)
        bar.close()
        self.assertIn("Working", out.getvalue())
        self.assertIn("/10", out.getvalue())

    def test_pipe_gets_a_line_every_two_seconds(self) -> None:
        """A pipe gets whole lines, and nothing for what is done at once."""
        out = io.StringIO()
        times = iter([0.0, 1.9, 2.0, 3.9, 4.0, 4.1])
        with mock.patch("time.monotonic", lambda: next(times)):
            bar = progress.bar("Working", 10, "pieces", out)
            for _ in range(5):
                bar.update(2)
            bar.close()
        self.assertEqual(
            out.getvalue(),
            "Working: 4 of 10 pieces\nWorking: 8 of 10 pieces\n",
        )

    def test_bar_starts_again_after_a_reset(self) -> None:
        """A reset starts the bar again, with another total if it is given."""
        out = io.StringIO()
        times = iter([0.0, 1.0, 2.0])
        with mock.patch("time.monotonic", lambda: next(times)):
            bar = progress.bar("Working", 10, "pieces", out)
            bar.update(9)
            bar.reset(20)
            bar.update(1)
        self.assertEqual(out.getvalue(), "Working: 1 of 20 pieces\n")


if __name__ == "__main__":
    absltest.main()
