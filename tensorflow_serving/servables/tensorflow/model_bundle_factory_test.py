"""Tests for model_bundle_factory."""

import os
import subprocess
import sys

import numpy as np
from absl.testing import absltest, parameterized

from tensorflow_serving.servables.tensorflow import (
    model_bundle_factory,
    session_bundle_config_pb2,
    signature_defs,
)
from tensorflow_serving.test_util import tflite_models, written_models
from tensorflow_serving.util import errors

_SAVED_MODEL, _EXPORT = "saved_model", "export"
_MODELS = {
    _SAVED_MODEL: written_models.SAVED_MODEL_TF2,
    _EXPORT: written_models.HALF_PLUS_TWO,
}


_LIBRARY = "libtensorflow_cc"
_PRINT_MAPS = f"""
import sys
sys.path = {sys.path}
from tensorflow_serving.servables.tensorflow import (
    model_bundle_factory,
    session_bundle_config_pb2,
)
config = session_bundle_config_pb2.SessionBundleConfig(
    prefer_tflite_model="tflite" in sys.argv
)
with model_bundle_factory.ModelBundleFactory(config) as factory:
    if "none" not in sys.argv:
        factory.preload()
with open("/proc/self/maps") as maps:
    print(maps.read())
"""


class ModelBundleFactoryTest(parameterized.TestCase):
    """Tests of which model of a folder is taken: TFLite adds 30, others 2."""

    def setUp(self) -> None:
        """Chooses a folder."""
        super().setUp()
        self._path = os.path.join(self.create_tempdir().full_path, "1")

    @parameterized.parameters((True, "any"), (False, "tflite"), (False, "none"))
    def test_tensorflow_is_loaded_before_the_first_model(
        self, is_loaded: bool, argument: str
    ) -> None:
        """It is, if somebody says that there will be models that need it."""
        maps = subprocess.run(
            [sys.executable, "-c", _PRINT_MAPS, argument],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        self.assertEqual(_LIBRARY in maps, is_loaded)

    def _write(self, *names: str) -> None:
        for name in names:
            if name in _MODELS:
                written_models.copy(_MODELS[name], self._path)
        os.makedirs(self._path, exist_ok=True)
        if "tflite" in names:
            file = os.path.join(self._path, "model.tflite")
            with open(file, "wb") as target:
                target.write(tflite_models.half_plus(30))

    def _answer(self, *, prefers_tflite: bool) -> float:
        """Returns what the model makes of 0."""
        config = session_bundle_config_pb2.SessionBundleConfig(
            prefer_tflite_model=prefers_tflite, num_tflite_pools=1
        )
        with (
            model_bundle_factory.ModelBundleFactory(config) as factory,
            factory.create_session_bundle(self._path) as bundle,
        ):
            self.assertGreater(
                factory.estimate_resource_requirement(self._path), 500
            )
            definitions = signature_defs.signature_defs(bundle)
            definition = next(
                each
                for each in definitions.values()
                if "x" in each.inputs and "y" in each.outputs
            )
            x = definition.inputs["x"]
            shape = [1 for _ in x.tensor_shape.dim]
            (y,) = bundle.session.run(
                [definition.outputs["y"].name],
                {x.name: np.zeros(shape, np.float32)},
            )
            return float(y.item())

    @parameterized.parameters(
        (["tflite"], False, 30),
        (["tflite"], True, 30),
        ([_SAVED_MODEL], True, 2),
        ([_EXPORT], True, 2),
        ([_SAVED_MODEL, "tflite"], False, 2),
        ([_SAVED_MODEL, "tflite"], True, 30),
        ([_EXPORT, "tflite"], False, 2),
        ([_EXPORT, "tflite"], True, 30),
    )
    def test_tflite_model_is_taken_if_it_is_preferred_or_alone(
        self, names: list[str], prefers_tflite: bool, answer: float
    ) -> None:
        """A TFLite model is taken if it is preferred, or the only model."""
        self._write(*names)
        self.assertEqual(self._answer(prefers_tflite=prefers_tflite), answer)

    def test_broken_tflite_model_is_not_passed_over(self) -> None:
        """A preferred model that is broken is an error of the load."""
        self._write(_SAVED_MODEL, "tflite")
        os.truncate(os.path.join(self._path, "model.tflite"), 300)
        with self.assertRaises(errors.DataLossError):
            self._answer(prefers_tflite=True)
        self.assertEqual(self._answer(prefers_tflite=False), 2)

    def test_folder_without_a_model_is_refused(self) -> None:
        """The error of a folder without a model says what is looked for."""
        self._write()
        with self.assertRaisesRegex(errors.NotFoundError, "SavedModel file"):
            self._answer(prefers_tflite=True)


if __name__ == "__main__":
    absltest.main()
