"""Trains a softmax regression on handwritten digits and exports it.

Usage: mnist_export [--training_iteration=1000] [--export_version=1] EXPORT_DIR

writes EXPORT_DIR/00000001, the folder of version 1, for a server to load.
"""

import dataclasses
from collections.abc import Sequence

import tensorflow as tf
from absl import app, flags

from tensorflow_serving.example import (
    mnist_data_flags,
    mnist_image,
    mnist_input_data,
)
from tensorflow_serving.session_bundle import export_folder, exporter
from tensorflow_serving.util import program, progress, version_name

_TRAINING_ITERATION = flags.DEFINE_integer(
    "training_iteration", 1000, "Number of training steps.", lower_bound=1
)
_EXPORT_VERSION = flags.DEFINE_integer(
    "export_version",
    1,
    "Version number of the model.",
    lower_bound=1,
    upper_bound=version_name.MAX_VERSION,
)
_SEED = flags.DEFINE_integer(
    "seed",
    0,
    "Decides the order of the training images: the same seed and data give the "
    "same model.",
)
flags.adopt_module_key_flags(mnist_data_flags)

_BATCH_SIZE = 50
_LEARNING_RATE = 0.01

tf1 = tf.compat.v1


@dataclasses.dataclass(frozen=True)
class Model:
    """Tensors of y = softmax(x w + b), and of its training."""

    # Images: float32 [batch, 784], 0 to 1.
    x: tf.Tensor
    # Digits: int32 [batch].
    labels: tf.Tensor
    # Probabilities: float32 [batch, 10].
    y: tf.Tensor
    # The share of images whose most likely digit is right: float32 [].
    accuracy: tf.Tensor
    train_step: tf.Operation


def build_model() -> Model:
    """Adds the model to the default graph."""
    x = tf1.placeholder(tf.float32, [None, mnist_image.NUM_PIXELS])
    labels = tf1.placeholder(tf.int32, [None])
    # Resource variables, as the fastest executor takes no others.
    w = tf1.get_variable(
        "w",
        [mnist_image.NUM_PIXELS, mnist_image.NUM_CLASSES],
        initializer=tf1.zeros_initializer(),
        use_resource=True,
    )
    b = tf1.get_variable(
        "b",
        [mnist_image.NUM_CLASSES],
        initializer=tf1.zeros_initializer(),
        use_resource=True,
    )
    logits = tf.matmul(x, w) + b
    y = tf.nn.softmax(logits, name="y")
    # The sum of -log y over the right digits, in a form that stays finite.
    cross_entropy = tf.reduce_sum(
        tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    )
    is_right = tf.equal(tf.argmax(y, 1, tf.int32), labels)
    return Model(
        x=x,
        labels=labels,
        y=y,
        accuracy=tf.reduce_mean(tf.cast(is_right, tf.float32)),
        train_step=tf1.train.GradientDescentOptimizer(_LEARNING_RATE).minimize(
            cross_entropy
        ),
    )


def train(
    session: tf.compat.v1.Session,
    model: Model,
    data: mnist_input_data.DataSets,
    num_steps: int,
) -> float:
    """Trains the model; returns its accuracy on the test set, 0 to 1."""
    session.run(tf1.global_variables_initializer())
    step = session.make_callable(
        model.train_step, feed_list=[model.x, model.labels]
    )
    steps = progress.bar("Training", num_steps, "steps")
    for _ in range(num_steps):
        step(*data.train.next_batch(_BATCH_SIZE))
        steps.update()
    steps.close()
    accuracy: float = session.run(
        model.accuracy,
        {model.x: data.test.images, model.labels: data.test.labels},
    )
    return accuracy


def export(
    session: tf.compat.v1.Session, model: Model, export_dir: str, version: int
) -> None:
    """Exports the model with a classification signature, x to y."""
    saver = tf1.train.Saver(sharded=True, write_version=tf1.train.SaverDef.V1)
    model_exporter = exporter.Exporter(saver)
    model_exporter.init(
        default_graph_signature=exporter.classification_signature(
            input_tensor=model.x, scores_tensor=model.y
        )
    )
    model_exporter.export(export_dir, tf.constant(version), session)


def main(argv: Sequence[str]) -> None:
    """Runs the program; see the module docstring."""
    if len(argv) != 2:
        raise app.UsageError(
            f"EXPORT_DIR must be the one argument; got {argv[1:]}"
        )
    export_dir = argv[1]
    # The Saver warns of the format that the tutorial shows, at every export.
    tf1.logging.set_verbosity(tf1.logging.ERROR)
    # Before the training, not after it.
    export_folder.require_writable(export_dir, _EXPORT_VERSION.value)
    print("Training model...", flush=True)
    data = mnist_input_data.read_data_sets(
        mnist_data_flags.WORK_DIR.value,
        mnist_data_flags.DATASET.value,
        _SEED.value,
    )
    with tf.Graph().as_default(), tf1.Session() as session:
        model = build_model()
        accuracy = train(session, model, data, _TRAINING_ITERATION.value)
        print(f"training accuracy {accuracy:g}")
        print("Done training!")
        print(f"Exporting trained model to {export_dir}", flush=True)
        export(session, model, export_dir, _EXPORT_VERSION.value)
    print("Done exporting!")


if __name__ == "__main__":
    program.run(main)
