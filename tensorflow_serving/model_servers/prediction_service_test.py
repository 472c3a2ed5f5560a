"""Tests for prediction_service, over a real server in this process."""

import concurrent.futures
from typing import Any

import grpc
import numpy as np
from absl.testing import absltest, parameterized

from tensorflow_serving.apis import (
    inference_pb2,
    model_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
    tensor_codec,
)
from tensorflow_serving.core import servable, servable_handle, static_manager
from tensorflow_serving.model_servers import prediction_service
from tensorflow_serving.rpc import server as server_lib
from tensorflow_serving.servables.tensorflow import served_model
from tensorflow_serving.test_util import small_model

_NUM_CALLS = 300


class _Core:
    """Gives handles on one model, as a ServerCore does."""

    def __init__(self, model: served_model.ServedModel) -> None:
        self.manager = static_manager.StaticManager(
            {servable.ServableId("small", 7): model}
        )

    def handle(
        self, spec: model_pb2.ModelSpec
    ) -> servable_handle.ServableHandle[served_model.ServedModel]:
        """Returns a handle on the model of a name."""
        return self.manager.get_servable_handle(
            servable.ServableRequest.latest(spec.name), served_model.ServedModel
        )


def _request(x: float, model: str = "small") -> predict_pb2.PredictRequest:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    request.inputs["x"].CopyFrom(
        tensor_codec.to_proto(np.array([x], np.float32))
    )
    return request


class PredictionServiceTest(parameterized.TestCase):
    """Tests with a small model and clients of grpc."""

    def setUp(self) -> None:
        """Starts a server."""
        super().setUp()
        small = small_model.SmallModel()
        self.addCleanup(small.close)
        service = prediction_service.PredictionService(
            _Core(small.model)  # type: ignore[arg-type]
        )
        server = server_lib.Server(
            "localhost:0",
            [service.service()],
            server_lib.Options(num_threads=1),
        )
        self.enter_context(server)
        server.start()
        channel = grpc.insecure_channel(f"localhost:{server.port}")
        self.addCleanup(channel.close)
        self.stub: Any = prediction_service_pb2_grpc.PredictionServiceStub(
            channel
        )

    def _assert_fails(
        self, code: grpc.StatusCode, text: str, request: Any
    ) -> None:
        with self.assertRaises(grpc.RpcError) as raised:
            self.stub.Predict(request)
        error: Any = raised.exception
        self.assertEqual(error.code(), code)
        self.assertIn(text, error.details())

    def test_every_call_gets_its_own_answer(self) -> None:
        """Calls in flight at the same time get their own answers."""
        with concurrent.futures.ThreadPoolExecutor(16) as callers:
            responses = list(
                callers.map(
                    lambda x: self.stub.Predict(_request(x)), range(_NUM_CALLS)
                )
            )
        self.assertEqual(
            [response.outputs["y"].float_val[0] for response in responses],
            [x / 2 + 2 for x in range(_NUM_CALLS)],
        )

    def test_tensor_content_is_read(self) -> None:
        """Both forms of a tensor mean the same."""
        request = _request(0)
        request.inputs["x"].CopyFrom(
            tensor_codec.to_proto(np.array([4, 6], np.float32), as_content=True)
        )
        response = self.stub.Predict(request)
        self.assertEqual(list(response.outputs["y"].float_val), [4, 5])

    def test_request_without_a_model_is_refused(self) -> None:
        """An empty message names none."""
        self._assert_fails(
            grpc.StatusCode.INVALID_ARGUMENT,
            "Missing ModelSpec",
            predict_pb2.PredictRequest(),
        )

    def test_unknown_model_is_not_found(self) -> None:
        """The code is that of the core."""
        self._assert_fails(
            grpc.StatusCode.NOT_FOUND, "other", _request(1, "other")
        )

    def test_fault_of_one_request_harms_no_other(self) -> None:
        """A request that is refused leaves the version usable."""
        bad = _request(1)
        bad.inputs["x"].CopyFrom(tensor_codec.to_proto(np.array([1], np.int64)))
        for _ in range(3):
            self._assert_fails(
                grpc.StatusCode.INVALID_ARGUMENT, "dtype float32", bad
            )
        response = self.stub.Predict(_request(2))
        self.assertEqual(response.outputs["y"].float_val[0], 3)

    def test_content_that_does_not_fill_its_shape_is_refused(self) -> None:
        """Nobody else's bytes are ever part of an answer."""
        request = _request(1)
        request.inputs["x"].tensor_content = b"abc"
        request.inputs["x"].ClearField("float_val")
        self._assert_fails(
            grpc.StatusCode.INVALID_ARGUMENT, "tensor_content", request
        )

    def test_other_methods_share_the_model(self) -> None:
        """Regress and MultiInference answer from its signatures."""
        multi = inference_pb2.MultiInferenceRequest()
        task = multi.tasks.add(method_name="tensorflow/serving/regress")
        task.model_spec.name = "small"
        task.model_spec.signature_name = "regress"
        multi.input.example_list.examples.add()
        response = self.stub.MultiInference(multi)
        self.assertEqual(
            len(response.results[0].regression_result.regressions), 1
        )


if __name__ == "__main__":
    absltest.main()
