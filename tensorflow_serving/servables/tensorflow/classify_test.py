"""Tests for classify."""

from absl.testing import absltest, parameterized

from tensorflow_serving.apis import classification_pb2
from tensorflow_serving.servables.tensorflow import classify
from tensorflow_serving.tensorflow_c.protos import example_pb2
from tensorflow_serving.test_util import small_model
from tensorflow_serving.util import errors


def _example(key: str) -> example_pb2.Example:
    example = example_pb2.Example()
    example.features.feature[key].float_list.value.append(1.0)
    return example


def _request(
    signature_name: str, num_examples: int = 2
) -> classification_pb2.ClassificationRequest:
    request = classification_pb2.ClassificationRequest()
    request.model_spec.name = "small"
    request.model_spec.signature_name = signature_name
    request.input.example_list.examples.extend(
        _example("x" * (number + 1)) for number in range(num_examples)
    )
    return request


class ClassifyTest(parameterized.TestCase):
    """Tests of requests to a small model."""

    def setUp(self) -> None:
        """Makes the model."""
        super().setUp()
        self.small = small_model.SmallModel()
        self.addCleanup(self.small.close)

    def test_each_example_has_its_classes(self) -> None:
        """Labels and scores come in the order of the model."""
        request = _request("classify")
        response = classify.classify(self.small.version, request)
        examples = [
            example.SerializeToString()
            for example in request.input.example_list.examples
        ]
        self.assertEqual(
            [
                [(each.label, each.score) for each in row.classes]
                for row in response.result.classifications
            ],
            [
                [(example.decode("utf-8", "replace"), len(example))]
                for example in examples
            ],
        )
        self.assertEqual(response.model_spec.signature_name, "classify")
        self.assertEqual(response.model_spec.version.value, 7)

    @parameterized.parameters(("labels", True, False), ("scores", False, True))
    def test_output_that_the_model_does_not_have_is_empty(
        self, name: str, has_label: bool, has_score: bool
    ) -> None:
        """A model may return labels only, or scores only."""
        response = classify.classify(self.small.version, _request(name, 1))
        (found,) = response.result.classifications[0].classes
        self.assertEqual(bool(found.label), has_label)
        self.assertEqual(bool(found.score), has_score)

    def test_output_beside_the_scores_is_left_alone(self) -> None:
        """TensorFlow Serving takes such signatures as well."""
        response = classify.classify(
            self.small.version, _request("scores_and_more", 1)
        )
        self.assertEqual(
            response.result,
            classify.classify(self.small.version, _request("scores", 1)).result,
        )

    def test_signature_of_tensorflow_2_is_taken_by_its_form(self) -> None:
        """TensorFlow 2 names Predict as the method of every signature."""
        response = classify.classify(
            self.small.version, _request("classify_of_tf2", 1)
        )
        (found,) = response.result.classifications[0].classes
        self.assertTrue(found.label and found.score)

    @parameterized.named_parameters(
        ("unknown", "q", 'key "q" not found'),
        ("outputs", "regress", r"must have the outputs.*\['outputs'\]"),
        ("inputs", "", r"one input, inputs; got \['x'\]"),
    )
    def test_signature_must_be_one_to_classify_with(
        self, name: str, text: str
    ) -> None:
        """The caller chose the wrong one."""
        with self.assertRaisesRegex(errors.InvalidArgumentError, text):
            classify.classify(self.small.version, _request(name))

    def test_output_of_another_shape_is_the_fault_of_the_model(self) -> None:
        """It is not the caller's INVALID_ARGUMENT."""
        with self.assertRaisesRegex(
            errors.FailedPreconditionError, "scores of the model must have"
        ):
            classify.classify(self.small.version, _request("broken_classify"))

    def test_request_needs_an_example(self) -> None:
        """Nothing is run for none."""
        with self.assertRaisesRegex(
            errors.InvalidArgumentError, "Input is empty"
        ):
            classify.classify(self.small.version, _request("classify", 0))


if __name__ == "__main__":
    absltest.main()
