"""Writes the exports of model_zoo, as TensorFlow 1 wrote them."""

import functools
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from typing import Final

import tensorflow as tf

from tensorflow_serving.session_bundle import constants, exporter
from tensorflow_serving.test_util import model_zoo

tf1 = tf.compat.v1

# The tensors that are fed and fetched, by their names in model_zoo.
Tensors = Mapping[str, tf.Tensor]
Build = Callable[[], tuple[Tensors, Tensors]]

_V1: Final = tf1.train.SaverDef.V1
_V2: Final = tf1.train.SaverDef.V2
_WEIGHTS_SHAPE: Final = model_zoo.WEIGHTS.shape


def write(folder: str) -> None:
    """Writes each export to a folder of its name below this one."""
    for name, build in _BUILDS.items():
        _export(folder, name, build)
    with tempfile.TemporaryDirectory() as assets:
        path = os.path.join(assets, "lines.txt")
        with open(path, "wb") as file:
            file.write(b"".join(line + b"\n" for line in model_zoo.LINES))
        _export(folder, "table_of_asset", lambda: _table(_lines(path)))
    for index, (resource, sharded, version) in enumerate(
        (resource, sharded, version)
        for resource in (False, True)
        for sharded, version in ((True, _V1), (False, _V1), (False, _V2))
    ):
        _export(
            folder,
            model_zoo.VARIABLES[index],
            functools.partial(_dense, resource),
            sharded=sharded,
            write_version=version,
        )


def _export(
    folder: str,
    name: str,
    build: Build,
    *,
    sharded: bool = True,
    write_version: int = _V1,
) -> None:
    # Some models are bound to a device that this machine does not have.
    config = tf1.ConfigProto(allow_soft_placement=True)
    with tf.Graph().as_default(), tf1.Session(config=config) as session:
        inputs, outputs = build()
        # A Saver needs a variable.
        tf1.get_variable("unused", initializer=0.0, use_resource=True)
        session.run(tf1.global_variables_initializer())
        export = exporter.Exporter(
            tf1.train.Saver(sharded=sharded, write_version=write_version)
        )
        assets = tf1.get_collection(tf1.GraphKeys.ASSET_FILEPATHS)
        export.init(
            init_op=tf.group(tf1.tables_initializer()),
            clear_devices=name.endswith("_cleared"),
            named_graph_signatures={
                "inputs": exporter.generic_signature(inputs),
                "outputs": exporter.generic_signature(outputs),
            },
            assets_collection=assets,
        )
        path = export.export(os.path.join(folder, name), tf.constant(1))
    if name in _CHANGES:
        _change(path, _CHANGES[name])


def _change(path: str, change: Callable[[tf.compat.v1.GraphDef], None]) -> None:
    """Makes an export one of another TensorFlow."""
    file = os.path.join(path, constants.META_GRAPH_DEF_FILENAME)
    meta_graph_def = tf1.MetaGraphDef()
    with open(file, "rb") as stream:
        meta_graph_def.ParseFromString(stream.read())
    change(meta_graph_def.graph_def)
    with open(file, "wb") as stream:
        stream.write(meta_graph_def.SerializeToString())


def _features(rows: int | None = None) -> tf.Tensor:
    return tf1.placeholder(tf.float32, [rows, _WEIGHTS_SHAPE[0]], "x")


def _weights(resource: bool = True) -> tf.Tensor:
    return tf1.get_variable(
        "weights", initializer=model_zoo.WEIGHTS, use_resource=resource
    )


def _of_features(
    compute: Callable[[tf.Tensor], tf.Tensor], rows: int | None = None
) -> Build:
    """Returns what builds a model from x to y."""

    def build() -> tuple[Tensors, Tensors]:
        x = _features(rows)
        return {"x": x}, {"y": tf.identity(compute(x), "y")}

    return build


def _dense(resource: bool = True) -> tuple[Tensors, Tensors]:
    return _of_features(lambda x: tf.matmul(x, _weights(resource)))()


