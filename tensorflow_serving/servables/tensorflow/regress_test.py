"""Tests for regress."""

from absl.testing import absltest, parameterized

from tensorflow_serving.apis import regression_pb2
from tensorflow_serving.servables.tensorflow import regress
from tensorflow_serving.tensorflow_c.protos import types_pb2
from tensorflow_serving.test_util import small_model
from tensorflow_serving.util import errors


def _request(
    signature_name: str, num_examples: int = 2
) -> regression_pb2.RegressionRequest:
    request = regression_pb2.RegressionRequest()
    request.model_spec.name = "small"
    request.model_spec.signature_name = signature_name
    for number in range(num_examples):
        example = request.input.example_list.examples.add()
        example.features.feature["x" * number].float_list.value.append(1.0)
    return request


class RegressTest(parameterized.TestCase):
    """Tests of requests to a small model."""

    def setUp(self) -> None:
        """Makes the model."""
        super().setUp()
        self.small = small_model.SmallModel()
        self.addCleanup(self.small.close)

    @parameterized.parameters("regress", "regress_column", "regress_of_tf2")
    def test_each_example_has_its_value(self, name: str) -> None:
        """The model may return [n] or [n, 1] numbers."""
        request = _request(name)
        response = regress.regress(self.small.version, request)
        self.assertEqual(
            [each.value for each in response.result.regressions],
            [
                len(example.SerializeToString())
                for example in request.input.example_list.examples
            ],
        )
        self.assertEqual(response.model_spec.signature_name, name)

    @parameterized.named_parameters(
        ("unknown", "q", 'key "q" not found'),
        ("outputs", "classify", "one output, outputs; got .*classes"),
    )
    def test_signature_must_be_one_for_regression(
        self, name: str, text: str
    ) -> None:
        """The caller chose the wrong one."""
        with self.assertRaisesRegex(errors.InvalidArgumentError, text):
            regress.regress(self.small.version, _request(name))

    def test_tensor_decides_whether_examples_are_taken(self) -> None:
        """The dtype in the signature may be wrong."""
        definition = self.small.model.signature_defs["regress"]
        info = definition.inputs["inputs"]
        info.dtype = types_pb2.DT_FLOAT
        response = regress.regress(self.small.version, _request("regress"))
        self.assertEqual(len(response.result.regressions), 2)
        info.name, info.dtype = "x:0", types_pb2.DT_STRING
        with self.assertRaisesRegex(
            errors.InvalidArgumentError, "must have dtype float32; got string"
        ):
            regress.regress(self.small.version, _request("regress"))

    def test_output_of_another_shape_is_the_fault_of_the_model(self) -> None:
        """It is not the caller's INVALID_ARGUMENT."""
        with self.assertRaisesRegex(
            errors.FailedPreconditionError, "got \\[2, 1, 1\\]"
        ):
            regress.regress(self.small.version, _request("broken_regress"))

    def test_context_comes_before_each_example(self) -> None:
        """Where both have a feature, that of the example counts."""
        request = regression_pb2.RegressionRequest()
        request.model_spec.signature_name = "regress"
        shared = request.input.example_list_with_context
        shared.context.features.feature["shared"].int64_list.value.append(1)
        shared.examples.add()
        shared.examples.add().features.feature["own"].int64_list.value.append(2)
        context, *examples = (
            len(each.SerializeToString())
            for each in (shared.context, *shared.examples)
        )
        response = regress.regress(self.small.version, request)
        self.assertEqual(
            [each.value for each in response.result.regressions],
            [context + size for size in examples],
        )


if __name__ == "__main__":
    absltest.main()
