"""Tests of the model server as a process that serves TFLite models."""

import concurrent.futures
import os

import numpy as np
from absl.testing import absltest, parameterized

from tensorflow_serving.client import calls, client, examples, options
from tensorflow_serving.tensorflow_c.protos import meta_graph_pb2
from tensorflow_serving.test_util import (
    model_server_folder,
    tflite_models,
)
from tensorflow_serving.util import errors, server_process

_SERVER = os.path.join(os.path.dirname(__file__), "tensorflow_model_server")
_X = np.array([1, 2, 5], np.float32)
_MODEL = calls.Model("m")
_AVAILABLE = "{{name: m version: {}}} is AVAILABLE"


class ModelServerTfliteTest(parameterized.TestCase):
    """Tests with half plus two as a SavedModel, and half plus 30 as TFLite."""

    def setUp(self) -> None:
        """Makes a folder for versions and for the socket."""
        super().setUp()
        self.folder = model_server_folder.ModelServerFolder()
        self.enter_context(self.folder)
        self.client = client.Client(options.Options(self.folder.address))
        self.addCleanup(self.client.close)

    def _start(self, *flags: str) -> server_process.ServerProcess:
        server = self.folder.start(
            _SERVER,
            "--model_name=m",
            f"--model_base_path={self.folder.base_path('m')}",
            *flags,
        )
        self.enter_context(server)
        return server

    def _write(self, version: int, content: bytes) -> str:
        """Writes a model.tflite; returns its path."""
        folder = os.path.join(self.folder.base_path("m"), str(version))
        os.makedirs(folder, exist_ok=True)
        path = os.path.join(folder, "model.tflite")
        with open(path, "wb") as file:
            file.write(content)
        return path

    def _predict(self) -> list[float]:
        (y,) = self.client.predict(_MODEL, {"x": _X}).outputs.values()
        return [float(value) for value in y]

    @parameterized.parameters(
        (False, True, 30),
        (True, True, 30),
        (False, False, 30),
        (True, False, 2),
    )
    def test_flag_decides_between_two_models(
        self, has_saved_model: bool, prefers_tflite: bool, bias: float
    ) -> None:
        """A TFLite model serves if it is preferred, or if it is alone."""
        if has_saved_model:
            self.folder.write("m")
        self._write(1, tflite_models.half_plus(30))
        server = self._start(*["--prefer_tflite_model"] * prefers_tflite)
        server.wait_for_log(_AVAILABLE.format(1))
        self.assertEqual(self._predict(), (_X / 2 + bias).tolist())
        self.assertEqual(server.stop(), 0)

    @parameterized.parameters((), ("--enable_batching",))
    def test_concurrent_calls_get_their_answers(self, *flags: str) -> None:
        """Calls of several clients share interpreters and mix up nothing."""
        tensor = tflite_models.Tensor("x", [1, 2], shape_signature=[-1, 2])
        self._write(1, tflite_models.copy(tensor))
        server = self._start(
            "--num_tflite_pools=2",
            "--num_tflite_interpreters_per_pool=2",
            *flags,
        )
        server.wait_for_log(_AVAILABLE.format(1))

        def call(seed: int) -> None:
            random = np.random.default_rng(seed)
            for _ in range(50):
                x = random.random((random.integers(1, 9), 2), np.float32)
                y = self.client.predict(_MODEL, {"x": x}).outputs["y"]
                np.testing.assert_array_equal(y, x.reshape(-1, 1))

        with concurrent.futures.ThreadPoolExecutor(8) as executor:
            for future in [executor.submit(call, seed) for seed in range(8)]:
                future.result()

    def test_texts_are_classified(self) -> None:
        """A signature of the metadata says which method a model is for."""
        definition = meta_graph_pb2.SignatureDef(
            method_name="tensorflow/serving/classify"
        )
        definition.inputs["inputs"].name = "x"
        definition.outputs["classes"].name = "y"
        tensor = tflite_models.Tensor(
            "x", [1], tflite_models.TensorType.STRING, shape_signature=[-1]
        )
        self._write(
            1,
            tflite_models.copy(
                tensor, signatures={"serving_default": definition}
            ),
        )
        server = self._start()
        server.wait_for_log(_AVAILABLE.format(1))
        features = [{"a": "one"}, {"b": "text"}]
        found = self.client.classify(_MODEL, features).classes
        self.assertEqual(
            [[each.label for each in classes] for classes in found],
            [
                [examples.to_example(each).SerializeToString().decode()]
                for each in features
            ],
        )

    def test_broken_model_does_not_serve(self) -> None:
        """A new version that is broken leaves the old one where it is."""
        self._write(1, tflite_models.half_plus(2))
        server = self._start()
        server.wait_for_log(_AVAILABLE.format(1))
        whole = tflite_models.half_plus(3)
        path = self._write(2, whole[:300])
        server.wait_for_log("truncated or corrupt file: .*/2/model.tflite")
        self.assertEqual(self._predict(), [2.5, 3, 4.5])
        with open(path, "ab") as file:
            file.write(whole[300:])
        server.wait_for_log(_AVAILABLE.format(2))
        self.assertEqual(self._predict(), [3.5, 4, 5.5])
        self._write(3, tflite_models.custom("Zap"))
        server.wait_for_log("unresolved custom op: Zap")
        self.assertEqual(self._predict(), [3.5, 4, 5.5])

    def test_wrong_inputs_are_the_callers_fault(self) -> None:
        """The error names the input, and the next call is answered."""
        self._write(1, tflite_models.half_plus(2))
        server = self._start("--num_tflite_pools=1")
        server.wait_for_log(_AVAILABLE.format(1))
        for x, text in (
            (np.ones([2, 3], np.float32), r"x:0 must have shape \[\?, 1\]"),
            (np.ones([0, 1], np.float32), "x:0 .* must have an element"),
            (np.ones([2, 1], np.float64), "x must have dtype float32"),
        ):
            with self.assertRaisesRegex(errors.InvalidArgumentError, text):
                self.client.predict(_MODEL, {"x": x})
            self.assertEqual(self._predict(), [2.5, 3, 4.5])


if __name__ == "__main__":
    absltest.main()
