"""Tests for promql."""

from absl.testing import absltest, parameterized

from tensorflow_serving.test_util import promql

_Selector = promql.Selector
_OK = promql.Matcher("status", "!=", "OK")


class PromqlTest(parameterized.TestCase):
    """Expressions as dashboards have them."""

    @parameterized.parameters(
        ("up", [_Selector("up")], ()),
        (
            'sum by (model, le) (rate(calls_total{status!="OK"}[5m]))',
            [_Selector("calls_total", (_OK,))],
            ("model", "le"),
        ),
        (
            "sum(rate(:a:b[$__rate_interval])) by (model) / 1e6 > 0.5",
            [_Selector(":a:b")],
            ("model",),
        ),
        (
            'a{status!="OK", model=~"$model",} * on (job) group_left (version) '
            "b or max(c) unless d offset 5m",
            [
                _Selector("a", (_OK, promql.Matcher("model", "=~", "$model"))),
                _Selector("b"),
                _Selector("c"),
                _Selector("d"),
            ],
            ("job", "version"),
        ),
        (
            "histogram_quantile(0.99, sum by (le) (rate(x_bucket[1m])))",
            [_Selector("x_bucket")],
            ("le",),
        ),
    )
    def test_names_are_found(
        self,
        expression: str,
        selectors: list[promql.Selector],
        groupings: tuple[str, ...],
    ) -> None:
        """Functions, numbers, ranges and texts are no metrics."""
        found = promql.names(expression)
        self.assertEqual(found.selectors, selectors)
        self.assertEqual(found.groupings, {*groupings})


if __name__ == "__main__":
    absltest.main()
