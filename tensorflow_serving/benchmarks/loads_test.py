"""Tests for loads."""

from absl.testing import absltest, parameterized

from tensorflow_serving.benchmarks import loads


class LoadsTest(parameterized.TestCase):
    """Connections and arrivals of loads."""

    @parameterized.parameters(
        (1, 1), (8, 1), (16, 1), (32, 2), (64, 4), (127, 1), (256, 8), (1000, 8)
    )
    def test_connections_share_the_calls_evenly(
        self, concurrency: int, num_connections: int
    ) -> None:
        """Each connection has 16 calls in flight, or more if there are 8."""
        load = loads.ClosedLoad(concurrency)
        self.assertEqual(load.num_connections, num_connections)

    def test_connections_may_be_given(self) -> None:
        """The label has the calls in flight on each of them."""
        load = loads.ClosedLoad(256, connections=64)
        self.assertEqual(load.num_connections, 64)
        self.assertEqual(str(load), "closed 64 x 4")

    def test_closed_load_ends_after_its_calls_or_its_time(self) -> None:
        """A load without a length goes on until its calls are made."""
        by_number = loads.ClosedLoad(8, num_calls=3).arrivals()
        self.assertEqual(len(by_number.due(1e9)), 3)
        self.assertEqual(by_number.due(2e9), [])
        by_time = loads.ClosedLoad(8, seconds=2.0).arrivals()
        self.assertEqual(len(by_time.due(1.0)), 8)
        by_time.ended()
        self.assertEqual(by_time.due(2.0), [])

    def test_open_load_has_its_rate(self) -> None:
        """As many calls are due as the rate says, give or take chance."""
        due = loads.OpenLoad(1000.0, seconds=2.0).arrivals().due(2.0)
        self.assertAlmostEqual(len(due), 2000, delta=200)


if __name__ == "__main__":
    absltest.main()
