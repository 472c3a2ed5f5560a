"""Tests for plot."""

import collections
import os

from absl.testing import absltest

from tensorflow_serving.benchmarks import figures, plot, results


class PlotTest(absltest.TestCase):
    """A picture of latency against load."""

    def test_picture_is_a_png_file(self) -> None:
        """Also where a load brought no answers."""
        rows = [
            results.Row(
                results.OURS,
                "open",
                "load_client",
                [
                    figures.Figures(
                        num_calls=1,
                        num_checked=0,
                        num_wrong=0,
                        load_errors=collections.Counter(),
                        check_errors=collections.Counter(),
                        offered_per_second=1.0,
                        answers_per_second=1.0,
                        p50_ms=p50_ms,
                        p90_ms=1.0,
                        p99_ms=2.0,
                        p999_ms=2.0,
                        late_p99_ms=0.0,
                    )
                ],
            )
            for p50_ms in (1.0, float("nan"), 3.0)
        ]
        path = os.path.join(self.create_tempdir().full_path, "picture.png")
        plot.latency_against_load("title", rows, path)
        with open(path, "rb") as file:
            self.assertEqual(file.read(8), b"\x89PNG\r\n\x1a\n")


if __name__ == "__main__":
    absltest.main()
