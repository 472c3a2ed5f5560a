"""Tests for mnist_batching_flags."""

import os

from absl.testing import absltest, flagsaver, parameterized

from tensorflow_serving.example import mnist_batching_flags


class MnistBatchingFlagsTest(parameterized.TestCase):
    """How a server of MnistService batches calls."""

    @parameterized.parameters(
        {},
        {
            "max_batch_size": 7,
            "batch_timeout_micros": 0,
            "max_enqueued_batches": 3,
            "idle_means_go": False,
            "num_batch_threads": 2,
        },
    )
    def test_scheduler_gets_what_the_flags_say(self, **flags: int) -> None:
        """Each flag has a field of its name."""
        with flagsaver.flagsaver(**flags):
            options = mnist_batching_flags.scheduler_options()
        fields = vars(options.queue) | vars(options.threads)
        expected = {
            "max_batch_size": 64,
            "batch_timeout_micros": 1000,
            "max_enqueued_batches": 64,
            "idle_means_go": True,
            "num_batch_threads": os.cpu_count(),
            **flags,
        }
        for name, value in expected.items():
            self.assertEqual(fields[name], value, name)


if __name__ == "__main__":
    absltest.main()
