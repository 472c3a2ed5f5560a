"""Tests for batch_threads."""

import numpy as np
from absl.testing import absltest
from google.protobuf import text_format

from tensorflow_serving.batching import batch_queue, batching_session
from tensorflow_serving.servables.tensorflow import (
    batch_threads,
    session_bundle_config_pb2,
)
from tensorflow_serving.test_util import fake_session
from tensorflow_serving.util import errors


def _parameters(
    **fields: int,
) -> session_bundle_config_pb2.BatchingParameters:
    parameters = session_bundle_config_pb2.BatchingParameters()
    for name, value in fields.items():
        getattr(parameters, name).value = value
    return parameters


class BatchThreadsTest(absltest.TestCase):
    """Tests of sessions on shared threads."""

    def test_parameters_that_are_set_override_defaults(self) -> None:
        """Set parameters override defaults; the others keep them."""
        defaults = batch_threads.Defaults(
            batch_queue.QueueOptions(max_batch_size=3, batch_timeout_micros=0)
        )
        threads = batch_threads.BatchThreads(
            _parameters(max_batch_size=2), defaults
        )
        self.addCleanup(threads.close)
        session = threads.session(fake_session.FakeSession())
        self.addCleanup(session.close)
        np.testing.assert_array_equal(
            session.run(["y:0"], {"x:0": [0.0, 2.0]}), [[2, 3]]
        )
        with self.assertRaisesRegex(errors.InvalidArgumentError, "2; got 3"):
            session.run(["y:0"], {"x:0": np.zeros(3)})

    def test_padding_of_inputs_is_refused(self) -> None:
        """A file that says that it is not wanted is fine."""
        parameters = session_bundle_config_pb2.BatchingParameters()
        text_format.Parse("pad_variable_length_inputs: false", parameters)
        batch_threads.BatchThreads(parameters).close()
        parameters.pad_variable_length_inputs = True
        with self.assertRaisesRegex(
            errors.InvalidArgumentError,
            "pad_variable_length_inputs must be false",
        ):
            batch_threads.BatchThreads(parameters)

    def test_sessions_outlive_the_closing_of_the_threads(self) -> None:
        """Those that are open go on; there are no new ones."""
        threads = batch_threads.BatchThreads(_parameters())
        self.addCleanup(threads.close)
        session = threads.session(fake_session.FakeSession())
        self.addCleanup(session.close)
        threads.close()
        np.testing.assert_array_equal(
            session.run(["y:0"], {"x:0": [0.0]}), [[2]]
        )
        with self.assertRaises(errors.FailedPreconditionError):
            threads.session(fake_session.FakeSession())

    def test_sessions_without_batching_run_each_call_alone(self) -> None:
        """The rows of a call do not count against the size of a batch."""
        defaults = batch_threads.Defaults(
            batch_queue.QueueOptions(max_batch_size=1),
            session=batching_session.Options(never_merges=True),
        )
        threads = batch_threads.BatchThreads(_parameters(), defaults)
        self.addCleanup(threads.close)
        session = threads.session(fake_session.FakeSession())
        self.addCleanup(session.close)
        self.assertEqual(session.run(["sum:0"], {"x:0": np.ones(5)}), [5])


if __name__ == "__main__":
    absltest.main()
