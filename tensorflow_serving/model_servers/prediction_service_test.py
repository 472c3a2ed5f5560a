"""Tests for prediction_service, over a real server in this process."""

import concurrent.futures
import math
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
from tensorflow_serving.model_servers import (
    call_limits,
    call_recording,
    prediction_service,
)
from tensorflow_serving.rpc import call as call_lib
from tensorflow_serving.rpc import server as server_lib
from tensorflow_serving.servables.tensorflow import served_model
from tensorflow_serving.test_util import small_model
from tensorflow_serving.util import errors

_NUM_CALLS = 300


class _Core:
    """Gives handles on one model, as a ServerCore does, and keeps them."""

    model_names = ("small",)
    call_limits = call_limits.CallLimits(())
    recording = call_recording.CallRecording(call_recording.Options(), ())

    def __init__(self, model: served_model.ServedModel) -> None:
        self.manager = static_manager.StaticManager(
            {servable.ServableId("small", 7): model}
        )
        self.handles: list[
            servable_handle.ServableHandle[served_model.ServedModel]
        ] = []

    def handle(
        self, spec: model_pb2.ModelSpec
    ) -> servable_handle.ServableHandle[served_model.ServedModel]:
        """Returns a handle on the model of a name."""
        handle = self.manager.get_servable_handle(
            servable.ServableRequest.latest(spec.name), served_model.ServedModel
        )
        self.handles.append(handle)
        return handle


class _Call(call_lib.Call):
    """A call of Predict whose end is a future."""

    is_active = True
    deadline = math.inf
    metadata = ()
    on_cancelled = None

    def __init__(self, request: predict_pb2.PredictRequest) -> None:
        self.request = request.SerializeToString()
        self.response: concurrent.futures.Future[bytes] = (
            concurrent.futures.Future()
        )

    def reply(
        self, response: Any, trailing_metadata: call_lib.Metadata = ()
    ) -> None:
        """Keeps the response."""
        self.response.set_result(call_lib.to_bytes(response))

    def fail(
        self,
        error: errors.ServingError,
        trailing_metadata: call_lib.Metadata = (),
    ) -> None:
        """Keeps the error."""
        self.response.set_exception(error)


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


class GroupTest(absltest.TestCase):
    """Tests of calls that come together."""

    def setUp(self) -> None:
        """Makes a service without a server."""
        super().setUp()
        self.small = small_model.SmallModel()
        self.addCleanup(self.small.close)
        self.core = _Core(self.small.model)
        self.service = prediction_service.PredictionService(
            self.core  # type: ignore[arg-type]
        ).service()
        # From the second call on, the form of a request is known.
        self._begin(_Call(_request(0)))
        self._finish()

    def _begin(self, *calls: _Call) -> None:
        for call in calls:
            self.service.async_methods["Predict"](call)

    def _finish(self) -> None:
        """Runs what was begun, and waits until no version is in use."""
        while (work := self.service.when_idle()) and work.run():
            pass
        self.core.manager.close()
        self.core = _Core(self.small.model)
        self.service = prediction_service.PredictionService(
            self.core  # type: ignore[arg-type]
        ).service()

    def test_calls_of_one_form_share_a_handle(self) -> None:
        """A version stays until all of them have ended, each with its own."""
        calls = [_Call(_request(x)) for x in range(5)]
        self._begin(*calls)
        self.assertEqual(len(self.core.handles), 1)
        self._finish()
        self.assertEqual(
            [
                predict_pb2.PredictResponse.FromString(call.response.result())
                .outputs["y"]
                .float_val[:]
                for call in calls
            ],
            [[x / 2 + 2] for x in range(5)],
        )

    def test_calls_of_other_forms_do_not_share(self) -> None:
        """Other outputs are other responses."""
        other = _request(1)
        other.output_filter.append("z")
        calls = [_Call(_request(4)), _Call(other)]
        self._begin(*calls)
        self.assertEqual(len(self.core.handles), 2)
        self._finish()
        self.assertEqual(
            [
                sorted(
                    predict_pb2.PredictResponse.FromString(
                        call.response.result()
                    ).outputs
                )
                for call in calls
            ],
            [["y", "z"], ["z"]],
        )

    def test_calls_that_need_a_default_do_not_share(self) -> None:
        """Their tensors are not all inputs of the function."""
        requests = [_request(x) for x in (1, 2)]
        for request in requests:
            request.model_spec.signature_name = "defaults"
        calls = [_Call(request) for request in requests]
        self._begin(*calls)
        self._finish()
        self.assertEqual(
            [
                predict_pb2.PredictResponse.FromString(call.response.result())
                .outputs["sum"]
                .float_val[:]
                for call in calls
            ],
            [[2], [3]],
        )

    def test_group_whose_callers_left_gives_its_version_back(self) -> None:
        """Nobody waits for their answers, so they do not run."""
        calls = [_Call(_request(x)) for x in range(2)]
        self._begin(*calls)
        for call in calls:
            call.is_active = False
        self._finish()
        self.assertFalse(any(call.response.done() for call in calls))

    def test_group_whose_tasks_are_refused_gives_its_version_back(self) -> None:
        """Each call gets the error of the queue."""
        calls = [_Call(_request(x)) for x in range(2)]
        self._begin(*calls)
        self.small.close()
        self._finish()
        for call in calls:
            self.assertIsInstance(
                call.response.exception(), errors.FailedPreconditionError
            )

    def test_refused_call_gives_its_version_back(self) -> None:
        """The error is raised for the server, which answers with it."""
        bad = _request(1)
        bad.inputs["x"].CopyFrom(tensor_codec.to_proto(np.array([1], np.int64)))
        with self.assertRaises(errors.InvalidArgumentError):
            self._begin(_Call(bad))
        self._finish()


if __name__ == "__main__":
    absltest.main()
