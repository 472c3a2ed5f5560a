"""Tests for inference."""

from collections.abc import Callable
from typing import Any

import numpy as np
from absl.testing import absltest, parameterized

from tensorflow_serving.apis import (
    classification_pb2,
    inference_pb2,
    predict_pb2,
    regression_pb2,
    tensor_codec,
)
from tensorflow_serving.servables.tensorflow import (
    classify,
    inference,
    multi_inference,
    predict,
    regress,
)
from tensorflow_serving.test_util import small_model
from tensorflow_serving.util import errors

_Call = Callable[[inference.Version, str], Any]


def _predict(version: inference.Version, name: str) -> Any:
    request = predict_pb2.PredictRequest()
    request.model_spec.signature_name = name
    request.inputs["x"].CopyFrom(
        tensor_codec.to_proto(np.array([1], np.float32))
    )
    return predict.predict(version, request)


def _classify(version: inference.Version, name: str) -> Any:
    request = classification_pb2.ClassificationRequest()
    request.model_spec.signature_name = name
    request.input.example_list.examples.add()
    return classify.classify(version, request)


def _regress(version: inference.Version, name: str) -> Any:
    request = regression_pb2.RegressionRequest()
    request.model_spec.signature_name = name
    request.input.example_list.examples.add()
    return regress.regress(version, request)


def _multi_inference(version: inference.Version, name: str) -> Any:
    request = inference_pb2.MultiInferenceRequest()
    task = request.tasks.add(method_name="tensorflow/serving/regress")
    task.model_spec.name = "small"
    task.model_spec.signature_name = name
    request.input.example_list.examples.add()
    return multi_inference.multi_inference(version, request)


class VersionTest(parameterized.TestCase):
    """Tests of a version of a small model."""

    def setUp(self) -> None:
        """Makes the model."""
        super().setUp()
        small = small_model.SmallModel()
        self.addCleanup(small.close)
        self.version = small.version

    def test_spec_says_who_answered(self) -> None:
        """The spec of a response has model, version and signature."""
        spec = self.version.spec("regress")
        self.assertEqual(
            (spec.name, spec.version.value, spec.signature_name),
            ("small", 7, "regress"),
        )

    def test_no_name_means_the_default_signature(self) -> None:
        """A request that names no signature gets serving_default."""
        self.assertEqual(inference.signature_name(""), "serving_default")
        self.assertEqual(inference.signature_name("q"), "q")

    def test_signature_is_that_of_the_model(self) -> None:
        """A signature that the model has is returned as it is."""
        self.assertIs(
            self.version.signature_def("regress"),
            self.version.model.signature_defs["regress"],
        )

    @parameterized.parameters(
        (_predict, errors.FailedPreconditionError),
        (_classify, errors.InvalidArgumentError),
        (_regress, errors.InvalidArgumentError),
        (_multi_inference, errors.InvalidArgumentError),
    )
    def test_unknown_signature_has_the_code_of_the_method(
        self, call: _Call, error: type[errors.ServingError]
    ) -> None:
        """The text says which signatures there are, for each method."""
        with self.assertRaisesRegex(
            error,
            '^Serving signature key "q" not found; .*classify.*serving_default',
        ):
            call(self.version, "q")

    def test_failed_run_is_raised(self) -> None:
        """The error of a queue that is closed is that of run()."""
        begun = predict.begin(
            self.version,
            predict.REQUESTS.decode(
                predict_pb2.PredictRequest(
                    inputs={
                        "x": tensor_codec.to_proto(np.array([1], np.float32))
                    }
                ).SerializeToString()
            ),
        )
        self.version.model.close()
        with self.assertRaises(errors.FailedPreconditionError):
            begun.run()


if __name__ == "__main__":
    absltest.main()
