"""Tests for call_sampler."""

import itertools
import random

from absl.testing import absltest, parameterized

from tensorflow_serving.model_servers import call_sampler


class CallSamplerTest(parameterized.TestCase):
    """Tests with random numbers that are the same each time."""

    def test_all_calls_are_chosen_at_rate_one(self) -> None:
        """No call is left out."""
        sampler = call_sampler.CallSampler(1)
        self.assertEqual(sampler.choose(3), [0, 1, 2])
        self.assertEqual(sampler.choose(1), [0])

    @parameterized.parameters(0.0, 1e-300)
    def test_no_call_is_chosen_at_rate_zero(self, rate: float) -> None:
        """A rate that is next to nothing does no harm."""
        sampler = call_sampler.CallSampler(rate, random.Random(1).random)
        self.assertEqual(sampler.choose(1_000_000), [])

    @parameterized.parameters(0.9, 0.5, 0.01)
    def test_share_and_gaps_are_those_of_independent_choices(
        self, rate: float
    ) -> None:
        """The share is the rate, also of calls right after a chosen one."""
        sampler = call_sampler.CallSampler(rate, random.Random(2).random)
        total = int(20_000 / rate)
        chosen = {*sampler.choose(total)}
        num_pairs = sum(each + 1 in chosen for each in chosen)
        self.assertAlmostEqual(len(chosen) / total / rate, 1, delta=0.03)
        self.assertAlmostEqual(num_pairs / len(chosen), rate, delta=0.01)

    def test_it_does_not_matter_how_calls_come(self) -> None:
        """Calls one by one get the choices that they get together."""
        together, alone = (
            call_sampler.CallSampler(0.3, random.Random(3).random)
            for _ in range(2)
        )
        sizes = itertools.chain.from_iterable(itertools.repeat([1, 0, 7], 50))
        start, chosen = 0, []
        for size in sizes:
            chosen += [start + each for each in alone.choose(size)]
            start += size
        self.assertEqual(chosen, together.choose(start))


if __name__ == "__main__":
    absltest.main()
