"""Tests for op_libraries."""

import os

from absl.testing import absltest

from tensorflow_serving.tensorflow_c import library, op_libraries
from tensorflow_serving.test_util import graph_builder
from tensorflow_serving.util import errors

# A library of operations that the wheel of TensorFlow has and does not load.
_MICROFRONTEND = (
    "lite/experimental/microfrontend/python/ops/_audio_microfrontend_op.so"
)


class OpLibrariesTest(absltest.TestCase):
    """Libraries of operations that are not TensorFlow's own."""

    def test_operations_are_known_once_their_library_is_loaded(self) -> None:
        """Before, a graph that has one cannot be imported."""
        path = os.path.join(library.load().folder, _MICROFRONTEND)
        if not os.path.exists(path):
            self.skipTest("this TensorFlow has no library to try it with")
        graph = graph_builder.GraphBuilder()
        graph.placeholder("x", "int16", [None])
        graph.node("y", "AudioMicrofrontend", ["x"])
        with self.assertRaisesRegex(errors.ServingError, "AudioMicrofrontend"):
            graph.open_session()
        op_libraries.load(path)
        op_libraries.load(path)
        graph.open_session().close()

    def test_missing_library_is_not_found(self) -> None:
        """The error names the file."""
        with self.assertRaisesRegex(
            errors.NotFoundError, "op library .*/no/such/ops.so"
        ):
            op_libraries.load("/no/such/ops.so")


if __name__ == "__main__":
    absltest.main()
