"""Models for tests, whose answers show which version gave them.

Each score of version 7 is 7.0, whatever the image. The models are exports like
those of mnist_export, so that mnist_inference and mnist_inference_2 serve them.
"""

import tensorflow as tf

from tensorflow_serving.session_bundle import exporter

tf1 = tf.compat.v1


def export(
    base_path: str, version: int, input_dtype: tf.DType = tf.float32
) -> str:
    """Exports a version; returns its folder.

    Args:
      base_path: The folder of the model.
      version: The number of the version.
      input_dtype: The dtype of the images; servers take only float32.

    Raises:
      AlreadyExistsError: There is such a version.
    """
    with tf.Graph().as_default(), tf1.Session() as session:
        x = tf1.placeholder(input_dtype, [None, 784])
        scores = tf1.get_variable(
            "scores",
            initializer=tf.fill([10], float(version)),
            use_resource=True,
        )
        y = 0.0 * tf.cast(x, tf.float32)[:, :10] + scores
        session.run(tf1.global_variables_initializer())
        saver = tf1.train.Saver(
            sharded=True, write_version=tf1.train.SaverDef.V1
        )
        model_exporter = exporter.Exporter(saver)
        model_exporter.init(
            default_graph_signature=exporter.classification_signature(
                x, scores_tensor=y
            )
        )
        return model_exporter.export(base_path, tf.constant(version), session)
