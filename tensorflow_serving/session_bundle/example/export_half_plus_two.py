"""Exports the model y = 0.5 * x + 2, for tests and as an example.

Usage: export_half_plus_two --export_dir=/tmp/half_plus_two

writes version 123, with a regression signature, two assets, and an init op that
keeps the paths of the assets in variables.
"""

import os
import tempfile
from collections.abc import Sequence

import tensorflow as tf
from absl import app, flags

from tensorflow_serving.session_bundle import exporter
from tensorflow_serving.util import program

_EXPORT_DIR = flags.DEFINE_string(
    "export_dir",
    "/tmp/half_plus_two",
    "Folder below which the version is written.",
)

_VERSION = 123

tf1 = tf.compat.v1


def export(export_dir_base: str) -> str:
    """Exports the model; returns the folder of the version.

    Tensors: x and y, float32 [batch, 1]; tf_example, string [batch], serialized
    tf.Example messages with a float "x", from which x is parsed unless it is
    fed; filename1 and filename2, string [], the paths of the loaded assets.
    """
    with tf.Graph().as_default(), tf1.Session() as session:
        a = tf1.get_variable("a", initializer=0.5, use_resource=True)
        b = tf1.get_variable("b", initializer=2.0, use_resource=True)
        tf_example = tf1.placeholder(tf.string, [None], name="tf_example")
        parsed = tf1.parse_example(
            tf_example, {"x": tf.io.FixedLenFeature([1], tf.float32)}
        )
        x = tf.identity(parsed["x"], name="x")
        y = tf.add(tf.multiply(a, x), b, name="y")

        with tempfile.TemporaryDirectory() as folder:
            assets = [
                _write_asset(folder, f"hello{number}.txt") for number in (1, 2)
            ]
            init_op = tf.group(
                *(
                    _path_variable(f"filename{number}", asset)
                    for number, asset in enumerate(assets, start=1)
                ),
                name="init_filenames",
            )
            session.run(tf1.global_variables_initializer())
            half_plus_two = exporter.Exporter(
                tf1.train.Saver(
                    {"a": a, "b": b},
                    sharded=True,
                    write_version=tf1.train.SaverDef.V1,
                )
            )
            half_plus_two.init(
                init_op=init_op,
                default_graph_signature=exporter.regression_signature(x, y),
                named_graph_signatures={
                    "inputs": exporter.generic_signature({"x": x}),
                    "outputs": exporter.generic_signature({"y": y}),
                },
                assets_collection=assets,
            )
            return half_plus_two.export(export_dir_base, tf.constant(_VERSION))


def _write_asset(folder: str, name: str) -> tf.Tensor:
    path = os.path.join(folder, name)
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"your data here: {name}\n")
    return tf.constant(path)


def _path_variable(name: str, asset: tf.Tensor) -> tf.Operation:
    """Returns the op that keeps the path of an asset in a variable."""
    variable = tf1.get_variable(
        name,
        initializer="",
        dtype=tf.string,
        trainable=False,
        use_resource=True,
    )
    return variable.assign(asset).op


def main(argv: Sequence[str]) -> None:
    """Runs the program; see the module docstring."""
    if len(argv) > 1:
        raise app.UsageError(f"there must be no arguments; got {argv[1:]}")
    print(f"Exported to {export(_EXPORT_DIR.value)}")


if __name__ == "__main__":
    program.run(main)
