"""Tests for multi_inference."""

import itertools

from absl.testing import absltest, parameterized

from tensorflow_serving.apis import inference_pb2
from tensorflow_serving.servables.tensorflow import (
    multi_inference,
)
from tensorflow_serving.test_util import small_model
from tensorflow_serving.util import errors


def _request(
    *tasks: tuple[str, str], model: str = "small"
) -> inference_pb2.MultiInferenceRequest:
    request = inference_pb2.MultiInferenceRequest()
    for signature_name, method in tasks:
        task = request.tasks.add(method_name=f"tensorflow/serving/{method}")
        task.model_spec.name = model
        task.model_spec.signature_name = signature_name
    request.input.example_list.examples.add()
    return request


class MultiInferenceTest(parameterized.TestCase):
    """Tests of requests to a small model."""

    def setUp(self) -> None:
        """Makes the model."""
        super().setUp()
        self.small = small_model.SmallModel()
        self.addCleanup(self.small.close)

    def test_results_are_in_the_order_of_the_tasks(self) -> None:
        """Each has the result of its method and its own signature."""
        response = multi_inference.multi_inference(
            self.small.version,
            _request(("regress", "regress"), ("classify", "classify")),
        )
        regression, classification = response.results
        self.assertEqual(regression.model_spec.signature_name, "regress")
        self.assertEqual(len(regression.regression_result.regressions), 1)
        self.assertEqual(classification.model_spec.signature_name, "classify")
        self.assertEqual(
            len(classification.classification_result.classifications), 1
        )

    def test_tasks_in_any_order_are_one_run(self) -> None:
        """TensorFlow keeps a graph for each kind of run."""
        tasks = [
            *(("regress", "regress"), ("regress_column", "regress")),
            *(("classify", "classify"), ("labels", "classify")),
        ]
        begun = [
            multi_inference.begin(self.small.version, _request(*order))
            for order in itertools.permutations(tasks)
        ]
        self.assertEqual(len({id(each.function) for each in begun}), 1)
        self.assertEqual(len({id(each.queue) for each in begun}), 1)

    @parameterized.named_parameters(
        ("none", (), errors.InvalidArgumentError, "at least one"),
        (
            "twice",
            (("regress", "regress"), ("regress", "regress")),
            errors.InvalidArgumentError,
            "each signature once",
        ),
        (
            "unknown",
            (("q", "regress"),),
            errors.InvalidArgumentError,
            "not found",
        ),
        (
            "method",
            (("serving_default", "predict"),),
            errors.UnimplementedError,
            "got tensorflow/serving/predict",
        ),
    )
    def test_tasks_that_do_not_fit_are_refused(
        self,
        tasks: tuple[tuple[str, str], ...],
        error: type[errors.ServingError],
        text: str,
    ) -> None:
        """The code is the one that clients of TensorFlow Serving know."""
        with self.assertRaisesRegex(error, text):
            multi_inference.multi_inference(
                self.small.version, _request(*tasks)
            )

    def test_tasks_name_one_model(self) -> None:
        """The first one says which; an empty name is not a model."""
        request = _request(("regress", "regress"), ("classify", "classify"))
        request.tasks[1].model_spec.name = "other"
        with self.assertRaisesRegex(errors.InvalidArgumentError, "one model"):
            multi_inference.multi_inference(self.small.version, request)
        with self.assertRaisesRegex(errors.InvalidArgumentError, "no name"):
            multi_inference.multi_inference(
                self.small.version, _request(("regress", "regress"), model="")
            )


if __name__ == "__main__":
    absltest.main()
