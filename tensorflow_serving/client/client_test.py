"""Tests for client and async_client, which must do the same."""

import asyncio
import dataclasses
import sys
import threading
from collections.abc import Callable
from typing import Any

import grpc
import numpy as np
from absl.testing import absltest, parameterized

from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    predict_pb2,
    regression_pb2,
    tensor_codec,
)
from tensorflow_serving.client import (
    async_client,
    calls,
    canned_server,
    client,
    options,
)
from tensorflow_serving.config import model_server_config_pb2
from tensorflow_serving.tensorflow_c.protos import (
    tsl_error_codes_pb2,
    types_pb2,
)
from tensorflow_serving.test_util import certificates
from tensorflow_serving.util import errors

_MODEL = calls.Model("half_plus_two", version=3, signature="s")
# Any deadline that is not reached.
_SECONDS = 60.0


def _synchronous(
    server_options: options.Options, method: str, *args: Any, **kwargs: Any
) -> Any:
    with client.Client(server_options) as server:
        return getattr(server, method)(*args, **kwargs)


def _asynchronous(
    server_options: options.Options, method: str, *args: Any, **kwargs: Any
) -> Any:
    async def run() -> Any:
        async with async_client.AsyncClient(server_options) as server:
            return await getattr(server, method)(*args, **kwargs)

    return asyncio.run(run())


def _prediction() -> predict_pb2.PredictResponse:
    response = predict_pb2.PredictResponse(model_spec=_MODEL.spec())
    response.outputs["y"].CopyFrom(
        tensor_codec.to_proto(np.array([2.5, 3.0], np.float32))
    )
    return response


def _metadata() -> get_model_metadata_pb2.GetModelMetadataResponse:
    signatures = get_model_metadata_pb2.SignatureDefMap()
    signatures.signature_def["s"].inputs["x"].dtype = types_pb2.DT_FLOAT
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    response.metadata["signature_def"].Pack(signatures)
    return response


