"""Tests for server_timing."""

from absl.testing import absltest, parameterized

from tensorflow_serving.benchmarks import server_timing

_METADATA = {
    "serving-queue-micros": "10",
    "serving-run-micros": "30",
    "serving-batch-size": "4",
}


class ServerTimingTest(parameterized.TestCase):
    """Trailing metadata."""

    def test_timing_is_in_the_metadata(self) -> None:
        """Each stage is a number; other metadata do not matter."""
        timing = server_timing.parse([("x", "y"), *_METADATA.items()])
        self.assertEqual(timing, server_timing.ServerTiming(10.0, 30.0, 4.0))

    @parameterized.parameters(*_METADATA)
    def test_incomplete_timing_is_none(self, key: str) -> None:
        """A server that leaves out a stage, as older ones do, has no timing."""
        rest = {**_METADATA}
        del rest[key]
        self.assertIsNone(server_timing.parse(rest.items()))
        bad = {**_METADATA, key: "?"}
        self.assertIsNone(server_timing.parse(bad.items()))


if __name__ == "__main__":
    absltest.main()
