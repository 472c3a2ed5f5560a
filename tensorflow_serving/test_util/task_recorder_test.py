"""Tests for task_recorder."""

import numpy as np
from absl.testing import absltest

from tensorflow_serving.batching import batched_function
from tensorflow_serving.test_util import task_recorder
from tensorflow_serving.util import errors


class RecordedFunctionTest(absltest.TestCase):
    """Tests of the record of tasks."""

    def test_outputs_are_kept_by_call(self) -> None:
        """Calls that end together are counted, with their own rows."""
        function = task_recorder.RecordedFunction()
        tasks = [function.task([x]) for x in (0.0, 2.0)]
        timing = function.run(*tasks)
        self.assertEqual(function.done, tasks)
        np.testing.assert_array_equal(function.outputs, [[[2]], [[3]]])
        self.assertEqual(function.caller.timings, [timing, timing])
        self.assertEqual(function.caller.num_tasks, [2])
        self.assertEqual(function.errors, [])

    def test_errors_are_kept_by_call(self) -> None:
        """A task that failed is done and has no outputs."""
        function = task_recorder.RecordedFunction()
        tasks = [function.task([x]) for x in (0.0, 2.0)]
        error = errors.DataLossError("gone")
        batched_function.fail_all(tasks, error)
        self.assertEqual(function.done, tasks)
        self.assertEqual(function.errors, [error, error])
        self.assertEqual(function.outputs, [])


if __name__ == "__main__":
    absltest.main()
