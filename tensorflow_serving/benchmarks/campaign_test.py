"""Tests for campaign; serving_benchmark_test carries out a plan."""

from absl.testing import absltest

from tensorflow_serving.benchmarks import campaign
from tensorflow_serving.util import errors


class PlanTest(absltest.TestCase):
    """What to measure."""

    def test_rounds_are_at_least_one(self) -> None:
        """There is no median of nothing."""
        with self.assertRaisesRegex(errors.InvalidArgumentError, "rounds"):
            campaign.Plan(rounds=0)

    def test_there_is_a_closed_load(self) -> None:
        """The capacity is measured with one."""
        with self.assertRaisesRegex(
            errors.InvalidArgumentError, "concurrencies"
        ):
            campaign.Plan(concurrencies=())

    def test_soak_is_long(self) -> None:
        """The memory is compared with that after 10,000 calls."""
        with self.assertRaisesRegex(
            errors.InvalidArgumentError, "soak_requests must be more than 10000"
        ):
            campaign.Plan(soak_requests=10_000)


if __name__ == "__main__":
    absltest.main()
