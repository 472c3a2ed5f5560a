"""Tests for batching sessions with threads of their own."""

import concurrent.futures

import numpy as np
from absl.testing import absltest

from tensorflow_serving.batching import (
    basic_batch_scheduler,
    batch_queue,
    batch_scheduler_retrier,
    batching_session,
)
from tensorflow_serving.test_util import fake_session
from tensorflow_serving.util import errors


class RetryingBasicBatchingSessionTest(absltest.TestCase):
    """The session with threads of its own."""

    def test_many_callers_get_their_own_rows(self) -> None:
        """More callers than the queue has room for wait in the retrier."""
        session = batching_session.create_retrying_basic_batching_session(
            basic_batch_scheduler.Options(
                batch_queue.QueueOptions(max_batch_size=2)
            ),
            batch_scheduler_retrier.Options(max_time_micros=60_000_000),
            batching_session.Options((1, 2)),
            fake_session.FakeSession(),
        )

        def call(number: int) -> float:
            (y,) = session.run(["y:0"], {"x:0": np.array([float(number)])})
            return float(y[0])

        with concurrent.futures.ThreadPoolExecutor(16) as callers:
            results = list(callers.map(call, range(200)))
        session.close()
        self.assertEqual(results, [x / 2 + 2 for x in range(200)])

    def test_callable_runs_in_batches_as_well(self) -> None:
        """A callable takes its feeds in the order in which they were named."""
        session = batching_session.create_retrying_basic_batching_session(
            basic_batch_scheduler.Options(),
            batch_scheduler_retrier.Options(),
            batching_session.Options((4, 32)),
            fake_session.FakeSession(),
        )
        function = session.make_callable(["y:0"], ["z:0", "x:0"])
        (y,) = function([9.0], [2.0])
        session.close()
        self.assertEqual(y.tolist(), [3.0])
        self.assertEqual(session.statistics().num_padding_rows, 3)

    def test_allowed_sizes_must_end_with_the_maximum(self) -> None:
        """Wrong sizes are INVALID_ARGUMENT before a thread is started."""
        with self.assertRaises(errors.InvalidArgumentError):
            batching_session.create_retrying_basic_batching_session(
                basic_batch_scheduler.Options(),
                batch_scheduler_retrier.Options(),
                batching_session.Options((2, 4)),
                fake_session.FakeSession(),
            )


if __name__ == "__main__":
    absltest.main()
