"""Counts what the servers import."""

import sys

import numpy as np
from absl.testing import absltest

from tensorflow_serving.example import mnist_inference, mnist_inference_2
from tensorflow_serving.test_util import graph_builder


class ModulesTest(absltest.TestCase):
    """The modules of a process that serves."""

    def test_servers_do_without_the_python_of_tensorflow(self) -> None:
        """Neither their modules nor a session import it."""
        self.assertTrue(callable(mnist_inference.main))
        self.assertTrue(callable(mnist_inference_2.main))
        graph = graph_builder.GraphBuilder()
        graph.placeholder("x", "float32", [None])
        graph.node("y", "Neg", ["x"], T="float32")
        session = graph.open_session()
        (y,) = session.make_callable(["y:0"], ["x:0"])(np.ones(2, np.float32))
        session.close()
        np.testing.assert_array_equal(y, [-1, -1])
        tops = {name.partition(".")[0] for name in sys.modules}
        self.assertEqual(tops & {"tensorflow", "keras", "tensorboard"}, set())
        # Modules that read training data are not loaded either.
        self.assertNotIn("pooch", tops)


if __name__ == "__main__":
    absltest.main()
