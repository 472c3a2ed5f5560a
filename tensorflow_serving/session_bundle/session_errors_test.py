"""Tests for session_errors."""

import tensorflow as tf
from absl.testing import absltest

from tensorflow_serving.session_bundle import session_errors
from tensorflow_serving.util import errors

tf1 = tf.compat.v1


class SessionErrorsTest(absltest.TestCase):
    """Errors of a TensorFlow session, as errors that a client may see."""

    def test_convert_keeps_the_code_and_the_cause(self) -> None:
        """A real error of a session: two inputs that do not fit."""
        with tf.Graph().as_default(), tf1.Session() as session:
            a = tf1.placeholder(tf.float32, [None, None])
            product = tf.matmul(a, tf.ones([3, 2]))
            with self.assertRaises(tf.errors.InvalidArgumentError) as caught:
                session.run(product, {a: [[1.0, 2.0]]})
        error = session_errors.convert(caught.exception)
        self.assertIsInstance(error, errors.InvalidArgumentError)
        self.assertRegex(str(error), r"^Matrix size-incompatible: In\[0\]")
        self.assertNotIn("\n", str(error))
        self.assertNotIn(__file__, str(error))

    def test_cause_of_several_errors_is_the_first(self) -> None:
        """TensorFlow numbers them, and wraps them in node names."""
        error = tf.errors.DataLossError(
            None,
            None,
            "Graph execution error:\n\nDetected at node 'x' defined at (most "
            "recent call last):\nNode: 'x'\n2 root error(s) found.\n"
            "  (0) DATA_LOSS: file is too short\n\t [[{{node x}}]]\n"
            "  (1) DATA_LOSS: another\n0 successful operations.\n",
        )
        self.assertEqual(session_errors.cause(error), "file is too short")

    def test_cause_of_an_error_without_text_is_its_name(self) -> None:
        """Better than nothing."""
        error = tf.errors.AbortedError(None, None, "")
        self.assertEqual(session_errors.cause(error), "AbortedError")


if __name__ == "__main__":
    absltest.main()
