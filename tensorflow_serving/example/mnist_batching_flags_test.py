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
    def test_scheduler_and_factory_are_told_the_same(
        self, **flags: int
    ) -> None:
        """What the flags say; and failed batches are run again."""
        with flagsaver.flagsaver(**flags):
            options = mnist_batching_flags.scheduler_options()
            parameters = mnist_batching_flags.batching_parameters()
        queue, threads = options.queue, options.threads
        self.assertEqual(
            {
                field.name: wrapper.value
                for field, wrapper in parameters.ListFields()
            },
            {
                "max_batch_size": queue.max_batch_size,
                "batch_timeout_micros": queue.batch_timeout_micros,
                "max_enqueued_batches": queue.max_enqueued_batches,
                "idle_means_go": queue.idle_means_go,
                "num_batch_threads": threads.num_batch_threads,
                "thread_pool_name": threads.thread_pool_name,
                "rerun_failed_batches": True,
            },
        )
        expected = {
            "max_batch_size": 64,
            "batch_timeout_micros": 1000,
            "max_enqueued_batches": 64,
            "idle_means_go": True,
            "num_batch_threads": os.cpu_count(),
            **flags,
        }
        for name, value in expected.items():
            self.assertEqual(getattr(parameters, name).value, value, name)


if __name__ == "__main__":
    absltest.main()
