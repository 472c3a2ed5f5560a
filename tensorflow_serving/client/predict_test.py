"""Tests for predict, as a process."""

import os
import subprocess

import grpc
import numpy as np
from absl.testing import absltest, parameterized

from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    predict_pb2,
    tensor_codec,
)
from tensorflow_serving.client import canned_server
from tensorflow_serving.tensorflow_c.protos import types_pb2

# The program stands beside this test.
_PROGRAM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "predict")


def _metadata() -> get_model_metadata_pb2.GetModelMetadataResponse:
    signatures = get_model_metadata_pb2.SignatureDefMap()
    signatures.signature_def["serving_default"].inputs[
        "x"
    ].dtype = types_pb2.DT_FLOAT
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    response.metadata["signature_def"].Pack(signatures)
    return response


def _run(*flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [_PROGRAM, *flags], capture_output=True, text=True, check=False
    )


class PredictTest(parameterized.TestCase):
    """The program, from the command line to what it prints."""

    def setUp(self) -> None:
        """Starts a server."""
        super().setUp()
        self._server = canned_server.CannedServer()
        self.addCleanup(self._server.close)
        self._flags = (f"--server={self._server.address}", "--model=m")

    def test_outputs_are_printed(self) -> None:
        """Inputs have the dtype that the server says."""
        response = predict_pb2.PredictResponse()
        response.outputs["y"].CopyFrom(
            tensor_codec.to_proto(np.array([2.5, 3.0], np.float32))
        )
        self._server.answers = [_metadata(), response]
        program = _run(*self._flags, '--json={"x": [1, 2]}')
        self.assertEqual(program.stderr, "")
        self.assertEqual(program.stdout, '{"y": [2.5, 3.0]}\n')
        np.testing.assert_array_equal(
            tensor_codec.to_array(self._server.requests[1].inputs["x"]),
            np.array([1, 2], np.float32),
        )

    def test_key_comes_from_a_file(self) -> None:
        """The first key in the file is sent, with both calls."""
        path = self.create_tempfile(content="# mine\nabc\ndef\n").full_path
        self._server.answers = [_metadata(), predict_pb2.PredictResponse()]
        program = _run(
            *self._flags, '--json={"x": 1}', f"--api_key_file={path}"
        )
        self.assertEqual(program.stderr, "")
        for metadata in self._server.metadata:
            self.assertEqual(metadata["authorization"], "Bearer abc")

    def test_failure_is_one_line(self) -> None:
        """It has the text of the server."""
        self._server.answers = [grpc.StatusCode.NOT_FOUND]
        program = _run(*self._flags, '--json={"x": 1}')
        self.assertEqual(program.returncode, 1)
        self.assertEqual(program.stderr, "ERROR: answer is NOT_FOUND\n")

    @parameterized.parameters(
        ("--signature=other", "--signature must be one of"),
        ('--json={"y": 1}', "--json must be an object with the inputs"),
    )
    def test_wrong_flag_is_named(self, flag: str, text: str) -> None:
        """The signatures of the model say what is right."""
        self._server.answers = [_metadata()]
        program = _run(*self._flags, '--json={"x": 1}', flag)
        self.assertEqual(program.returncode, 1)
        self.assertRegex(program.stderr, f"^ERROR: {text}")


if __name__ == "__main__":
    absltest.main()
