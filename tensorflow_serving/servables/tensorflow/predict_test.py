"""Tests for predict."""

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from absl.testing import absltest, parameterized

from tensorflow_serving.apis import predict_pb2, tensor_codec
from tensorflow_serving.servables.tensorflow import predict
from tensorflow_serving.tensorflow_c.protos import types_pb2
from tensorflow_serving.test_util import small_model
from tensorflow_serving.util import errors


def _request(
    inputs: Mapping[str, npt.NDArray[Any]],
    signature_name: str = "",
    output_filter: tuple[str, ...] = (),
) -> predict_pb2.PredictRequest:
    request = predict_pb2.PredictRequest(output_filter=output_filter)
    request.model_spec.name = "small"
    request.model_spec.signature_name = signature_name
    for key, array in inputs.items():
        request.inputs[key].CopyFrom(tensor_codec.to_proto(array))
    return request


_X = np.array([1, 2, 5], np.float32)
_TEXTS = np.array([b"one", b"three"], object)


class PredictTest(parameterized.TestCase):
    """Tests of requests to a small model."""

    def setUp(self) -> None:
        """Makes the model."""
        super().setUp()
        self.small = small_model.SmallModel()
        self.addCleanup(self.small.close)

    def _predict(
        self, request: predict_pb2.PredictRequest
    ) -> dict[str, list[float]]:
        response = predict.predict(self.small.version, request)
        return {
            key: tensor_codec.to_array(value).tolist()
            for key, value in response.outputs.items()
        }

    def test_all_outputs_come_back_by_their_names(self) -> None:
        """The response has every output of the signature by default."""
        self.assertEqual(
            self._predict(_request({"x": _X})),
            {"y": [2.5, 3, 4.5], "z": [2, 4, 10]},
        )

    def test_response_says_who_answered(self) -> None:
        """Its spec has the version, and the signature that was meant."""
        response = predict.predict(self.small.version, _request({"x": _X}))
        spec = response.model_spec
        self.assertEqual(
            (spec.name, spec.version.value, spec.signature_name),
            ("small", 7, "serving_default"),
        )

    def test_values_are_in_the_field_of_their_type(self) -> None:
        """Clients of TensorFlow Serving read float_val."""
        response = predict.predict(self.small.version, _request({"x": _X}))
        self.assertEqual(list(response.outputs["z"].float_val), [2, 4, 10])

    @parameterized.named_parameters(
        ("numbers", "", {"x": _X}, "z", (2 * _X).tobytes()),
        ("texts", "classify", {"inputs": _TEXTS}, "classes", b""),
    )
    def test_numbers_are_content_if_the_server_says_so(
        self,
        signature: str,
        inputs: Mapping[str, npt.NDArray[Any]],
        key: str,
        content: bytes,
    ) -> None:
        """The values are the same; texts have no other field."""
        request = _request(inputs, signature, (key,))
        begun = predict.begin(
            self.small.version,
            predict.REQUESTS.decode(request.SerializeToString()),
            as_content=True,
        )
        response = predict_pb2.PredictResponse.FromString(begun.run())
        output = response.outputs[key]
        self.assertEqual(output.tensor_content, content)
        self.assertEqual(len(output.float_val), 0)
        self.assertEqual(
            tensor_codec.to_array(output).tolist(), self._predict(request)[key]
        )

    @parameterized.product(
        name=small_model.QUANTIZED_TYPES, as_content=(False, True)
    )
    def test_quantized_output_has_the_type_of_the_signature(
        self, name: str, as_content: bool
    ) -> None:
        """Its values are plain numbers in the model."""
        request = predict_pb2.PredictRequest()
        request.model_spec.signature_name = f"type_{name}"
        sent = request.inputs["x"]
        sent.dtype = types_pb2.DataType.Value(f"DT_{name.upper()}")
        sent.tensor_shape.dim.add(size=2)
        sent.int_val.extend([1, 2])
        run = predict.begin(
            self.small.version,
            predict.REQUESTS.decode(request.SerializeToString()),
            as_content=as_content,
        )
        response = predict_pb2.PredictResponse.FromString(run.run())
        answer = response.outputs["y"]
        self.assertEqual(answer.dtype, sent.dtype)
        self.assertEqual(tensor_codec.to_array(answer).tolist(), [1, 2])
        self.assertEqual(bool(answer.tensor_content), as_content)

    def test_filter_chooses_outputs(self) -> None:
        """Outputs that a filter does not name are not returned."""
        request = _request({"x": _X}, output_filter=("z",))
        self.assertEqual(self._predict(request), {"z": [2, 4, 10]})

    def test_any_number_of_filters_may_come(self) -> None:
        """However many there were, the outputs are those of the filter."""
        inputs: dict[str, npt.NDArray[Any]] = {}
        for number, name in enumerate(small_model.TYPES):
            type_number = types_pb2.DataType.Value(f"DT_{name.upper()}")
            dtype = tensor_codec.encoding(type_number).dtype
            inputs[name] = np.array([number]).astype(dtype)
        inputs["string"] = np.array([b"text"], object)
        for size in (1, 2, 3):
            for keys in itertools.combinations(small_model.TYPES[-6:], size):
                request = _request(inputs, "types", keys[::-1])
                self.assertEqual(
                    self._predict(request),
                    {key: inputs[key].tolist() for key in keys},
                )

    def test_input_that_is_missing_gets_its_default(self) -> None:
        """A signature may have a value for those that leave an input out."""
        request = _request({"x": _X[:1]}, "defaults")
        self.assertEqual(self._predict(request), {"sum": [2]})
        request = _request({"x": _X[:1], "bias": _X[2:]}, "defaults")
        self.assertEqual(self._predict(request), {"sum": [6]})

    def test_signature_to_classify_with_can_be_called(self) -> None:
        """Predict takes any signature, with tensors for its inputs."""
        request = _request({"inputs": _TEXTS}, "regress")
        self.assertEqual(self._predict(request), {"outputs": [3, 5]})

    def test_names_of_tensors_may_lack_their_number(self) -> None:
        """TensorFlow takes "y" for "y:0", in what is fed and fetched."""
        request = _request({"x": _X}, "short_names")
        self.assertEqual(self._predict(request), {"y": [2.5, 3, 4.5]})

    def test_signature_without_outputs_is_refused(self) -> None:
        """A caller does not take it for one that was run."""
        with self.assertRaisesRegex(
            errors.InvalidArgumentError, "^signature must have an output"
        ):
            self._predict(_request({"x": _X}, "no_outputs"))

    @parameterized.named_parameters(
        ("missing", {}, "missing \\['x'\\]"),
        ("unknown", {"x": _X, "q": _X}, "unknown \\['q'\\]"),
        ("other_name", {"X": _X}, "missing \\['x'\\], unknown \\['X'\\]"),
    )
    def test_inputs_must_be_those_of_the_signature(
        self, inputs: Mapping[str, npt.NDArray[Any]], text: str
    ) -> None:
        """The text says which are missing and which are not known."""
        with self.assertRaisesRegex(
            errors.InvalidArgumentError,
            "input size does not match signature.*" + text,
        ):
            self._predict(_request(inputs))

    def test_input_must_have_the_type_of_the_signature(self) -> None:
        """Numbers of another type are not converted."""
        with self.assertRaisesRegex(
            errors.InvalidArgumentError,
            "input x must have dtype float32; got float64",
        ):
            self._predict(_request({"x": _X.astype(np.float64)}))

    @parameterized.named_parameters(
        ("unknown", ("q",), "\\['y', 'z'\\]; got q"),
        ("twice", ("y", "y"), "each output once"),
    )
    def test_filter_must_name_outputs_once(
        self, output_filter: tuple[str, ...], text: str
    ) -> None:
        """A filter may name only outputs of the signature, each once."""
        request = _request({"x": _X}, output_filter=output_filter)
        with self.assertRaisesRegex(errors.InvalidArgumentError, text):
            self._predict(request)

    def test_unknown_signature_is_named(self) -> None:
        """The text says which signatures there are."""
        with self.assertRaisesRegex(
            errors.FailedPreconditionError,
            'Serving signature key "q" not found.*serving_default',
        ):
            self._predict(_request({"x": _X}, "q"))

    def test_tensor_that_does_not_fill_its_shape_is_refused(self) -> None:
        """A shape must have its values; the text names the input."""
        request = _request({"x": _X})
        request.inputs["x"].tensor_shape.dim[0].size = 1 << 40
        with self.assertRaisesRegex(errors.InvalidArgumentError, "tensor"):
            self._predict(request)


if __name__ == "__main__":
    absltest.main()
