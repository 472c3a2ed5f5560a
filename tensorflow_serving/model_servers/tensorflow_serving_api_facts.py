"""Facts about model servers, as the package tensorflow-serving-api sees them.

    python -I tensorflow_serving_api_facts.py SETTINGS

In that Python tensorflow_serving is the package, not this project. The settings
are a file that server_clients_test writes.
"""

import json
import sys
import unittest
from collections.abc import Callable
from typing import Any

import grpc
import ml_dtypes
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

_SECONDS = 5.0
_NUM_LARGE = 2_000_000
_X = np.array([1, 2, 5], np.float32)
_TYPES = {
    **{name: np.dtype(name) for name in ("double", "complex64", "complex128")},
    **{
        f"{kind}{bits}": np.dtype(f"{kind}{bits}")
        for kind in ("int", "uint")
        for bits in (8, 16, 32, 64)
    },
    "half": np.dtype(np.float16),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
    "float": np.dtype(np.float32),
    "bool": np.dtype(np.bool_),
}

_settings: dict[str, Any] = {}


def _stub(address: str, **files: str) -> Any:
    """Returns a stub of PredictionService; with files for TLS."""
    if not files:
        return _predictions(grpc.insecure_channel(address))
    contents = {}
    for name, path in files.items():
        with open(path, "rb") as file:
            contents[name] = file.read()
    credentials = grpc.ssl_channel_credentials(**contents)
    return _predictions(grpc.secure_channel(address, credentials))


def _predictions(channel: grpc.Channel) -> Any:
    return prediction_service_pb2_grpc.PredictionServiceStub(channel)


def _request(
    x: npt.ArrayLike = _X, *, key: str = "x", **spec: Any
) -> predict_pb2.PredictRequest:
    """Returns a request; spec has fields of its model_spec."""
    request = predict_pb2.PredictRequest()
    _name(request.model_spec, **spec)
    request.inputs[key].CopyFrom(tf.make_tensor_proto(x))
    return request


def _name(
    model_spec: Any,
    *,
    name: str = "small",
    signature: str = "",
    version: int | None = None,
    label: str = "",
) -> None:
    """Sets a model_spec."""
    model_spec.name = name
    model_spec.signature_name = signature
    if version is not None:
        model_spec.version.value = version
    if label:
        model_spec.version_label = label


def _filtered(*outputs: str) -> predict_pb2.PredictRequest:
    request = _request()
    request.output_filter.extend(outputs)
    return request


def _status(**spec: Any) -> get_model_status_pb2.GetModelStatusRequest:
    request = get_model_status_pb2.GetModelStatusRequest()
    _name(request.model_spec, **spec)
    return request


def _examples(request: Any, *texts: bytes) -> Any:
    """Adds an Example with a feature for each text; returns the request."""
    for text in texts:
        example = request.input.example_list.examples.add()
        example.features.feature["x"].bytes_list.value.append(text)
    return request


class _Case(unittest.TestCase):
    """Calls the server that is not encrypted."""

    channel: grpc.Channel

    @classmethod
    def setUpClass(cls) -> None:
        cls.channel = grpc.insecure_channel(
            _settings["address"],
            options=[
                ("grpc.max_send_message_length", -1),
                ("grpc.max_receive_message_length", -1),
            ],
        )
        cls.addClassCleanup(cls.channel.close)

    def setUp(self) -> None:
        self.stub: Any = _predictions(self.channel)
        self.models: Any = model_service_pb2_grpc.ModelServiceStub(self.channel)

    def assert_fails(
        self, code: str, text: str, method: Callable[..., Any], request: Any
    ) -> None:
        with self.assertRaises(grpc.RpcError) as raised:
            method(request, _SECONDS)
        error: Any = raised.exception
        self.assertEqual(error.code().name, code, error.details())
        self.assertIn(text, error.details())


