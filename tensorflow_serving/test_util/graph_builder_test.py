"""Tests for graph_builder."""

import numpy as np
from absl.testing import absltest

from tensorflow_serving.test_util import graph_builder


class GraphBuilderTest(absltest.TestCase):
    """Small graphs for tests."""

    def test_graph_that_is_built_runs(self) -> None:
        """Placeholders, constants and other nodes are connected by name."""
        graph = graph_builder.GraphBuilder()
        graph.placeholder("x", "float64", [None, 2])
        graph.constant("rows", np.array([[1.0, 2.0], [3.0, 4.0]]))
        graph.node("y", "MatMul", ["x", "rows"], T="float64")
        with graph.open_session() as session:
            y = session.run("y:0", {"x:0": [[1.0, 1.0]]})
            np.testing.assert_array_equal(y, [[4.0, 6.0]])

    def test_shape_may_be_unknown(self) -> None:
        """None stands for a rank of any size."""
        graph = graph_builder.GraphBuilder()
        graph.placeholder("x", "bfloat16", None)
        with graph.open_session() as session:
            self.assertIsNone(session.tensor_spec("x:0").shape)


if __name__ == "__main__":
    absltest.main()
