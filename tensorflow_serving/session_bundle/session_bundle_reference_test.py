"""Compares what loaders of session bundles load with Python's TensorFlow.

The same files are restored and run by both; the answers have the same bits.
"""

import functools
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from absl.testing import absltest, parameterized

from tensorflow_serving.session_bundle import exporter, session_bundle
from tensorflow_serving.tensorflow_c.protos import config_pb2
from tensorflow_serving.util import errors

tf1 = tf.compat.v1

_Model = Callable[[tf.Tensor], tf.Tensor]
_IMAGES = np.random.default_rng(0).random([5, 784], np.float32)


def _dense(x: tf.Tensor, *, use_resource: bool = True) -> tf.Tensor:
    w = tf1.get_variable(
        "w",
        [784, 10],
        use_resource=use_resource,
        initializer=tf1.random_normal_initializer(stddev=0.05, seed=1),
    )
    return tf.nn.softmax(tf.matmul(x, w))


def _cond(x: tf.Tensor) -> tf.Tensor:
    train = tf1.placeholder_with_default(False, [])
    return _dense(tf1.cond(train, lambda: x + 1.0, lambda: tf.identity(x)))


def _loop(x: tf.Tensor) -> tf.Tensor:
    return _dense(
        tf1.while_loop(
            lambda i, _: i < 3,
            lambda i, z: (i + 1, z * 1.5),
            [tf.constant(0), x],
        )[1]
    )


def _table(x: tf.Tensor) -> tf.Tensor:
    keys = tf.strings.as_string(tf.cast(x[:, :10] * 10, tf.int32))
    table = tf.lookup.StaticHashTable(
        tf.lookup.KeyValueTensorInitializer(
            [str(i) for i in range(5)], [i / 7 for i in range(5)]
        ),
        -1.0,
    )
    return table.lookup(keys) + _dense(x)


def _pyfunc(x: tf.Tensor) -> tf.Tensor:
    return tf1.py_func(lambda a: a, [_dense(x)], tf.float32)


def _with_control_flow(model: _Model, version: int) -> _Model:
    """Returns a model whose branches and loops are of TensorFlow 1 or 2."""

    def build(x: tf.Tensor) -> tf.Tensor:
        enabled = tf1.control_flow_v2_enabled()
        (tf1.enable_control_flow_v2, tf1.disable_control_flow_v2)[
            version == 1
        ]()
        try:
            return model(x)
        finally:
            (tf1.disable_control_flow_v2, tf1.enable_control_flow_v2)[enabled]()

    return build


def _export(folder: str, model: _Model) -> str:
    """Exports a model from x:0 to y:0."""
    with tf.Graph().as_default(), tf1.Session() as session:
        x = tf1.placeholder(tf.float32, [None, 784], name="x")
        tf.identity(model(x), name="y")
        tf1.get_variable("other", initializer=1.0)  # a Saver wants one
        session.run(tf1.global_variables_initializer())
        export = exporter.Exporter(tf1.train.Saver(sharded=True))
        export.init(init_op=tf.group(tf1.tables_initializer(), name="start"))
        return export.export(folder, tf.constant(1), session)


def _reference(path: str, fetch: str) -> npt.NDArray[Any]:
    """Returns what Python's TensorFlow answers."""
    meta_graph_def = tf1.MetaGraphDef()
    with open(os.path.join(path, "export.meta"), "rb") as file:
        meta_graph_def.ParseFromString(file.read())
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(meta_graph_def.graph_def, name="")
    with tf1.Session(graph=graph) as session:
        saver = meta_graph_def.saver_def
        session.run(
            saver.restore_op_name,
            {saver.filename_tensor_name: f"{path}/export"},
        )
        session.run("start")
        result: npt.NDArray[Any] = session.run(fetch, {"x:0": _IMAGES})
        return result


class ReferenceTest(parameterized.TestCase):
    """One export, loaded in two ways."""

    @parameterized.named_parameters(
        ("variables", _dense),
        ("references", functools.partial(_dense, use_resource=False)),
        ("cond_v1", _with_control_flow(_cond, 1)),
        ("cond_v2", _with_control_flow(_cond, 2)),
        ("loop_v1", _with_control_flow(_loop, 1)),
        ("loop_v2", _with_control_flow(_loop, 2)),
        ("table", _table),
        ("float64", lambda x: tf.cast(_dense(x), tf.float64) / 3),
        ("float16", lambda x: tf.cast(_dense(x), tf.float16) / 3),
        ("bfloat16", lambda x: tf.cast(_dense(x), tf.bfloat16)),
        ("int64", lambda x: tf.argmax(_dense(x), 1)),
        ("bool", lambda x: _dense(x) > 0.1),
        ("complex64", lambda x: tf.complex(x, -x) * tf.complex(x, x)),
        ("quint8", lambda x: tf.quantization.quantize(x, 0, 1, tf.quint8)[0]),
        ("texts", lambda x: tf.strings.as_string(_dense(x))),
        ("scalar", lambda x: tf.reduce_sum(_dense(x))),
        ("no_rows", lambda x: _dense(x)[:0]),
        ("large", lambda x: tf.tile(_dense(x), [4000, 3])),
    )
    def test_answers_have_the_same_bits(self, model: _Model) -> None:
        """Answers have the bits of the reference with either executor."""
        path = _export(self.create_tempdir().full_path, model)
        expected = np.asarray(_reference(path, "y:0"))
        for executor_type in ("", "SINGLE_THREADED_EXECUTOR"):
            config = config_pb2.ConfigProto()
            config.experimental.executor_type = executor_type
            with session_bundle.load_session_bundle_from_path(
                path, config=config
            ) as bundle:
                for y in (
                    bundle.session.run("y:0", {"x:0": _IMAGES}),
                    *bundle.session.make_callable(["y:0"], ["x:0"])(_IMAGES),
                ):
                    found = np.asarray(y)
                    self.assertEqual(found.dtype, expected.dtype)
                    self.assertEqual(found.shape, expected.shape)
                    self.assertEqual(found.tolist(), expected.tolist())

    def test_model_that_calls_python_is_refused(self) -> None:
        """It would run a function of this process that has the same number."""
        path = _export(self.create_tempdir().full_path, _pyfunc)
        with self.assertRaisesRegex(
            errors.FailedPreconditionError, "must not call Python.*export.meta"
        ):
            session_bundle.load_session_bundle_from_path(path)


if __name__ == "__main__":
    absltest.main()