class PredictFacts(_Case):
    """Predict: values, types, what names a version, and faults."""

    def test_answer_is_in_the_field_of_its_type(self) -> None:
        """Clients read float_val, and who answered."""
        response = self.stub.Predict(_request(), _SECONDS)
        y = response.outputs["y"]
        self.assertEqual(list(y.float_val), [2.5, 3, 4.5])
        self.assertEqual((y.dtype, y.tensor_content), (tf.float32, b""))
        self.assertEqual([dim.size for dim in y.tensor_shape.dim], [3])
        self.assertEqual(sorted(response.outputs), ["y", "z"])
        spec = response.model_spec
        self.assertEqual(
            (spec.name, spec.version.value, spec.signature_name),
            ("small", 7, "serving_default"),
        )

    def test_call_may_be_a_future(self) -> None:
        """The client of the MNIST tutorial makes such calls."""
        futures = [
            self.stub.Predict.future(_request([float(x)]), _SECONDS)
            for x in range(100)
        ]
        answers = [each.result().outputs["y"].float_val[0] for each in futures]
        self.assertEqual(answers, [x / 2 + 2 for x in range(100)])

    def test_every_type_comes_back(self) -> None:
        """Whatever make_tensor_proto() writes, make_ndarray() reads."""
        sent = {
            name: np.array([[0, 1], [1, 0], [1, 1]]).astype(dtype)
            for name, dtype in _TYPES.items()
        }
        sent["string"] = np.array([[b"", b"\xff\0"]], object)
        request = _request(signature="types")
        request.inputs.clear()
        for name, array in sent.items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(array))
        response = self.stub.Predict(request, _SECONDS)
        self.assertEqual(response.outputs.keys(), sent.keys())
        for name, array in sent.items():
            with self.subTest(name):
                got = tf.make_ndarray(response.outputs[name])
                self.assertEqual(got.dtype, array.dtype)
                np.testing.assert_array_equal(got, array)

    def test_one_value_may_stand_for_all(self) -> None:
        """make_tensor_proto() writes them once, and shape says how many."""
        request = _request()
        request.inputs["x"].CopyFrom(tf.make_tensor_proto(4.0, shape=[3]))
        response = self.stub.Predict(request, _SECONDS)
        self.assertEqual(list(response.outputs["y"].float_val), [4, 4, 4])

    def test_empty_tensor_has_an_empty_answer(self) -> None:
        """With its shape."""
        response = self.stub.Predict(_request(np.zeros([0], "f")), _SECONDS)
        y = tf.make_ndarray(response.outputs["y"])
        self.assertEqual((y.shape, y.dtype), ((0,), np.float32))

    def test_large_messages_pass(self) -> None:
        """Both ways; the limits are those of the client."""
        x = np.arange(_NUM_LARGE, dtype=np.float32)
        response = self.stub.Predict(_request(x), 10 * _SECONDS)
        np.testing.assert_array_equal(
            tf.make_ndarray(response.outputs["z"]), 2 * x
        )

    def test_output_filter_chooses_outputs(self) -> None:
        """All of them without a filter."""
        response = self.stub.Predict(_filtered("z"), _SECONDS)
        self.assertEqual(list(response.outputs), ["z"])
        self.assertEqual(list(response.outputs["z"].float_val), [2, 4, 10])

    def test_input_with_a_default_may_be_left_out(self) -> None:
        """Another one may be given."""
        request = _request(signature="defaults")
        response = self.stub.Predict(request, _SECONDS)
        self.assertEqual(list(response.outputs["sum"].float_val), [2, 3, 6])
        request.inputs["bias"].CopyFrom(tf.make_tensor_proto([10.0] * 3))
        response = self.stub.Predict(request, _SECONDS)
        self.assertEqual(list(response.outputs["sum"].float_val), [11, 12, 15])

    def test_version_and_label_name_a_version(self) -> None:
        """The answer has the number in both cases."""
        for request in (_request(version=7), _request(label="stable")):
            response = self.stub.Predict(request, _SECONDS)
            self.assertEqual(response.model_spec.version.value, 7)
            self.assertEqual(response.model_spec.version_label, "")

    def test_models_of_all_formats_answer(self) -> None:
        """SavedModels of TensorFlow 1 and 2, and exports of 2016."""
        x = np.array([[1], [2]], np.float32)
        for model, key, scale in _settings["half_plus"]:
            with self.subTest(model):
                response = self.stub.Predict(
                    _request(x, name=model, key=key), _SECONDS
                )
                (y,) = response.outputs.values()
                np.testing.assert_array_equal(tf.make_ndarray(y), x / 2 + scale)

    def test_faults_have_codes_and_texts_that_clients_know(self) -> None:
        """They are the same as from TensorFlow's server."""
        for code, text, request in (
            ("INVALID_ARGUMENT", "Missing ModelSpec", _no_spec()),
            ("INVALID_ARGUMENT", "no name specified", _request(name="")),
            (
                "NOT_FOUND",
                "Servable not found for request: Latest(no)",
                _request(name="no"),
            ),
            (
                "NOT_FOUND",
                "Servable not found for request: Specific(small, 9)",
                _request(version=9),
            ),
            (
                "INVALID_ARGUMENT",
                "Unrecognized servable version label: no",
                _request(label="no"),
            ),
            (
                "FAILED_PRECONDITION",
                "Serving signature key",
                _request(signature="no"),
            ),
            (
                "INVALID_ARGUMENT",
                "input size does not match signature",
                _request(key="no"),
            ),
            ("INVALID_ARGUMENT", "dtype float32", _request(np.array([1]))),
            ("INVALID_ARGUMENT", "output_filter", _filtered("no")),
            ("INVALID_ARGUMENT", "output_filter", _filtered("y", "y")),
        ):
            with self.subTest(text):
                self.assert_fails(code, text, self.stub.Predict, request)

    def test_method_that_no_package_has_is_unimplemented(self) -> None:
        """One client of the index asks for a list of models."""
        method: Any = self.channel.unary_unary(
            "/tensorflow.serving.ModelService/ListModels"
        )
        self.assert_fails("UNIMPLEMENTED", "ListModels", method, b"")