def _partitioned() -> tuple[Tensors, Tensors]:
    weights = tf1.get_variable(
        "weights",
        _WEIGHTS_SHAPE,
        initializer=lambda shape, dtype, partition_info: tf.constant(
            model_zoo.WEIGHTS[
                partition_info.var_offset[0] : partition_info.var_offset[0]
                + shape[0]
            ]
        ),
        partitioner=tf1.fixed_size_partitioner(2),
        use_resource=False,
    )
    return _of_features(lambda x: tf.matmul(x, tf.convert_to_tensor(weights)))()


def _control_flow(of_2: bool, loop: bool) -> Build:
    """Returns what builds a branch or a loop, as TensorFlow 1 or 2 has it."""

    def cond(x: tf.Tensor) -> tf.Tensor:
        is_training = tf1.placeholder_with_default(False, [])
        return tf1.cond(is_training, lambda: x - x, lambda: tf.identity(x))

    def times_8(x: tf.Tensor) -> tf.Tensor:
        return tf1.while_loop(
            lambda i, z: i < 3,
            lambda i, z: (i + 1, z * 2.0),
            [tf.constant(0), x],
        )[1]

    def build() -> tuple[Tensors, Tensors]:
        switch = (
            tf1.enable_control_flow_v2 if of_2 else tf1.disable_control_flow_v2
        )
        switch()
        try:
            return _of_features(
                lambda x: tf.matmul((times_8 if loop else cond)(x), _weights())
            )()
        finally:
            tf1.enable_control_flow_v2()

    return build


def _on_gpu(x: tf.Tensor) -> tf.Tensor:
    with tf.device("/gpu:0"):
        return tf.matmul(x, tf.constant(model_zoo.WEIGHTS))


def _python(x: tf.Tensor) -> tf.Tensor:
    y = tf1.py_func(lambda rows: rows, [x], tf.float32)
    y.set_shape(x.shape)
    return y


def _of_unknown_shape(x: tf.Tensor) -> tf.Tensor:
    return tf1.placeholder_with_default(x, None)


def _table(initializer: object) -> tuple[Tensors, Tensors]:
    """Returns what a table is fed with and fetched from.

    Args:
      initializer: One of tf.lookup; it fills the table.
    """
    key = tf1.placeholder(tf.string, [None], "key")
    number = tf.lookup.StaticHashTable(initializer, -1).lookup(key)
    return {"key": key}, {"number": number}


def _table_in_graph() -> tuple[Tensors, Tensors]:
    numbers = tf.range(len(model_zoo.LINES), dtype=tf.int64)
    return _table(
        tf.lookup.KeyValueTensorInitializer([*model_zoo.LINES], numbers)
    )


def _lines(path: str) -> tf.lookup.TextFileInitializer:
    """Returns an initializer from the lines of a file to their numbers."""
    asset = tf.constant(path)
    tf1.add_to_collection(tf1.GraphKeys.ASSET_FILEPATHS, asset)
    return tf.lookup.TextFileInitializer(
        asset,
        tf.string,
        tf.lookup.TextFileIndex.WHOLE_LINE,
        tf.int64,
        tf.lookup.TextFileIndex.LINE_NUMBER,
    )


def _strings() -> tuple[Tensors, Tensors]:
    text = tf1.placeholder(tf.string, [None], "text")
    joined = tf.strings.join([text, tf.constant(b"\xff\0")])
    return {"text": text}, {"joined": joined}


def _sparse() -> tuple[Tensors, Tensors]:
    x = tf1.sparse_placeholder(tf.float32, [2, 4], "x")
    inputs = {
        "indices": x.indices,
        "values": x.values,
        "shape": tf1.placeholder_with_default(x.dense_shape, [2], "size"),
    }
    dense = tf1.sparse_to_dense(x.indices, inputs["shape"], x.values)
    return inputs, {"y": tf.matmul(dense, _weights())}


def _examples() -> tuple[Tensors, Tensors]:
    serialized = tf1.placeholder(tf.string, [None], "examples")
    features = tf1.parse_example(
        serialized,
        {"x": tf1.FixedLenFeature([_WEIGHTS_SHAPE[0]], tf.float32)},
    )
    return {"examples": serialized}, {"y": _matmul(features["x"])}


def _inputs(of_scale: list[int | None]) -> Build:
    """Returns a builder of a model that takes its factor as an input."""

    def build() -> tuple[Tensors, Tensors]:
        x = _features()
        scale = tf1.placeholder(tf.float32, of_scale, "scale")
        return {"x": x, "scale": scale}, {"y": _matmul(x) * scale}

    return build


