"""Tests for profiler; profiler_service_test has more, with its clients."""

import numpy as np
from absl.testing import absltest

from tensorflow_serving.tensorflow_c import profiler
from tensorflow_serving.test_util import graph_builder
from tensorflow_serving.util import errors


class ProfilerTest(absltest.TestCase):
    """Tests with a graph of one operation."""

    def test_run_is_recorded_with_the_names_of_its_nodes(self) -> None:
        """A run before the recording is not in it."""
        graph = graph_builder.GraphBuilder()
        graph.placeholder("x", "float32", [None])
        for name in ("before", "meanwhile"):
            graph.node(name, "Neg", ["x"], T="float32")
        session = self.enter_context(graph.open_session())
        session.make_callable(["before:0"], ["x:0"])(np.ones(2, np.float32))
        with profiler.Profiler({"host_tracer_level": 2}) as recording:
            session.make_callable(["meanwhile:0"], ["x:0"])(
                np.ones(2, np.float32)
            )
            xspace = recording.stop()
        self.assertTrue(profiler.has_events(xspace))
        self.assertIn(b"meanwhile", xspace)
        self.assertNotIn(b"before", xspace)

    def test_recording_of_nothing_has_no_events(self) -> None:
        """It may be a whole XSpace all the same."""
        with profiler.Profiler({}) as recording:
            self.assertFalse(profiler.has_events(recording.stop()))

    def test_two_recordings_do_not_mix(self) -> None:
        """The second one is refused until the first has ended."""
        with (
            profiler.Profiler({}),
            self.assertRaisesRegex(errors.UnavailableError, "Another"),
        ):
            profiler.Profiler({})
        with profiler.Profiler({}):
            pass


if __name__ == "__main__":
    absltest.main()
