"""Tests for serving_session."""

import numpy as np
import tensorflow as tf
from absl.testing import absltest, parameterized

from tensorflow_serving.servables.tensorflow import serving_session
from tensorflow_serving.util import errors

tf1 = tf.compat.v1


class ServingSessionTest(parameterized.TestCase):
    """A session that serves."""

    def setUp(self) -> None:
        """Makes a graph with y = reciprocal(x), an integer division."""
        super().setUp()
        with tf.Graph().as_default() as graph:
            x = tf1.placeholder(tf.int32, [None], name="x")
            tf1.floordiv(tf.constant(12), x, name="y")
        self.session = serving_session.ServingSession(tf1.Session(graph=graph))
        self.addCleanup(self.session.close)

    def test_run_returns_the_fetches_in_order(self) -> None:
        """By name."""
        y, x = self.session.run(["y:0", "x:0"], {"x:0": np.array([3, 4])})
        np.testing.assert_array_equal(y, [4, 3])
        np.testing.assert_array_equal(x, [3, 4])

    def test_error_of_the_graph_keeps_its_code(self) -> None:
        """A division by zero is INVALID_ARGUMENT, without a stack trace."""
        with self.assertRaisesRegex(
            errors.InvalidArgumentError, "(?i)^integer division by zero$"
        ):
            self.session.run(["y:0"], {"x:0": np.array([0])})

    @parameterized.named_parameters(
        ("fetch", ["z:0"], {"x:0": [1]}),
        ("feed", ["y:0"], {"z:0": [1]}),
        ("shape", ["y:0"], {"x:0": [[1]]}),
        ("dtype", ["y:0"], {"x:0": ["text"]}),
    )
    def test_what_does_not_fit_the_graph_is_invalid(
        self, fetches: list[str], feed_dict: dict[str, list[object]]
    ) -> None:
        """INVALID_ARGUMENT, whichever way TensorFlow noticed."""
        with self.assertRaisesRegex(errors.InvalidArgumentError, "^[^\n]+$"):
            self.session.run(
                fetches, {name: np.array(x) for name, x in feed_dict.items()}
            )

    def test_closed_session_is_a_failed_precondition(self) -> None:
        """Closing is idempotent; running is over."""
        self.session.close()
        self.session.close()
        with self.assertRaises(errors.FailedPreconditionError):
            self.session.run(["y:0"], {"x:0": np.array([1])})


if __name__ == "__main__":
    absltest.main()
