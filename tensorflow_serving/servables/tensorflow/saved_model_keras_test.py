"""Tests that models of Keras 3 are served, however they were saved."""

import os
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from absl.testing import absltest, parameterized

from tensorflow_serving.servables.tensorflow import saved_model
from tensorflow_serving.util import errors

_X = np.array([[1.0, 2.0, 3.0]], np.float32)
_KERNEL = np.arange(6.0).reshape(3, 2).astype(np.float32)


class SavedModelKerasTest(parameterized.TestCase):
    """Tests with models that TensorFlow and Keras write here."""

    def _run(self, path: str, x: npt.NDArray[Any]) -> npt.NDArray[Any]:
        with saved_model.load_saved_model_from_path(path) as bundle:
            signature = bundle.meta_graph_def.signature_def["serving_default"]
            (feed,) = signature.inputs.values()
            (fetch,) = signature.outputs.values()
            (y,) = bundle.session.run([fetch.name], {feed.name: x})
        return np.asarray(y)

    @parameterized.parameters("export", "save")
    def test_dense_model_answers_as_its_weights_say(self, way: str) -> None:
        """Weights are restored even if the restore op of save() misses them."""
        layer = tf.keras.layers.Dense(2)
        model = tf.keras.Sequential([tf.keras.layers.Input((3,)), layer])
        layer.set_weights([_KERNEL, np.array([1.0, -1.0], np.float32)])
        path = os.path.join(self.create_tempdir().full_path, "1")
        if way == "export":
            model.export(path, verbose=False)
        else:
            tf.saved_model.save(model, path)
        np.testing.assert_allclose(self._run(path, _X), _X @ _KERNEL + [1, -1])

    def test_model_that_was_trained_is_served_after_save(self) -> None:
        """Variables of the optimizer and of the seed do not matter."""
        model = tf.keras.Sequential(
            [
                tf.keras.layers.Input((3,)),
                tf.keras.layers.Dropout(0.5),
                tf.keras.layers.BatchNormalization(),
                tf.keras.layers.Dense(1),
            ]
        )
        model.compile("adam", "mse")
        model.fit(np.ones((4, 3)), np.ones((4, 1)), verbose=0)
        path = os.path.join(self.create_tempdir().full_path, "1")
        tf.saved_model.save(model, path)
        np.testing.assert_allclose(
            self._run(path, _X), model(_X).numpy(), rtol=1e-5
        )

    def test_variables_of_one_name_are_not_guessed(self) -> None:
        """A model is refused if a name does not tell which value is meant."""

        class Twins(tf.keras.Model):  # type: ignore[misc]
            """Has two layers that are called the same."""

            def __init__(self) -> None:
                super().__init__()
                self.first = tf.keras.layers.Dense(3, name="twin")
                self.second = tf.keras.layers.Dense(3, name="twin")

            def call(self, x: Any) -> Any:
                return self.second(self.first(x))

        model = Twins()
        model(_X)
        path = os.path.join(self.create_tempdir().full_path, "1")
        function = tf.function(lambda x: model(x)).get_concrete_function(
            tf.TensorSpec([None, 3], tf.float32)
        )
        tf.saved_model.save(model, path, signatures=function)
        with self.assertRaisesRegex(
            errors.FailedPreconditionError,
            r"exactly one variable called .*; got 2\. .*model\.export\(\)",
        ):
            self._run(path, _X)


if __name__ == "__main__":
    absltest.main()
