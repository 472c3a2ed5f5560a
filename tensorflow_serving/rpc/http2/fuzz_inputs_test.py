"""Tests for conversations made from random numbers."""

from absl.testing import absltest

from tensorflow_serving.rpc.http2 import fuzz_inputs


class FuzzInputsTest(absltest.TestCase):
    """Inputs of a seed."""

    def _inputs(self, seed: int, count: int) -> list[fuzz_inputs.FuzzInput]:
        inputs = fuzz_inputs.FuzzInputs(seed)
        return [inputs.next() for _ in range(count)]

    def test_same_seed_makes_the_same_inputs(self) -> None:
        """A failure can be repeated."""
        self.assertEqual(self._inputs(1, 100), self._inputs(1, 100))

    def test_another_seed_makes_other_inputs(self) -> None:
        """A longer search is not the same search again."""
        self.assertNotEqual(self._inputs(1, 100), self._inputs(2, 100))

    def test_inputs_differ(self) -> None:
        """Nearly every input is one that was not there before."""
        inputs = [each.data for each in self._inputs(1, 1_000)]
        self.assertGreater(len(set(inputs)), 900)

    def test_some_inputs_are_valid(self) -> None:
        """One of a score of inputs is a conversation without mutations."""
        inputs = self._inputs(1, 1_000)
        num_valid = sum(each.is_valid for each in inputs)
        self.assertIn(num_valid, range(40, 60))


if __name__ == "__main__":
    absltest.main()
