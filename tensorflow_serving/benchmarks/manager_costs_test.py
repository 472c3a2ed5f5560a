"""Tests for manager_costs."""

from absl.testing import absltest, parameterized

from tensorflow_serving.benchmarks import manager_costs


class ManagerCostsTest(parameterized.TestCase):
    """A run with few servables."""

    @parameterized.named_parameters(("alone", False), ("with_files", True))
    def test_all_phases_are_measured(self, has_files: bool) -> None:
        """Three models start, and one of them changes."""
        if has_files:
            costs = manager_costs.measure_with_files(
                3, 0.01, self.create_tempdir().full_path
            )
        else:
            costs = manager_costs.measure(3, 0.01)
        self.assertEqual(costs.num_models, 3)
        self.assertGreater(costs.start_seconds, 0)
        self.assertGreater(costs.start_cpu_seconds, 0)
        self.assertGreater(costs.change_cpu_seconds, 0)
        self.assertGreaterEqual(costs.idle_cpu_seconds_per_second, 0)


if __name__ == "__main__":
    absltest.main()
