"""Tests for machine."""

from absl.testing import absltest

from tensorflow_serving.benchmarks import machine


class MachineTest(absltest.TestCase):
    """What a reader of figures must know."""

    def test_facts_name_the_machine_and_the_versions(self) -> None:
        """Of what decides about the figures."""
        facts = machine.facts()
        for name in ("cpus", "python", "grpcio", "tensorflow"):
            self.assertTrue(facts[name], name)


if __name__ == "__main__":
    absltest.main()
