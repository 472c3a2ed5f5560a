"""SavedModels of y = 0.5 * x + 2, as TensorFlow 1 and 2 write them.

Each has a default signature from x to y, float32 [batch], and an asset with the
line "hello", from which a lookup table is filled when the model is loaded. The
signature "lookup" maps a line, string [batch], to its number, int64 [batch], or
to -1.
"""

import os

import tensorflow as tf

tf1 = tf.compat.v1


def write_tf1(path: str) -> None:
    """Writes one with TensorFlow 1's builder; the folder must not exist."""
    with tf.Graph().as_default(), tf1.Session() as session:
        a = tf1.get_variable("a", initializer=0.5, use_resource=False)
        b = tf1.get_variable("b", initializer=2.0, use_resource=True)
        x = tf1.placeholder(tf.float32, [None], name="x")
        y = tf.add(a * x, b, name="y")
        key = tf1.placeholder(tf.string, [None], name="key")
        asset = tf.constant(_write_asset(os.path.dirname(path)))
        tf1.add_to_collection(tf1.GraphKeys.ASSET_FILEPATHS, asset)
        number = tf.identity(_table(asset).lookup(key), name="number")
        session.run(tf1.global_variables_initializer())
        signature = tf1.saved_model.signature_def_utils.predict_signature_def
        builder = tf1.saved_model.builder.SavedModelBuilder(path)
        builder.add_meta_graph_and_variables(
            session,
            ["serve"],
            {
                "serving_default": signature({"x": x}, {"y": y}),
                "lookup": signature({"key": key}, {"number": number}),
            },
            assets_collection=tf1.get_collection(tf1.GraphKeys.ASSET_FILEPATHS),
            main_op=tf1.tables_initializer(),
        )
        builder.save()


def write_tf2(path: str) -> None:
    """Writes one with tf.saved_model.save(); its signatures are functions."""
    model = tf.Module()
    model.a = tf.Variable(0.5)
    model.b = tf.Variable(2.0)
    model.asset = tf.saved_model.Asset(_write_asset(os.path.dirname(path)))
    model.table = _table(model.asset)

    def predict(x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"y": model.a * x + model.b}

    def lookup(key: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"number": model.table.lookup(key)}

    tf.saved_model.save(
        model,
        path,
        {
            "serving_default": tf.function(predict).get_concrete_function(
                tf.TensorSpec([None], tf.float32, "x")
            ),
            "lookup": tf.function(lookup).get_concrete_function(
                tf.TensorSpec([None], tf.string, "key")
            ),
        },
    )


def _write_asset(folder: str) -> str:
    path = os.path.join(folder, "lines.txt")
    with open(path, "w", encoding="utf-8") as file:
        file.write("hello\n")
    return path


def _table(asset: tf.Tensor) -> tf.lookup.StaticHashTable:
    return tf.lookup.StaticHashTable(
        tf.lookup.TextFileInitializer(
            asset,
            tf.string,
            tf.lookup.TextFileIndex.WHOLE_LINE,
            tf.int64,
            tf.lookup.TextFileIndex.LINE_NUMBER,
        ),
        -1,
    )