class ExampleFacts(_Case):
    """Classify, Regress and MultiInference, with tf.train.Examples."""

    def test_classify_returns_classes_of_each_example(self) -> None:
        """The label is the example, the score its length."""
        request = _examples(
            classification_pb2.ClassificationRequest(), b"a", b"bcd"
        )
        _name(request.model_spec, signature="classify")
        response = self.stub.Classify(request, _SECONDS)
        texts = [
            each.SerializeToString()
            for each in request.input.example_list.examples
        ]
        self.assertEqual(
            [
                [(each.label.encode(), each.score) for each in row.classes]
                for row in response.result.classifications
            ],
            [[(text, len(text))] for text in texts],
        )
        self.assertEqual(response.model_spec.version.value, 7)
        request.model_spec.signature_name = "regress"
        self.assert_fails(
            "INVALID_ARGUMENT",
            "lassif",
            self.stub.Classify,
            request,
        )

    def test_regress_returns_a_value_for_each_example(self) -> None:
        """An input without examples is refused."""
        request = _examples(regression_pb2.RegressionRequest(), b"a", b"bcd")
        _name(request.model_spec, signature="regress")
        response = self.stub.Regress(request, _SECONDS)
        self.assertEqual(
            [each.value for each in response.result.regressions],
            [each.ByteSize() for each in request.input.example_list.examples],
        )
        request.ClearField("input")
        self.assert_fails(
            "INVALID_ARGUMENT",
            "Input is empty",
            self.stub.Regress,
            request,
        )

    def test_multi_inference_answers_its_tasks_in_order(self) -> None:
        """Each with its own result and model_spec."""
        request = _examples(inference_pb2.MultiInferenceRequest(), b"abc")
        for method in ("regress", "classify"):
            task = request.tasks.add(method_name=f"tensorflow/serving/{method}")
            _name(task.model_spec, signature=method)
        response = self.stub.MultiInference(request, _SECONDS)
        self.assertEqual(
            [each.WhichOneof("result") for each in response.results],
            ["regression_result", "classification_result"],
        )
        self.assertEqual(
            [each.model_spec.signature_name for each in response.results],
            ["regress", "classify"],
        )
        request.tasks[0].method_name = "tensorflow/serving/predict"
        self.assert_fails(
            "UNIMPLEMENTED",
            "method",
            self.stub.MultiInference,
            request,
        )


