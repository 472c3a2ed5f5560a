"""Tests for metric_families."""

import copy

from absl.testing import absltest
from prometheus_client import parser

from tensorflow_serving.model_servers import histograms, metric_families

_Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def _calls(*labels: str) -> metric_families.Family:
    return metric_families.Family("calls_total", "counter", "Calls.", labels)


def _seconds(*labels: str) -> metric_families.Family:
    family = metric_families.Family(
        "seconds", "histogram", "Times.", labels, bounds=(0.5, 2.0)
    )
    histogram = histograms.Histogram((0.5, 2.0))
    histogram.add([0.25, 1, 1, 7])
    family.add_histogram(tuple("m" for _ in labels), histogram)
    return family


def _samples(*families: metric_families.Family) -> _Samples:
    """Returns what Prometheus reads."""
    text = metric_families.text(families).decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in parser.text_string_to_metric_families(text)
        for sample in family.samples
    }


class MetricFamiliesTest(absltest.TestCase):
    """Families with one or two labels."""

    def test_labels_are_read_as_they_were_written(self) -> None:
        """Quotes, backslashes, new lines and other scripts do no harm."""
        hostile = 'a"b\\n\n} 7\n# TYPE x y\u2028ü{,='
        calls = _calls("model", "API")
        calls.add((hostile, "Predict"), 3)
        calls.add((hostile, "Predict"), 2)
        self.assertEqual(
            _samples(calls),
            {("calls_total", (("API", "Predict"), ("model", hostile))): 5},
        )

    def test_series_without_labels_has_no_braces(self) -> None:
        """A histogram has the label of its bucket alone."""
        calls = _calls()
        calls.add((), 3)
        text = metric_families.text([calls, _seconds()]).decode()
        self.assertIn("\ncalls_total 3\n", text)
        self.assertIn('\nseconds_bucket{le="0.5"} 1\n', text)
        self.assertIn("\nseconds_count 4\n", text)

    def test_histogram_counts_all_up_to_a_bound(self) -> None:
        """The last bucket has all, and the sum is that of the values."""
        self.assertEqual(
            _samples(_seconds("model")),
            {
                ("seconds_bucket", (("le", "0.5"), ("model", "m"))): 1,
                ("seconds_bucket", (("le", "2"), ("model", "m"))): 3,
                ("seconds_bucket", (("le", "+Inf"), ("model", "m"))): 4,
                ("seconds_count", (("model", "m"),)): 4,
                ("seconds_sum", (("model", "m"),)): 9.25,
            },
        )

    def test_family_has_its_type_and_its_help(self) -> None:
        """The help is one line, whatever is in it."""
        calls = _calls()
        calls.help = "One\nline with a \\."
        self.assertEqual(
            metric_families.text([calls]),
            b"# HELP calls_total One\\nline with a \\\\.\n"
            b"# TYPE calls_total counter\n",
        )

    def test_other_process_gets_the_same(self) -> None:
        """All of a family goes over, in one line of any labels."""
        calls = _calls("model")
        calls.combine = metric_families.Combine.MAX
        calls.add(("a\nb\u2028",), 2.5)
        families = [calls, _seconds("model"), _seconds()]
        packed = metric_families.pack(families)
        self.assertEqual(metric_families.unpack(packed), families)
        self.assertEqual(packed.count(b"\n"), 2)

    def test_same_labels_are_summed(self) -> None:
        """Histograms add up bucket by bucket; what was added stays as it is."""
        seconds = _seconds("model")
        before = copy.deepcopy(seconds.series["m",])
        histogram = histograms.Histogram((0.5, 2.0))
        histogram.add([0.25])
        seconds.add_histogram(("m",), histogram)
        self.assertEqual(before, [1, 2, 1, 9.25])
        self.assertEqual(seconds.series["m",], [2, 2, 1, 9.5])
        self.assertEqual(histogram.counts, [1, 0, 0])
        self.assertEqual(seconds.empty_copy().series, {})


if __name__ == "__main__":
    absltest.main()
