"""Tests of the model server: no text and no log has values of a call."""

import os
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import requests
import tensorflow as tf
from absl.testing import absltest

from tensorflow_serving.apis import (
    classification_pb2,
    inference_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
    tensor_codec,
)
from tensorflow_serving.test_util import (
    held_port,
    model_server_folder,
)

_SERVER = os.path.join(os.path.dirname(__file__), "tensorflow_model_server")
_TEXT = "SECRET-123"
_NUMBER = 8675309
_SECRETS = (_TEXT, str(_NUMBER), "U0VDUkVULTEyMw")
_STRINGS = tf.TensorSpec([None], tf.string)
_INTEGERS = tf.TensorSpec([None], tf.int64)


class _Model(tf.Module):  # type: ignore[misc]
    """Signatures that fail on some values, each at another operation."""

    @tf.function(input_signature=[_STRINGS])
    def number(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        """Fails on texts that are no numbers."""
        return {"y": tf.strings.to_number(x)}

    @tf.function(input_signature=[_STRINGS])
    def base64(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        """Fails on texts that are not base64."""
        return {"y": tf.io.decode_base64(x)}

    @tf.function(input_signature=[_STRINGS])
    def example(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        """Fails on texts that are no Examples, and on those without "x"."""
        feature = tf.io.FixedLenFeature([1], tf.float32)
        return {"outputs": tf.io.parse_example(x, {"x": feature})["x"]}

    @tf.function(input_signature=[_INTEGERS])
    def index(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        """Fails on large numbers."""
        return {"y": tf.gather(tf.constant([1.0, 2.0]), x)}

    @tf.function(input_signature=[_INTEGERS])
    def check(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        """Fails on large numbers as well."""
        most = tf.constant(10, tf.int64)
        with tf.control_dependencies([tf.debugging.assert_less(x, most)]):
            return {"y": tf.identity(x)}

    @tf.function(input_signature=[_INTEGERS])
    def size(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        """Fails on negative numbers, and on those that ask for too much."""
        more = tf.constant([1 << 40], tf.int64)
        return {"y": tf.fill(tf.concat([x, more], 0), 1.0)}


_NAMES = ("number", "base64", "example", "index", "check", "size")


def _write(path: str) -> None:
    model = _Model()
    signatures = {name: getattr(model, name) for name in _NAMES}
    tf.saved_model.save(model, path, signatures=signatures)


def _arrays() -> Iterator[np.ndarray[Any, Any]]:
    """Yields inputs of all kinds, with values that must not be shown."""
    yield np.array([_TEXT.encode()], object)
    yield np.array([_NUMBER], np.int64)
    yield np.array([-_NUMBER], np.int64)
    yield np.array([_NUMBER, _NUMBER, _NUMBER], np.int64)
    yield np.array([[_NUMBER]], np.float32)
    yield np.array([[_TEXT.encode()]], object)


def _example() -> tf.train.Example:
    example = tf.train.Example()
    example.features.feature["x"].bytes_list.value.append(_TEXT.encode())
    example.features.feature["z"].int64_list.value.append(_NUMBER)
    return example


_BODIES = (
    *(
        f'{{"signature_name": "{name}", "{form}": {value}}}'
        for name in _NAMES
        for form in ("instances", "inputs", "examples")
        for value in (
            f'["{_TEXT}"]',
            f"[{_NUMBER}]",
            f"[-{_NUMBER}]",
            f"[{_NUMBER}, {_NUMBER}, {_NUMBER}]",
            f"[{_NUMBER}.5]",
            f"[{_NUMBER}{'0' * 30}]",
            f'[["{_TEXT}"], {_NUMBER}]',
            f'[{{"x": "{_TEXT}"}}]',
            f'[{{"x": [{_NUMBER}, "{_TEXT}"]}}]',
            f'{{"x": [["{_TEXT}", [{_NUMBER}]]]}}',
            f'[{{"b64": "{_TEXT}"}}]',
            f'[{{"b64": "{_SECRETS[2]}="}}]',
        )
    ),
    f'{{"instances": ["{_TEXT}", {_NUMBER}',
    f'{{"instances": ["{_TEXT}"] {_NUMBER}}}',
    f'"{_TEXT}"',
    f'{{"signature_name": {_NUMBER}, "instances": ["{_TEXT}"]}}',
)


class ValuesTest(absltest.TestCase):
    """A server whose model fails on many values."""

    def setUp(self) -> None:
        """Starts the server."""
        super().setUp()
        folder = model_server_folder.ModelServerFolder()
        self.enter_context(folder)
        folder.write("m", write=_write)
        port = self.enter_context(held_port.hold())
        self.url = f"http://localhost:{port}/v1/models/m"
        self.log: list[str] = []
        self.server = self.enter_context(
            folder.serving(
                _SERVER,
                "m",
                f"--rest_api_port={port}",
                "--host=localhost",
                "--access_log=json",
                on_log_line=self.log.append,
            )
        )
        channel = grpc.insecure_channel(folder.address)
        self.addCleanup(channel.close)
        self.stub: Any = prediction_service_pb2_grpc.PredictionServiceStub(
            channel
        )

    def _fail(self, method: Any, request: Any) -> str:
        """Returns the text of the error of a call, empty if there is none."""
        try:
            method(request)
        except grpc.RpcError as error:
            return str(error.details())
        return ""

    def _assert_no_values(self, texts: list[str], least: int) -> None:
        self.assertGreaterEqual(sum(map(bool, texts)), least)
        self.assertEqual(self.server.stop(), 0)
        for text in [*texts, *self.log]:
            for secret in _SECRETS:
                self.assertNotIn(secret, text)

    def test_grpc_shows_no_values(self) -> None:
        """Wrong types, wrong shapes and failed runs get texts without them."""
        texts = []
        for name in _NAMES:
            for array in _arrays():
                request = predict_pb2.PredictRequest()
                request.model_spec.name = "m"
                request.model_spec.signature_name = name
                request.inputs["x"].CopyFrom(tensor_codec.to_proto(array))
                texts.append(self._fail(self.stub.Predict, request))
                request.inputs["x"].tensor_shape.dim.add(size=3)
                texts.append(self._fail(self.stub.Predict, request))
            texts += self._fail_on_examples(name)
        self._assert_no_values(texts, 70)

    def _fail_on_examples(self, name: str) -> Iterator[str]:
        for method, request in (
            (self.stub.Classify, classification_pb2.ClassificationRequest()),
            (self.stub.Regress, regression_pb2.RegressionRequest()),
        ):
            request.model_spec.name = "m"
            request.model_spec.signature_name = name
            request.input.example_list.examples.add().ParseFromString(
                _example().SerializeToString()
            )
            yield self._fail(method, request)
        multi = inference_pb2.MultiInferenceRequest()
        multi.input.CopyFrom(request.input)
        task = multi.tasks.add(method_name="tensorflow/serving/regress")
        task.model_spec.CopyFrom(request.model_spec)
        yield self._fail(self.stub.MultiInference, multi)

    def test_rest_shows_no_values(self) -> None:
        """Bodies that are no JSON, and all that is, get texts without them."""
        texts = []
        for body in _BODIES:
            for method in ("predict", "classify", "regress"):
                found = requests.post(f"{self.url}:{method}", data=body)
                # An answer that is good may well repeat a value.
                texts.append("" if found.ok else found.text)
        self._assert_no_values(texts, 500)


if __name__ == "__main__":
    absltest.main()
