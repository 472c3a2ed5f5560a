"""Tests for status."""

from absl.testing import absltest, parameterized

from tensorflow_serving.tensorflow_c import library, status
from tensorflow_serving.util import errors


class StatusTest(parameterized.TestCase):
    """How a function of the C API went."""

    def test_new_status_is_ok(self) -> None:
        """There is nothing to raise."""
        with status.Status() as new:
            new.check()

    def test_status_of_a_failure_is_raised_with_its_code(self) -> None:
        """A library that does not exist is NOT_FOUND."""
        functions = library.load().functions
        with status.Status() as failed:
            functions.TF_LoadLibrary(b"/no/such/library.so", failed.pointer)
            with self.assertRaisesRegex(errors.NotFoundError, "library.so"):
                failed.check()

    def test_status_is_used_again(self) -> None:
        """The one that was given back is handed out next."""
        first = status.acquire()
        status.release(first)
        second = status.acquire()
        self.assertIs(second, first)
        status.release(second)

    def test_close_is_idempotent(self) -> None:
        """The memory is freed once."""
        closed = status.Status()
        closed.close()
        closed.close()
        self.assertIsNone(closed.pointer)

    @parameterized.named_parameters(
        (
            "wrapped",
            "Graph execution error:\n\nDetected at node 'x' defined at (most "
            "recent call last):\nNode: 'x'\n2 root error(s) found.\n"
            "  (0) DATA_LOSS: file is too short\n\t [[{{node x}}]]\n"
            "  (1) DATA_LOSS: another\n0 successful operations.\n",
            "file is too short",
        ),
        ("plain", "file is too short\n\t [[{{node x}}]]", "file is too short"),
        ("empty", "", "DataLossError"),
        ("long", "x" * 5000, "x" * 1000),
    )
    def test_cause_is_the_first_line_that_says_one(
        self, message: str, expected: str
    ) -> None:
        """Names of nodes around it are left out; it has 1,000 characters."""
        error = status.to_error(errors.StatusCode.DATA_LOSS, message)
        self.assertIsInstance(error, errors.DataLossError)
        self.assertEqual(str(error), expected)

    @parameterized.named_parameters(
        (
            "value",
            "StringToNumberOp could not correctly convert string: secret\n"
            "\t [[{{node to_number}}]]",
            "a string is not a number",
        ),
        (
            "unknown",
            "secret",
            "TensorFlow's text may hold values, and is left out",
        ),
        (
            "wrapped",
            "2 root error(s) found.\n"
            "  (0) OUT_OF_RANGE: indices[0] = 7 is not in [0, 3)\n"
            "  (1) OUT_OF_RANGE: secret\n",
            "an index is out of range",
        ),
        (
            "shapes",
            "Matrix size-incompatible: In[0]: [1,2], In[1]: [3,4]\n"
            "\t [[{{node MatMul}}]]",
            "Matrix size-incompatible: In[0]: [1,2], In[1]: [3,4]",
        ),
        (
            "placeholder",
            "You must feed a value for placeholder tensor 'a/keep_prob' with "
            "dtype float and shape [?,2]\n\t [[{{node a/keep_prob}}]]",
            "You must feed a value for placeholder tensor 'a/keep_prob' with "
            "dtype float and shape [?,2]",
        ),
        (
            "variable",
            "Attempting to use uninitialized value v",
            "Attempting to use uninitialized value v",
        ),
        (
            "feature_that_is_missing",
            "Name: <unknown>, Feature: petal width (data type: float) is "
            "required but could not be found.\n\t [[{{node ParseExample}}]]",
            "Name: <unknown>, Feature: petal width (data type: float) is "
            "required but could not be found",
        ),
        (
            "feature_of_another_kind",
            "Name: <unknown>, Key: x, Index: 0.  Data types don't match. Data "
            "type: int64 but expected type: float",
            "Name: <unknown>, Key: x, Index: 0.  Data types don't match. Data "
            "type: int64 but expected type: float",
        ),
        (
            "feature_of_another_length",
            "Name: <unknown>, Key: x, Index: 3.  Number of float values != "
            "expected.  Values size: 2 but output shape: [1]",
            "Name: <unknown>, Key: x, Index: 3.  Number of float values != "
            "expected.  Values size: 2 but output shape: [1]",
        ),
        (
            "example_with_a_name",
            "Name: secret, Key: x, Index: 0.  Data types don't match. Data "
            "type: int64 but expected type: float",
            "an Example does not have the features of the model",
        ),
        (
            "shapes_and_more",
            "Incompatible shapes: [2] vs. [3] secret",
            "TensorFlow's text may hold values, and is left out",
        ),
    )
    def test_error_of_a_run_has_no_values(
        self, message: str, expected: str
    ) -> None:
        """It has the cause in other words, or as it is if it has no values."""
        error = status.to_run_error(errors.StatusCode.OUT_OF_RANGE, message)
        self.assertIsInstance(error, errors.OutOfRangeError)
        self.assertEqual(
            str(error), f"The model failed on this call: {expected}."
        )


if __name__ == "__main__":
    absltest.main()