class ClientTest(parameterized.TestCase):
    """Tests of the requests and results of a client."""

    # Makes a client, calls a method of it, and closes it.
    run_method: Callable[..., Any] = staticmethod(_synchronous)

    def setUp(self) -> None:
        """Starts a server."""
        super().setUp()
        self._server = canned_server.CannedServer()
        self.addCleanup(self._server.close)
        self._options = options.Options(
            self._server.address,
            deadline_seconds=_SECONDS,
            first_pause_seconds=0.01,
        )

    def _call(
        self,
        answer: canned_server.Answer,
        method: str,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        self._server.answers = [answer]
        return self.run_method(self._options, method, *args, **kwargs)

    def test_predict_takes_and_returns_arrays(self) -> None:
        """The request names the model; the result names who answered."""
        inputs = {"x": np.array([1, 2], np.float32)}
        prediction = self._call(
            _prediction(), "predict", _MODEL, inputs, output_filter=["y"]
        )
        (request,) = self._server.requests
        self.assertEqual(request.model_spec, _MODEL.spec())
        self.assertEqual(request.output_filter, ["y"])
        np.testing.assert_array_equal(
            tensor_codec.to_array(request.inputs["x"]), inputs["x"]
        )
        self.assertEqual(prediction.model, _MODEL.spec())
        np.testing.assert_array_equal(prediction.outputs["y"], [2.5, 3.0])

    def test_key_is_sent_with_each_call(self) -> None:
        """A client without one sends none."""
        self._call(_prediction(), "predict", _MODEL, {})
        self._options = dataclasses.replace(self._options, api_key="a.B-3==")
        self._call(_prediction(), "predict", _MODEL, {})
        self._call(_metadata(), "metadata", _MODEL)
        self.assertEqual(
            [each.get("authorization") for each in self._server.metadata],
            [None, "Bearer a.B-3==", "Bearer a.B-3=="],
        )

    def test_classify_returns_classes_of_each_example(self) -> None:
        """Features go as examples, shared ones as the context."""
        response = classification_pb2.ClassificationResponse()
        response.result.classifications.add().classes.add(label="a", score=0.5)
        result = self._call(
            response,
            "classify",
            _MODEL,
            [{"x": 1, "y": [0.5, 1.5]}],
            context={"z": "t"},
        )
        self.assertEqual(result.classes, [[calls.Class("a", 0.5)]])
        examples = self._server.requests[0].input.example_list_with_context
        feature = examples.examples[0].features.feature
        self.assertEqual(feature["x"].int64_list.value, [1])
        self.assertEqual(feature["y"].float_list.value, [0.5, 1.5])
        feature = examples.context.features.feature
        self.assertEqual(feature["z"].bytes_list.value, [b"t"])

    def test_regress_returns_a_value_for_each_example(self) -> None:
        """The values are one array."""
        response = regression_pb2.RegressionResponse()
        response.result.regressions.add(value=0.5)
        response.result.regressions.add(value=1.5)
        result = self._call(response, "regress", _MODEL, [{"x": 1}])
        np.testing.assert_array_equal(result.values, [0.5, 1.5])
        self.assertEqual(
            len(self._server.requests[0].input.example_list.examples), 1
        )

    def test_metadata_returns_signatures(self) -> None:
        """They are those of the model, by name."""
        result = self._call(_metadata(), "metadata", _MODEL)
        self.assertEqual(result.signatures["s"].inputs["x"].dtype, 1)
        self.assertEqual(
            self._server.requests[0].metadata_field, ["signature_def"]
        )

    def test_status_returns_versions(self) -> None:
        """Each version has a state."""
        response = get_model_status_pb2.GetModelStatusResponse()
        response.model_version_status.add(version=3, state="AVAILABLE")
        result = self._call(response, "status", _MODEL)
        self.assertEqual(list(result), list(response.model_version_status))

    def test_reload_sends_the_config(self) -> None:
        """A failure in the response is an error like that of a call."""
        config = model_server_config_pb2.ModelServerConfig()
        config.model_config_list.config.add(name="m")
        response = model_management_pb2.ReloadConfigResponse()
        self.assertIsNone(self._call(response, "reload", config))
        self.assertEqual(self._server.requests[0].config, config)
        response.status.error_code = tsl_error_codes_pb2.INVALID_ARGUMENT
        response.status.error_message = "no such folder"
        with self.assertRaisesRegex(
            errors.InvalidArgumentError, "^no such folder$"
        ):
            self._call(response, "reload", config)

    @parameterized.parameters(
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.INTERNAL,
    )
    def test_failure_is_an_error_of_its_code(
        self, code: grpc.StatusCode
    ) -> None:
        """It has the text of the server, and the call is not tried again."""
        with self.assertRaisesRegex(
            errors.ServingError, f"answer is {code.name}"
        ) as caught:
            self._call(code, "predict", _MODEL, {})
        self.assertEqual(caught.exception.code.name, code.name)
        self.assertEqual(len(self._server.requests), 1)

    def test_call_is_tried_again_while_the_server_is_unavailable(self) -> None:
        """The caller sees the answer of the third attempt."""
        unavailable = grpc.StatusCode.UNAVAILABLE
        self._server.answers = [unavailable, unavailable, _prediction()]
        self.run_method(self._options, "predict", _MODEL, {})
        self.assertEqual(len(self._server.requests), 3)

    def test_last_attempt_counts(self) -> None:
        """A server that stays unavailable is reported as such."""
        self._server.answers = [grpc.StatusCode.UNAVAILABLE] * 4
        with self.assertRaises(errors.UnavailableError):
            self.run_method(self._options, "predict", _MODEL, {})
        self.assertEqual(len(self._server.requests), 3)

    @parameterized.parameters("predict", "status", "metadata")
    def test_bytes_that_are_not_a_response_are_an_internal_error(
        self, method: str
    ) -> None:
        """The fault is the server's."""
        args: tuple[Any, ...] = ({},) if method == "predict" else ()
        with self.assertRaisesRegex(errors.InternalError, "must be valid; got"):
            self._call(b"\xff", method, _MODEL, *args)

    def test_deadline_ends_the_call(self) -> None:
        """A call that the server does not answer in time fails by itself."""
        release = threading.Event()
        self.addCleanup(release.set)
        with self.assertRaises(errors.DeadlineExceededError):
            self._call(release, "predict", _MODEL, {}, deadline_seconds=0.01)

    def test_connection_may_be_encrypted_both_ways(self) -> None:
        """A server that asks for it sees the certificate of the client."""
        files = certificates.write(self.create_tempdir().full_path)
        credentials = grpc.ssl_server_credentials(
            [
                (
                    _read(files.server.key_file),
                    _read(files.server.certificate_file),
                )
            ],
            _read(files.ca_file),
            require_client_auth=True,
        )
        with canned_server.CannedServer(credentials) as server:
            server.answers = [_prediction()]
            self.run_method(
                options.Options(
                    server.address,
                    tls=options.TlsOptions(
                        files.ca_file,
                        files.client.key_file,
                        files.client.certificate_file,
                    ),
                    deadline_seconds=_SECONDS,
                ),
                "predict",
                _MODEL,
                {},
            )
            self.assertEqual(len(server.requests), 1)


class ClosedClientTest(absltest.TestCase):
    """Tests of the calls of a client that is closed."""

    def test_closed_client_is_not_used(self) -> None:
        """The error says so; to close it again is fine."""
        server = client.Client(options.Options("localhost:1"))
        server.close()
        server.close()
        with self.assertRaisesRegex(
            errors.FailedPreconditionError, "^The client is closed; make"
        ):
            server.status(_MODEL)

    def test_closed_async_client_is_not_used(self) -> None:
        """It is the same with asyncio."""

        async def run() -> None:
            server = async_client.AsyncClient(options.Options("localhost:1"))
            await server.close()
            await server.close()
            with self.assertRaisesRegex(
                errors.FailedPreconditionError, "^The client is closed; make"
            ):
                await server.status(_MODEL)

        asyncio.run(run())


class CancelledTaskTest(absltest.TestCase):
    """Tests of the call of a task that is cancelled."""

    def test_call_ends_with_its_task(self) -> None:
        """The client can be used for other calls afterwards."""
        canned = canned_server.CannedServer()
        self.addCleanup(canned.close)
        release = threading.Event()
        self.addCleanup(release.set)
        canned.answers = [
            release,
            get_model_status_pb2.GetModelStatusResponse(),
        ]

        async def run() -> None:
            server_options = options.Options(
                canned.address, deadline_seconds=_SECONDS
            )
            async with async_client.AsyncClient(server_options) as server:
                task = asyncio.create_task(server.status(_MODEL))
                await asyncio.to_thread(canned.requested.wait)
                task.cancel()
                with self.assertRaises(asyncio.CancelledError):
                    await task
                self.assertEqual(len(await server.status(_MODEL)), 0)

        asyncio.run(run())


class AsyncClientTest(ClientTest):
    """The same with asyncio."""

    run_method = staticmethod(_asynchronous)


class ModulesTest(absltest.TestCase):
    """Tests of the modules that a client imports."""

    def test_client_needs_few_packages(self) -> None:
        """TensorFlow is not among them, nor types that few models have."""
        imported = {name.partition(".")[0] for name in sys.modules}
        self.assertLessEqual({"google", "grpc", "numpy"}, imported)
        self.assertFalse({"tensorflow", "ml_dtypes"} & imported)


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


if __name__ == "__main__":
    absltest.main()
