"""Tests for tflite_session."""

import io
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
from absl.testing import absltest, parameterized

from tensorflow_serving.servables.tensorflow import (
    tflite_interpreters,
    tflite_session,
    tflite_signatures,
)
from tensorflow_serving.sources.storage_path import tflite_file
from tensorflow_serving.test_util import tflite_models
from tensorflow_serving.util import errors

_DTYPES = {
    "FLOAT16": np.float16,
    "FLOAT32": np.float32,
    "FLOAT64": np.float64,
    "BFLOAT16": ml_dtypes.bfloat16,
    "INT8": np.int8,
    "INT16": np.int16,
    "INT32": np.int32,
    "INT64": np.int64,
    "UINT8": np.uint8,
    "UINT16": np.uint16,
    "UINT32": np.uint32,
    "UINT64": np.uint64,
    "BOOL": np.bool_,
    "COMPLEX64": np.complex64,
    "COMPLEX128": np.complex128,
}


class TfLiteSessionTest(parameterized.TestCase):
    """Tests with models that were made for them."""

    def _open(self, content: bytes) -> tflite_session.TfLiteSession:
        model = tflite_file.read(io.BytesIO(content))
        session = tflite_session.TfLiteSession(
            tflite_interpreters.Interpreters(content, 1, has_variables=False),
            tflite_signatures.signatures(model).tensors,
        )
        self.addCleanup(session.close)
        return session

    def _copied(self, type_name: str, x: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Returns what a model makes of a value that it only copies."""
        number = getattr(tflite_models.TensorType, type_name)
        tensor = tflite_models.Tensor("x", [1, 2], number)
        session = self._open(tflite_models.copy(tensor))
        (y,) = session.run(["y:0"], {"x:0": x})
        return y.reshape(x.shape)

    @parameterized.parameters(*_DTYPES)
    def test_elements_of_each_type_arrive_as_they_are(self, name: str) -> None:
        """Elements of each type reach the model and come back as they are."""
        x = np.array([[0, 1], [1, 0], [1, 1]]).astype(_DTYPES[name])
        y = self._copied(name, x)
        self.assertEqual(y.dtype, x.dtype)
        np.testing.assert_array_equal(y, x)

    def test_texts_of_any_bytes_arrive_as_they_are(self) -> None:
        """Texts may hold zeros, and bytes that are not UTF-8."""
        x = np.array([[b"", b"a\0b\0"], [b"\xff", b"c" * 10000]], object)
        y = self._copied("STRING", x)
        self.assertEqual(y.tolist(), x.tolist())

    def test_array_with_gaps_is_read_right(self) -> None:
        """An array whose elements have gaps is read in order."""
        whole = np.arange(24, dtype=np.int32).reshape(6, 4)
        for x in (whole[::2, ::3], whole[2:4, 1:3].T):
            np.testing.assert_array_equal(self._copied("INT32", x), x)

    @parameterized.parameters(
        (np.ones([2, 3], np.float32), r"shape \[\?, 2\]; got \[2, 3\]"),
        (np.ones([4], np.float32), r"shape \[\?, 2\]; got \[4\]"),
        (np.ones([0, 2], np.float32), r"an element; got shape \[0, 2\]"),
        (np.ones([1, 2], np.float64), "dtype float32; got float64"),
        (np.array([[b"a", b"b"]], object), "dtype float32; got string"),
        (np.ones([1, 2], ">f4"), "dtype float32; got >f4"),
    )
    def test_value_that_does_not_fit_is_refused(
        self, x: npt.NDArray[Any], text: str
    ) -> None:
        """A value that does not fit does not reach the interpreter."""
        with self.assertRaisesRegex(errors.InvalidArgumentError, text):
            self._copied("FLOAT32", x)

    def test_unknown_tensors_are_refused(self) -> None:
        """A tensor that is in no signature can be neither fed nor fetched."""
        session = self._open(tflite_models.half_plus(2))
        with self.assertRaisesRegex(errors.InvalidArgumentError, "got z:0"):
            session.make_callable(["z:0"], ["x:0"])
        with self.assertRaisesRegex(errors.InvalidArgumentError, "got z:0"):
            session.tensor_spec("z:0")

    def test_closed_session_refuses_calls(self) -> None:
        """A function of a session refuses calls once the session is closed."""
        session = self._open(tflite_models.half_plus(2))
        function = session.make_callable(["y:0"], ["x:0"])
        x = np.ones([3], np.float32)
        np.testing.assert_array_equal(function(x), [[2.5, 2.5, 2.5]])
        session.close()
        with self.assertRaisesRegex(errors.FailedPreconditionError, "closed"):
            function(x)


if __name__ == "__main__":
    absltest.main()
