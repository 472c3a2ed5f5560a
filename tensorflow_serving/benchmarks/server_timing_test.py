"""Tests for server_timing."""

from absl.testing import absltest, parameterized

from tensorflow_serving.benchmarks import server_timing

_METADATA = {
    "serving-queue-micros": "10",
    "serving-batch-micros": "20",
    "serving-run-micros": "30",
    "serving-total-micros": "70",
    "serving-batch-size": "4",
}


class ServerTimingTest(parameterized.TestCase):
    """What a server says of the time of a call."""

    def test_texts_are_numbers(self) -> None:
        """Metadata of others does not matter."""
        timing = server_timing.parse([("x", "y"), *_METADATA.items()])
        self.assertEqual(
            timing, server_timing.ServerTiming(10.0, 20.0, 30.0, 70.0, 4.0)
        )

    @parameterized.parameters(*_METADATA)
    def test_server_that_does_not_say_all_says_nothing(self, key: str) -> None:
        """So do older ones."""
        rest = {**_METADATA}
        del rest[key]
        self.assertIsNone(server_timing.parse(rest.items()))
        bad = {**_METADATA, key: "?"}
        self.assertIsNone(server_timing.parse(bad.items()))

    def test_mean_is_that_of_each_figure(self) -> None:
        """There is none of nothing."""
        self.assertEqual(
            server_timing.mean(
                [
                    server_timing.ServerTiming(1.0, 2.0, 3.0, 6.0, 1.0),
                    server_timing.ServerTiming(3.0, 4.0, 5.0, 12.0, 8.0),
                ]
            ),
            server_timing.ServerTiming(2.0, 3.0, 4.0, 9.0, 4.5),
        )
        self.assertIsNone(server_timing.mean([]))


if __name__ == "__main__":
    absltest.main()
