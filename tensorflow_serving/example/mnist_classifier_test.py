"""Tests for mnist_classifier, with small graphs in real sessions."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf
from absl.testing import absltest, parameterized

from tensorflow_serving.example import mnist_classifier
from tensorflow_serving.session_bundle import (
    manifest_pb2,
    session_bundle,
    signature,
)
from tensorflow_serving.session_bundle import session as session_lib
from tensorflow_serving.test_util import graph_builder
from tensorflow_serving.util import errors

tf1 = tf.compat.v1

_Bundle = session_bundle.SessionBundle[session_lib.Session]
_FLOAT_IMAGES = (tf.float32, [None, 784])
_BINDING = manifest_pb2.TensorBinding


def _first_pixels(x: tf.Tensor) -> tf.Tensor:
    return x[:, :10]


class MnistClassifierTest(parameterized.TestCase):
    """Tests of the servable of a version."""

    def _bundle(
        self,
        model: Callable[[tf.Tensor], tf.Tensor] = _first_pixels,
        images: tuple[tf.DType, list[int | None] | None] = _FLOAT_IMAGES,
        scores_name: str = "y:0",
    ) -> _Bundle:
        """Returns a loaded model from x:0 to y:0."""
        with tf.Graph().as_default() as graph:
            tf.identity(model(tf1.placeholder(*images, name="x")), name="y")
        session = graph_builder.open_session(graph.as_graph_def())
        self.addCleanup(session.close)
        meta_graph_def = tf1.MetaGraphDef()
        classification = manifest_pb2.ClassificationSignature(
            input=_BINDING(tensor_name="x:0"),
            scores=_BINDING(tensor_name=scores_name),
        )
        signature.set_signatures(
            manifest_pb2.Signatures(
                default_signature=manifest_pb2.Signature(
                    classification_signature=classification
                )
            ),
            meta_graph_def,
        )
        return session_bundle.SessionBundle(session, meta_graph_def)

    @parameterized.parameters(
        (_FLOAT_IMAGES,), ((tf.float32, None),), ((tf.float32, [None, None]),)
    )
    def test_images_go_in_and_scores_come_out(
        self, images: tuple[tf.DType, list[int | None] | None]
    ) -> None:
        """Each image has a row of scores, even if the graph hides shapes."""
        with mnist_classifier.MnistClassifier(
            self._bundle(images=images), max_batch_size=4
        ) as classifier:
            batch = np.random.default_rng(0).random([3, 784], np.float32)
            scores = classifier.classify(batch)
            np.testing.assert_array_equal(scores, batch[:, :10])

    @parameterized.parameters(0, 1, 3)
    def test_model_that_takes_one_image_gets_one_at_a_time(
        self, num_images: int
    ) -> None:
        """Each image has the row that it has alone."""

        def model(x: tf.Tensor) -> tf.Tensor:
            return x[:, :10] - tf.reduce_mean(x)

        with mnist_classifier.MnistClassifier(
            self._bundle(model, (tf.float32, [1, 784])), max_batch_size=4
        ) as classifier:
            batch = np.random.default_rng(0).random(
                [num_images, 784], np.float32
            )
            np.testing.assert_allclose(
                classifier.classify(batch),
                batch[:, :10] - batch.mean(axis=1, keepdims=True),
                rtol=1e-4,
            )

    def test_scores_of_another_float_become_float32(self) -> None:
        """Scores become float32, whatever float the model computes in."""
        with mnist_classifier.MnistClassifier(
            self._bundle(lambda x: tf.cast(x[:, :10], tf.float64)),
            max_batch_size=1,
        ) as classifier:
            scores = classifier.classify(np.ones([2, 784], np.float32))
            self.assertEqual(scores.dtype, np.float32)

    @parameterized.parameters((1, [1]), (64, [1, 64]))
    def test_model_is_warmed_up(
        self, max_batch_size: int, expected_sizes: list[int]
    ) -> None:
        """A model is warmed up with the smallest and the largest batch."""
        sizes = []

        def record(x: np.ndarray) -> np.ndarray:
            sizes.append(len(x))
            self.assertFalse(x.any())
            return x[:, :10]

        def model(x: tf.Tensor) -> tf.Tensor:
            y = tf.numpy_function(record, [x], tf.float32)
            return tf.ensure_shape(y, [None, 10])

        with mnist_classifier.MnistClassifier(
            self._bundle(model), max_batch_size=max_batch_size
        ):
            self.assertEqual(sizes, expected_sizes)

    def test_close_closes_the_bundle(self) -> None:
        """Closing a classifier closes its session, which refuses runs."""
        bundle = self._bundle()
        classifier = mnist_classifier.MnistClassifier(bundle, max_batch_size=1)
        classifier.close()
        classifier.close()  # idempotent
        with self.assertRaises(errors.FailedPreconditionError):
            bundle.session.run(["y:0"], {"x:0": np.zeros([1, 784])})

    @parameterized.named_parameters(
        (
            "images_of_another_dtype",
            lambda x: tf.cast(x[:, :10], tf.float32),
            (tf.int32, [None, 784]),
            "must take images, float32 .*must have dtype int32; got float32",
        ),
        (
            "images_of_another_size",
            _first_pixels,
            (tf.float32, [None, 783]),
            r"must take images, .*shape \[\?, 783\]; got \[1, 784\]",
        ),
        (
            "four_images_at_a_time",
            _first_pixels,
            (tf.float32, [4, 784]),
            r"must take images, .*shape \[4, 784\]; got \[1, 784\]",
        ),
        (
            "scores_of_another_dtype",
            lambda x: tf.cast(x[:, :10], tf.int32),
            _FLOAT_IMAGES,
            r"must return scores, floats \[\?, 10\]; got int32 \[\?, 10\]",
        ),
        (
            "scores_of_another_size",
            lambda x: x[:, :9],
            _FLOAT_IMAGES,
            r"must return scores, floats \[\?, 10\]; got float32 \[\?, 9\]",
        ),
        (
            "scores_of_another_rank",
            lambda x: x[0, :10],
            _FLOAT_IMAGES,
            r"must return scores, floats \[\?, 10\]; got float32 \[10\]",
        ),
        (
            "one_row_for_all_images",
            lambda x: tf1.placeholder_with_default(x[:1, :10], [None, 10]),
            _FLOAT_IMAGES,
            r"must return scores, floats \[4, 10\]; got float32 \[1, 10\]",
        ),
    )
    def test_model_that_does_not_fit_is_refused(
        self,
        model: Callable[[tf.Tensor], tf.Tensor],
        images: tuple[tf.DType, list[int | None]],
        text: str,
    ) -> None:
        """The error is FAILED_PRECONDITION; the bundle stays the caller's."""
        bundle = self._bundle(model, images)
        with self.assertRaisesRegex(errors.FailedPreconditionError, text):
            mnist_classifier.MnistClassifier(bundle, max_batch_size=4)
        zeros = np.zeros([size or 1 for size in images[1]])
        bundle.session.run(["x:0"], {"x:0": zeros})

    @parameterized.named_parameters(
        ("no_scores", "", "signature with scores; got one without"),
        ("scores_that_are_not_there", "z:0", "must be in the graph"),
        ("scores_that_are_no_tensor", "y", "must be in the graph"),
    )
    def test_signature_must_have_scores(
        self, scores_name: str, text: str
    ) -> None:
        """A signature without scores is a FAILED_PRECONDITION."""
        with self.assertRaisesRegex(errors.FailedPreconditionError, text):
            mnist_classifier.MnistClassifier(
                self._bundle(scores_name=scores_name), max_batch_size=1
            )

    def test_signature_must_be_there(self) -> None:
        """A model without the signature is a FAILED_PRECONDITION."""
        bundle = session_bundle.SessionBundle(
            self._bundle().session, tf1.MetaGraphDef()
        )
        with self.assertRaisesRegex(
            errors.FailedPreconditionError, "exactly one signatures proto"
        ):
            mnist_classifier.MnistClassifier(bundle, max_batch_size=1)

    def test_model_that_needs_another_input_is_refused(self) -> None:
        """It is not the fault of a caller; the text says what to do."""

        def model(x: tf.Tensor) -> tf.Tensor:
            return x[:, :10] * tf1.placeholder(tf.float32, name="keep_prob")

        with self.assertRaisesRegex(
            errors.FailedPreconditionError, "needs a default.*'keep_prob'"
        ):
            mnist_classifier.MnistClassifier(
                self._bundle(model), max_batch_size=1
            )

    def test_other_error_of_the_warm_up_is_passed_on(self) -> None:
        """An unexpected error of the warm-up keeps its code."""

        def model(x: tf.Tensor) -> tf.Tensor:
            variable = tf1.get_variable("w", [10], use_resource=True)
            return x[:, :10] + variable

        with self.assertRaisesRegex(errors.FailedPreconditionError, "w"):
            mnist_classifier.MnistClassifier(
                self._bundle(model), max_batch_size=1
            )


if __name__ == "__main__":
    absltest.main()
