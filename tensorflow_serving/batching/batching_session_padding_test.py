"""Tests for batching sessions that pad inputs of variable length."""

import concurrent.futures
import functools

import numpy as np
from absl.testing import absltest, parameterized

from tensorflow_serving.batching import (
    basic_batch_scheduler,
    batch_queue,
    batch_scheduler,
    batched_function,
    batching_session,
)
from tensorflow_serving.test_util import fake_session, puppet_batch_scheduler

_Task = batched_function.FunctionTask
_Puppet = puppet_batch_scheduler.PuppetBatchScheduler[_Task]


class PaddingTest(parameterized.TestCase):
    """Calls in one batch with rows of different lengths."""

    def _run(
        self, *, pads: bool, allowed_batch_sizes: tuple[int, ...] = ()
    ) -> fake_session.FakeSession:
        """Runs three calls in a batch; keeps their outputs."""
        wrapped = fake_session.FakeSession(shape=(None, None))
        schedulers = []

        def create(process: batch_scheduler.ProcessBatch[_Task]) -> _Puppet:
            schedulers.append(_Puppet(process))
            return schedulers[0]

        options = batching_session.Options(
            allowed_batch_sizes, pad_variable_length_inputs=pads
        )
        session = batching_session.BatchingSession(options, wrapped, create)
        futures = [
            session.run_async(["x:0"], {"x:0": np.array([row])})
            for row in ([1.0, 2.0], [3.0, 4.0, 5.0], [6.0])
        ]
        schedulers[0].process_tasks(3)
        self.outputs = [future.result()[0].tolist() for future in futures]
        return wrapped

    def test_calls_of_other_lengths_run_apart_without_padding(self) -> None:
        """Each gets the outputs of its own rows, as if it were alone."""
        wrapped = self._run(pads=False)
        self.assertEqual(len(wrapped.inputs), 3)
        self.assertEqual(self.outputs, [[[1, 2]], [[3, 4, 5]], [[6]]])

    @parameterized.parameters(((),), ((4,),))
    def test_calls_of_other_lengths_share_a_run_with_padding(
        self, sizes: tuple[int, ...]
    ) -> None:
        """Outputs are as long as the longest of the batch, like inputs."""
        (run,) = self._run(pads=True, allowed_batch_sizes=sizes).inputs
        expected = [[1, 2, 1], [3, 4, 5], [6, 6, 6], [1, 2, 1]]
        self.assertEqual(run.tolist(), expected[: 4 if sizes else 3])
        self.assertEqual(self.outputs, [[row] for row in expected[:3]])

    def test_calls_under_load_get_their_own_rows(self) -> None:
        """Rows of many callers are padded with values of their own only."""
        session = batching_session.BatchingSession(
            batching_session.Options(pad_variable_length_inputs=True),
            fake_session.FakeSession(shape=(None, None)),
            functools.partial(
                basic_batch_scheduler.BasicBatchScheduler,
                basic_batch_scheduler.Options(
                    batch_queue.QueueOptions(
                        max_batch_size=16, max_enqueued_batches=1000
                    )
                ),
            ),
        )

        def call(number: int) -> bool:
            length = 1 + number % 7
            row = number + np.arange(length) / 10
            (x,) = session.run(["x:0"], {"x:0": [row, row]})
            padded = np.full(x.shape, float(number))
            padded[:, :length] = row
            return len(x) == 2 and np.array_equal(x, padded)

        with concurrent.futures.ThreadPoolExecutor(16) as callers:
            self.assertTrue(all(callers.map(call, range(500))))
        sizes = session.statistics().scheduler.num_batches_by_size
        session.close()
        self.assertGreater(max(sizes), 2)


if __name__ == "__main__":
    absltest.main()
