"""Tests for tflite_operands."""

import io
from collections.abc import Sequence

from absl.testing import absltest, parameterized

from tensorflow_serving.servables.tensorflow import tflite_operands
from tensorflow_serving.sources.storage_path import tflite_file
from tensorflow_serving.test_util import tflite_models
from tensorflow_serving.util import errors

_FLOAT32 = tflite_models.TensorType.FLOAT32
_INT32 = tflite_models.TensorType.INT32
_OPERATORS = tflite_models.BuiltinOperator


def _check(types: Sequence[int], *operators: tflite_models.Operator) -> None:
    """Checks a model; its first two tensors are inputs, the last the output."""
    tensors = [
        tflite_models.Tensor(f"t{index}", [1], each)
        for index, each in enumerate(types)
    ]
    content = tflite_models.write(
        tensors, operators, [0, 1], [len(tensors) - 1]
    )
    tflite_operands.require_none_chosen_by_callers(
        tflite_file.read(io.BytesIO(content))
    )


class TfliteOperandsTest(parameterized.TestCase):
    """Tests of where the operands of some operators come from."""

    @parameterized.parameters(
        ("FLOOR_MOD", [0, 1]),
        ("REVERSE_SEQUENCE", [0, 1]),
        ("RANDOM_UNIFORM", [1]),
        ("RANDOM_STANDARD_NORMAL", [1]),
    )
    def test_operand_that_callers_choose_is_refused(
        self, name: str, inputs: list[int]
    ) -> None:
        """A model with an operand that one call could misuse is refused."""
        operator = tflite_models.Operator(
            inputs, [2], getattr(_OPERATORS, name)
        )
        with self.assertRaisesRegex(errors.FailedPreconditionError, name):
            _check([_INT32] * 3, operator)

    def test_operand_that_follows_from_an_input_is_refused(self) -> None:
        """An operand is traced back through the operators before it."""
        computed = tflite_models.Operator([0, 1], [2], _OPERATORS.ADD)
        operator = tflite_models.Operator([2], [3], _OPERATORS.RANDOM_UNIFORM)
        with self.assertRaisesRegex(errors.FailedPreconditionError, "RANDOM"):
            _check([_INT32] * 4, computed, operator)

    def test_operand_that_is_a_shape_passes(self) -> None:
        """A shape is as large as what a caller has sent, and no larger."""
        shape = tflite_models.Operator([0], [2], _OPERATORS.SHAPE)
        operator = tflite_models.Operator([2], [3], _OPERATORS.RANDOM_UNIFORM)
        _check([_FLOAT32, _FLOAT32, _INT32, _FLOAT32], shape, operator)

    def test_other_operands_of_callers_pass(self) -> None:
        """Only one operand of such an operator is trusted, and no fraction."""
        modulus = tflite_models.Operator([0, 1], [2], _OPERATORS.FLOOR_MOD)
        _check([_FLOAT32] * 3, modulus)
        added = tflite_models.Operator([0, 1], [2], _OPERATORS.ADD)
        _check([_INT32] * 3, added)


if __name__ == "__main__":
    absltest.main()