class ModelFacts(_Case):
    """GetModelMetadata, GetModelStatus and HandleReloadConfigRequest."""

    def test_metadata_are_the_signatures(self) -> None:
        """Packed in an Any that the package can unpack."""
        request = get_model_metadata_pb2.GetModelMetadataRequest()
        _name(request.model_spec)
        request.metadata_field.append("signature_def")
        response = self.stub.GetModelMetadata(request, _SECONDS)
        signatures = get_model_metadata_pb2.SignatureDefMap()
        self.assertTrue(response.metadata["signature_def"].Unpack(signatures))
        signature = signatures.signature_def["serving_default"]
        self.assertEqual(signature.inputs["x"].dtype, tf.float32)
        self.assertEqual(signature.method_name, "tensorflow/serving/predict")
        self.assertEqual(response.model_spec.version.value, 7)
        request.metadata_field[0] = "other"
        self.assert_fails(
            "INVALID_ARGUMENT",
            "other",
            self.stub.GetModelMetadata,
            request,
        )

    def test_status_is_that_of_each_version(self) -> None:
        """A client that waits for AVAILABLE finds it."""
        for request in (_status(), _status(version=7)):
            response = self.models.GetModelStatus(request, _SECONDS)
            (status,) = response.model_version_status
            self.assertEqual((status.version, status.state), (7, 30))
            self.assertEqual(status.status.error_code, 0)
        for request in (_status(name="no"), _status(version=9)):
            self.assert_fails(
                "NOT_FOUND",
                "Could not find",
                self.models.GetModelStatus,
                request,
            )

    def test_reload_adds_and_removes_a_model(self) -> None:
        """It returns when the new one answers; a lost one is an error."""
        request = model_management_pb2.ReloadConfigRequest()
        request.config.ParseFromString(bytes.fromhex(_settings["config"]))
        models = request.config.model_config_list.config
        (small,) = (each for each in models if each.name == "small")
        models.add(
            name="added",
            base_path=small.base_path,
            model_platform="tensorflow",
        )
        response = self.models.HandleReloadConfigRequest(request, _SECONDS)
        self.assertEqual(response.status.error_code, 0)
        answer = self.stub.Predict(_request(name="added"), _SECONDS)
        self.assertEqual(answer.model_spec.name, "added")
        models.add(
            name="lost",
            base_path=f"{small.base_path}/lost",
            model_platform="tensorflow",
        )
        self.assert_fails(
            "FAILED_PRECONDITION",
            "model lost",
            self.models.HandleReloadConfigRequest,
            request,
        )
        del models[-2:]
        self.models.HandleReloadConfigRequest(request, _SECONDS)
        self.stub.Predict(_request(), _SECONDS)


class OtherServerFacts(_Case):
    """Servers that are encrypted, and one that has just been started."""

    def _assert_answers(self, stub: Any) -> None:
        response = stub.Predict(_request(), _SECONDS)
        self.assertEqual(response.outputs["y"].float_val[0], 2.5)

    def test_server_with_a_certificate_answers(self) -> None:
        """The client trusts the one who issued it."""
        files = {"root_certificates": _settings["ca_file"]}
        self._assert_answers(_stub(_settings["tls_address"], **files))

    def test_server_asks_clients_for_a_certificate(self) -> None:
        """A client without one gets no answer."""
        files = {"root_certificates": _settings["ca_file"]}
        address = _settings["mutual_tls_address"]
        stranger = _stub(address, **files)
        self.assert_fails("UNAVAILABLE", "", stranger.Predict, _request())
        files["private_key"] = _settings["client_key_file"]
        files["certificate_chain"] = _settings["client_certificate_file"]
        self._assert_answers(_stub(address, **files))

    def test_server_that_loads_models_is_ready_when_it_says_servable(
        self,
    ) -> None:
        """Test suites ask for an unknown model until the error says it.

        Their calls have five seconds then, and are not made again.
        """
        stub = _stub(_settings["loading_address"])
        self.assertNotIn("Servable", _error_of_unknown_model(stub))
        # The load waits for somebody who reads.
        with open(_settings["gate"], "rb") as gate:
            gate.read()
        while "Servable" not in _error_of_unknown_model(stub):
            pass
        self._assert_answers(stub)
        response = stub.Predict(_request(name="late"), _SECONDS)
        self.assertEqual(response.model_spec.name, "late")


def _error_of_unknown_model(stub: Any) -> str:
    try:
        stub.Predict(_request(name="no"), _SECONDS)
    except grpc.RpcError as error:
        failed: Any = error
        return str(failed.details())
    raise AssertionError("an unknown model must not answer")


def _no_spec() -> predict_pb2.PredictRequest:
    request = _request()
    request.ClearField("model_spec")
    return request


if __name__ == "__main__":
    with open(sys.argv.pop(), encoding="utf-8") as file:
        _settings.update(json.load(file))
    unittest.main()