def _rows_of_any_shape() -> tuple[Tensors, Tensors]:
    x = tf1.placeholder(tf.float32, [None, None], "x")
    return {"x": x}, {"y": tf.reduce_sum(x, axis=1)}


def _of_dtype(name: str) -> Build:
    def build() -> tuple[Tensors, Tensors]:
        x = tf1.placeholder(tf.as_dtype(name), [None, 2], "x")
        return {"x": x}, {"y": tf.identity(x, "y")}

    return build


def _scalar() -> tuple[Tensors, Tensors]:
    x = tf1.placeholder(tf.float32, [], "x")
    return {"x": x}, {"y": x * 2.0}


def _any_rank() -> tuple[Tensors, Tensors]:
    x = tf1.placeholder(tf.float32, None, "x")
    return {"x": x}, {"y": x * 2.0}


def _counter() -> tuple[Tensors, Tensors]:
    count = tf1.get_variable("count", initializer=0.0, use_resource=True)
    x = tf1.placeholder(tf.float32, [], "x")
    with tf.control_dependencies([count.assign_add(x, read_value=False)]):
        return {"x": x}, {"y": count.read_value()}


def _unknown_op(graph_def: tf.compat.v1.GraphDef) -> None:
    graph_def.node.add(name="new", op="OperationOfTomorrow")


def _unknown_attribute(graph_def: tf.compat.v1.GraphDef) -> None:
    for node in graph_def.node:
        if node.op == "MatMul":
            node.attr["of_tomorrow"].b = False


def _newer_consumer(graph_def: tf.compat.v1.GraphDef) -> None:
    graph_def.versions.min_consumer = 99999


def _builds() -> Iterator[tuple[str, Build]]:
    """Yields all but those that differ in how variables are written."""
    for name in (*model_zoo.DTYPES, "bfloat16", "qint8"):
        yield f"dtype_{name}", _of_dtype(name)
    for loop, kind in ((False, "cond"), (True, "loop")):
        yield f"{kind}_of_tensorflow_1", _control_flow(False, loop)
        yield f"{kind}_of_tensorflow_2", _control_flow(True, loop)
    for name, compute in _OF_FEATURES.items():
        yield name, _of_features(compute)
    yield "one_row", _of_features(lambda x: x - tf.reduce_mean(x), 1)
    yield "three_rows", _of_features(lambda x: x - tf.reduce_mean(x), 3)
    yield "table_in_graph", _table_in_graph
    yield "partitioned_variables", _partitioned
    yield "strings", _strings
    yield "examples", _examples
    yield "two_inputs", _inputs([None, 1])
    yield "rows_and_scalar", _inputs([])
    yield "rows_of_any_shape", _rows_of_any_shape
    yield "sparse", _sparse
    yield "scalar_input", _scalar
    yield "unknown_rank", _any_rank
    yield "counter", _counter


def _matmul(x: tf.Tensor) -> tf.Tensor:
    return tf.matmul(x, tf.constant(model_zoo.WEIGHTS))


_OF_FEATURES: Final[Mapping[str, Callable[[tf.Tensor], tf.Tensor]]] = {
    "frozen": _matmul,
    "unfed_placeholder": lambda x: (
        x * tf1.placeholder(tf.float32, [], "keep_prob")
    ),
    "coupled_rows": lambda x: x - tf.reduce_mean(x),
    "constant_output": lambda x: tf.constant([1.0, 2.0]),
    "twice_the_rows": lambda x: tf.concat([x, -x], 0),
    "scalar_output": tf.reduce_sum,
    "total_of_unknown_shape": lambda x: _of_unknown_shape(tf.reduce_sum(x)),
    "rows_of_unknown_shape": lambda x: _of_unknown_shape(_matmul(x)),
    "python": _python,
    "gpu": _on_gpu,
    "gpu_cleared": _on_gpu,
    "unknown_op": _matmul,
    "unknown_attribute": _matmul,
    "newer_consumer": _matmul,
}
_CHANGES: Final = {
    "unknown_op": _unknown_op,
    "unknown_attribute": _unknown_attribute,
    "newer_consumer": _newer_consumer,
}
_BUILDS: Final = dict(_builds())
