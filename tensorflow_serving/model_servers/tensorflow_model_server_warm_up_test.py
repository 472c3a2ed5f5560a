"""Tests of the model server as a process, with warm-up requests."""

import functools
import os
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from absl.testing import absltest, parameterized

from tensorflow_serving.apis import (
    get_model_status_pb2,
    prediction_log_pb2,
    tensor_codec,
)
from tensorflow_serving.client import calls, client, options
from tensorflow_serving.servables.tensorflow import warm_up_requests
from tensorflow_serving.test_util import (
    model_server_folder,
    tflite_models,
    written_models,
)
from tensorflow_serving.util import server_process, tf_record

_SERVER = os.path.join(os.path.dirname(__file__), "tensorflow_model_server")
_X = np.array([[1], [2]], np.float32)
_Status = get_model_status_pb2.ModelVersionStatus


def _request(key: str, x: npt.NDArray[np.float32] = _X) -> bytes:
    log = prediction_log_pb2.PredictionLog()
    log.predict_log.request.inputs[key].CopyFrom(tensor_codec.to_proto(x))
    return log.SerializeToString()


def _write_version(model: str, records: Sequence[bytes], path: str) -> None:
    """Writes a model with its requests to a folder."""
    if model.endswith("tflite"):
        os.makedirs(path)
        with open(os.path.join(path, model), "wb") as file:
            file.write(tflite_models.half_plus(2))
    else:
        written_models.copy(model, path)
    requests = os.path.join(path, warm_up_requests.PATH)
    os.makedirs(os.path.dirname(requests), exist_ok=True)
    with open(requests, "wb") as file:
        for record in records:
            tf_record.write(file, record)


class ModelServerWarmUpTest(parameterized.TestCase):
    """Tests with half plus two in all formats."""

    def setUp(self) -> None:
        """Makes a folder for models and for the socket."""
        super().setUp()
        self.folder = model_server_folder.ModelServerFolder()
        self.enter_context(self.folder)
        self.client = client.Client(options.Options(self.folder.address))
        self.addCleanup(self.client.close)

    def _write(
        self, name: str, version: int, model: str, *records: bytes
    ) -> None:
        """Writes a version of a model with its requests."""
        self.folder.write(
            name, version, functools.partial(_write_version, model, records)
        )

    def _start(self, *flags: str) -> server_process.ServerProcess:
        config = self.folder.write_config(*os.listdir(self.folder.path))
        server = self.folder.start(
            _SERVER, f"--model_config_file={config}", *flags
        )
        self.enter_context(server)
        return server

    @parameterized.parameters((), ("--enable_batching",))
    def test_requests_of_all_formats_are_replayed(self, *flags: str) -> None:
        """A version replays its requests before it is AVAILABLE."""
        for name, model, key, x in (
            ("export", written_models.HALF_PLUS_TWO, "inputs", _X),
            ("saved_model", written_models.SAVED_MODEL_TF2, "x", _X),
            ("tflite", "model.tflite", "x", _X[:, 0]),
        ):
            self._write(name, 1, model, _request(key, x), _request(key, x))
        server = self._start("--num_request_iterations_for_warmup=2", *flags)
        for name in ("export", "saved_model", "tflite"):
            replayed = server.wait_for_log(
                f"Replayed 2 warm-up requests of .*/{name}/1$"
            )
            server.wait_for_log(
                f"{{name: {name} version: 1}} is AVAILABLE$", replayed
            )
            (status,) = self.client.status(calls.Model(name))
            self.assertEqual(status.status.error_message, "")

    def test_failed_warm_up_is_in_the_status(self) -> None:
        """The version serves, and its status says what went wrong."""
        model = written_models.SAVED_MODEL_TF2
        self._write("m", 1, model, _request("x"), _request("q"))
        server = self._start()
        server.wait_for_log(
            "version: 1} is AVAILABLE .warning: warm-up request 2 failed: "
            "INVALID_ARGUMENT"
        )
        (status,) = self.client.status(calls.Model("m"))
        self.assertEqual(
            (status.state, status.status.error_code), (_Status.AVAILABLE, 0)
        )
        self.assertIn("missing ['x']", status.status.error_message)
        (y,) = self.client.predict(calls.Model("m"), {"x": _X}).outputs.values()
        np.testing.assert_array_equal(y, _X / 2 + 2)

    def test_failed_warm_up_is_a_failed_load_if_it_is_required(self) -> None:
        """The version before it goes on to serve."""
        model = written_models.SAVED_MODEL_TF2
        self._write("m", 1, model, _request("x"))
        server = self._start("--require_model_warmup")
        server.wait_for_log("version: 1} is AVAILABLE$")
        self._write("m", 2, model, b"\xff")
        server.wait_for_log(
            "version: 2} is END: INVALID_ARGUMENT: Failed to parse warmup "
            "record 1"
        )
        prediction = self.client.predict(calls.Model("m"), {"x": _X})
        self.assertEqual(prediction.model.version.value, 1)

    def test_no_request_is_replayed_if_warm_up_is_off(self) -> None:
        """Nobody looks at the file."""
        self._write("m", 1, written_models.SAVED_MODEL_TF2, b"\xff")
        server = self._start("--noenable_model_warmup")
        server.wait_for_log("version: 1} is AVAILABLE$")


if __name__ == "__main__":
    absltest.main()
