"""Tests for loads."""

from absl.testing import absltest, parameterized

from tensorflow_serving.benchmarks import loads
from tensorflow_serving.util import errors


class ClosedLoadTest(parameterized.TestCase):
    """Calls in flight."""

    @parameterized.parameters(
        (1, 1), (10, 1), (16, 1), (32, 2), (64, 4), (96, 6), (127, 1), (256, 8)
    )
    def test_connections_share_the_calls_evenly(
        self, concurrency: int, num_connections: int
    ) -> None:
        """At least 16 on each, unless there is one."""
        load = loads.ClosedLoad(concurrency)
        self.assertEqual(load.num_connections, num_connections)


class ParseTargetTest(parameterized.TestCase):
    """The flag that names a server to compare with."""

    def test_parts_are_separated_by_commas(self) -> None:
        """The size of an answer is not known."""
        self.assertEqual(
            loads.parse_target("triton,localhost:8101,/a.B/C,body"),
            loads.Target("triton", "localhost:8101", "/a.B/C", "body", 0),
        )

    @parameterized.parameters("x", "a,b,/c", "a,b,c,d", "a,b,/c,", "a,b,/c,d,e")
    def test_other_forms_are_errors(self, text: str) -> None:
        """They name the flag."""
        with self.assertRaisesRegex(errors.InvalidArgumentError, "--target"):
            loads.parse_target(text)


if __name__ == "__main__":
    absltest.main()
