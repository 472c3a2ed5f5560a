"""Tests of batching by the model server as a process, with its files."""

import os
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt
from absl.testing import absltest, parameterized

from tensorflow_serving.apis import (
    predict_pb2,
    prediction_service_pb2_grpc,
    tensor_codec,
)
from tensorflow_serving.test_util import (
    model_server_folder,
    small_model,
)
from tensorflow_serving.util import server_process

_SERVER = os.path.join(os.path.dirname(__file__), "tensorflow_model_server")
_AVAILABLE = "{{name: {} version: 1}} is AVAILABLE"
# A batch that is not full waits for as long as a test takes.
_PAIRS = (
    "max_batch_size { value: 2 } batch_timeout_micros { value: 600000000 } "
    "max_enqueued_batches { value: 1 } "
)


def _request(
    model: str, x: npt.ArrayLike, signature_name: str = ""
) -> predict_pb2.PredictRequest:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    request.model_spec.signature_name = signature_name
    request.inputs["x"].CopyFrom(tensor_codec.to_proto(np.array(x, np.float32)))
    return request


def _y(response: predict_pb2.PredictResponse) -> Any:
    return tensor_codec.to_array(response.outputs["y"]).tolist()


class BatchingTest(parameterized.TestCase):
    """Tests of a server with small models."""

    def setUp(self) -> None:
        """Makes a folder for models and for the socket."""
        super().setUp()
        self.folder = model_server_folder.ModelServerFolder()
        self.enter_context(self.folder)

    def _write(self, name: str, parameters: str | None = None) -> None:
        """Writes version 1 of a model, perhaps with parameters of its own."""
        path = self.folder.write(name, write=small_model.write)
        if parameters is not None:
            self._write_file(f"{path}/batching_params.pbtxt", parameters)

    def _write_file(self, path: str, content: str) -> str:
        with open(path, "w", encoding="utf-8") as file:
            file.write(content)
        return path

    def _start(
        self, *names: str, parameters: str, flags: tuple[str, ...] = ()
    ) -> server_process.ServerProcess:
        config = self.folder.write_config(*names)
        batching = self._write_file(f"{self.folder.path}/batching", parameters)
        server = self.folder.start(
            _SERVER,
            f"--model_config_file={config}",
            "--enable_batching",
            f"--batching_parameters_file={batching}",
            *flags,
        )
        self.enter_context(server)
        return server

    def _stub(self) -> Any:
        """Returns a stub whose calls arrive in their order."""
        channel = grpc.insecure_channel(self.folder.address)
        self.addCleanup(channel.close)
        grpc.channel_ready_future(channel).result(timeout=60)
        return prediction_service_pb2_grpc.PredictionServiceStub(channel)

    @parameterized.parameters(
        ("pad_variable_length_inputs: true", [[1, 2, 1]]),
        ("pad_variable_length_inputs: false", [[1, 2]]),
    )
    def test_calls_of_other_lengths_share_a_batch(
        self, parameter: str, expected: list[list[float]]
    ) -> None:
        """The first call waits for the second, and is padded if they share."""
        self._write("m")
        server = self._start("m", parameters=_PAIRS + parameter)
        server.wait_for_log(_AVAILABLE.format("m"))
        stub = self._stub()
        first = stub.Predict.future(_request("m", [[1, 2]], "echo"))
        second = stub.Predict(_request("m", [[3, 4, 5]], "echo"))
        self.assertEqual(_y(second), [[3, 4, 5]])
        self.assertEqual(_y(first.result(timeout=60)), expected)

    def test_call_without_room_is_refused_with_its_reason(self) -> None:
        """A full queue may have room again; a large call never fits."""
        self._write("m")
        server = self._start("m", parameters=_PAIRS)
        server.wait_for_log(_AVAILABLE.format("m"))
        server.wait_for_log("Calls of no_rows are never merged")
        stub = self._stub()
        waiting = stub.Predict.future(_request("m", [4]))
        codes = [
            stub.Predict.future(_request("m", x)).exception(timeout=60).code()
            for x in ([1, 2], [1, 2, 3])
        ]
        self.assertEqual(
            codes,
            [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INVALID_ARGUMENT],
        )
        self.assertEqual(_y(stub.Predict(_request("m", [6]))), [5])
        self.assertEqual(_y(waiting.result(timeout=60)), [4])

    def test_large_call_is_split_and_answered_as_bytes(self) -> None:
        """Flags and files of today's servers mean what they mean there."""
        self._write("m")
        server = self._start(
            "m",
            parameters="max_batch_size { value: 8 } "
            "enable_large_batch_splitting { value: true } "
            "max_execution_batch_size { value: 2 } "
            "allowed_batch_sizes: 1 allowed_batch_sizes: 2",
            flags=("--enable_serialization_as_tensor_content",),
        )
        server.wait_for_log(_AVAILABLE.format("m"))
        response = self._stub().Predict(_request("m", [0, 2, 4, 6, 8]))
        self.assertEqual(_y(response), [2, 3, 4, 5, 6])
        self.assertEqual(len(response.outputs["y"].tensor_content), 5 * 4)

    def test_each_version_may_have_parameters_of_its_own(self) -> None:
        """One without a file is not batched; a broken file ends one load."""
        self._write("pairs", _PAIRS)
        self._write("alone")
        self._write("broken", "max_batch_size: 2")
        server = self._start(
            "pairs",
            "alone",
            "broken",
            parameters="num_batch_threads { value: 2 }",
            flags=("--enable_per_model_batching_parameters",),
        )
        for name in ("pairs", "alone"):
            server.wait_for_log(_AVAILABLE.format(name))
        server.wait_for_log(
            "batching parameters of a version must be .*broken/1/batching_"
        )
        stub = self._stub()
        waiting = stub.Predict.future(_request("pairs", [2]))
        self.assertEqual(_y(stub.Predict(_request("alone", [2] * 9))), [3] * 9)
        self.assertFalse(waiting.done())
        self.assertEqual(_y(stub.Predict(_request("pairs", [4]))), [4])
        self.assertEqual(_y(waiting.result(timeout=60)), [3])
        self.assertEqual(server.stop(), 0)


if __name__ == "__main__":
    absltest.main()
