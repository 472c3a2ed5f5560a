"""Tests of mnist_inference as a process, with models that cannot answer."""

import os
import subprocess
from collections.abc import Callable

import tensorflow as tf
from absl.testing import absltest, parameterized

from tensorflow_serving.session_bundle import exporter

tf1 = tf.compat.v1

_INFERENCE = os.path.join(os.path.dirname(__file__), "mnist_inference")

# Longer than anything here takes.
_TIMEOUT_SECONDS = 60


def _unfed(images: tf.Tensor) -> tf.Tensor:
    """Returns scores that need a number nobody feeds."""
    return images[:, :10] * tf1.placeholder(tf.float32, name="keep_prob")


def _nine(images: tf.Tensor) -> tf.Tensor:
    """Returns too few scores."""
    return images[:, :9]


class ModelThatCannotAnswerTest(parameterized.TestCase):
    """A model of which every call would fail."""

    @parameterized.product(
        model_and_text=(
            (_unfed, "must feed a value for placeholder .*'keep_prob'"),
            (_nine, "model must return scores, floats"),
        ),
        flags=([], ["--noenable_batching"]),
    )
    def test_server_says_why_and_never_runs(
        self,
        model_and_text: tuple[Callable[[tf.Tensor], tf.Tensor], str],
        flags: list[str],
    ) -> None:
        """A bad model is one line and exit code 1 before anything listens."""
        model, text = model_and_text
        with tf.Graph().as_default(), tf1.Session() as session:
            images = tf1.placeholder(tf.float32, [None, 784])
            factor = tf1.get_variable("factor", [], use_resource=True)
            scores = model(images) * factor
            session.run(tf1.global_variables_initializer())
            model_exporter = exporter.Exporter(tf1.train.Saver(sharded=True))
            model_exporter.init(
                default_graph_signature=exporter.classification_signature(
                    images, scores_tensor=scores
                )
            )
            folder = self.create_tempdir().full_path
            model_exporter.export(folder, tf.constant(1), session)
        server = subprocess.run(
            [_INFERENCE, *flags, os.path.join(folder, "00000001")],
            capture_output=True,
            text=True,
            check=False,
            timeout=_TIMEOUT_SECONDS,
        )
        self.assertEqual(server.returncode, 1)
        self.assertEqual(server.stdout, "")
        (error,) = (
            line
            for line in server.stderr.splitlines()
            if line.startswith("ERROR: ")
        )
        self.assertRegex(error, text)


if __name__ == "__main__":
    absltest.main()
