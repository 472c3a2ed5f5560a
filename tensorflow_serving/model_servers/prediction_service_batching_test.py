"""Tests for prediction_service with batching, over a real server."""

from typing import Any

import grpc
import numpy as np
import numpy.typing as npt
from absl.testing import absltest, parameterized

from tensorflow_serving.apis import (
    model_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
    tensor_codec,
)
from tensorflow_serving.batching import batch_queue, batching_session
from tensorflow_serving.core import servable, servable_handle, static_manager
from tensorflow_serving.model_servers import (
    call_limits,
    call_recording,
    prediction_service,
)
from tensorflow_serving.rpc import server as server_lib
from tensorflow_serving.servables.tensorflow import (
    batch_threads,
    served_model,
)
from tensorflow_serving.test_util import small_model

# A batch that is not full waits for as long as a test takes.
_NEVER_MICROS = 600_000_000


class _Core:
    """Gives handles on one model, as a ServerCore does."""

    call_limits = call_limits.CallLimits(())
    recording = call_recording.CallRecording(call_recording.Options(), ())

    def __init__(self, model: served_model.ServedModel) -> None:
        self._manager = static_manager.StaticManager(
            {servable.ServableId("small", 7): model}
        )

    def handle(
        self, spec: model_pb2.ModelSpec
    ) -> servable_handle.ServableHandle[served_model.ServedModel]:
        """Returns a handle on the model."""
        return self._manager.get_servable_handle(
            servable.ServableRequest.latest(spec.name), served_model.ServedModel
        )


def _request(
    x: npt.ArrayLike, signature_name: str = ""
) -> predict_pb2.PredictRequest:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "small"
    request.model_spec.signature_name = signature_name
    request.inputs["x"].CopyFrom(tensor_codec.to_proto(np.array(x, np.float32)))
    return request


def _output(response: predict_pb2.PredictResponse, key: str = "y") -> Any:
    return tensor_codec.to_array(response.outputs[key]).tolist()


class BatchingTest(parameterized.TestCase):
    """Tests of calls that share batches, and of those for which is no room."""

    def _serve(
        self, *, pads_inputs: bool = False, **queue_options: Any
    ) -> prediction_service_pb2_grpc.PredictionServiceStub:
        """Starts a server; returns a stub whose calls arrive in order."""
        defaults: dict[str, Any] = {"batch_timeout_micros": _NEVER_MICROS}
        small = small_model.SmallModel(
            batch_threads.Options(
                batch_queue.QueueOptions(**{**defaults, **queue_options}),
                session=batching_session.Options(
                    pad_variable_length_inputs=pads_inputs
                ),
            )
        )
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
        grpc.channel_ready_future(channel).result(timeout=60)
        return prediction_service_pb2_grpc.PredictionServiceStub(channel)

    def _assert_fails(
        self, call: Any, code: grpc.StatusCode, details: str
    ) -> None:
        error = call.exception(timeout=60)
        self.assertEqual((error.code(), error.details()), (code, details))

    def test_full_queue_refuses_at_once(self) -> None:
        """The status says to try again; calls that wait are not affected."""
        stub: Any = self._serve(max_batch_size=2, max_enqueued_batches=1)
        waiting = stub.Predict.future(_request([4]))
        self._assert_fails(
            stub.Predict.future(_request([1, 2])),
            grpc.StatusCode.UNAVAILABLE,
            "Too many waiting batches (limit 1); try again later.",
        )
        self.assertEqual(_output(stub.Predict(_request([6]))), [5])
        self.assertEqual(_output(waiting.result(timeout=60)), [4])

    def test_call_larger_than_a_batch_is_invalid(self) -> None:
        """To try it again would change nothing."""
        stub: Any = self._serve(max_batch_size=2)
        self._assert_fails(
            stub.Predict.future(_request([1, 2, 3])),
            grpc.StatusCode.INVALID_ARGUMENT,
            "number of rows must be at most 2, the maximum batch size; got 3",
        )

    def test_call_larger_than_a_batch_is_split_if_allowed(self) -> None:
        """Its outputs are one tensor again, with the rows in order."""
        stub: Any = self._serve(
            max_batch_size=6,
            max_execution_batch_size=2,
            enable_large_batch_splitting=True,
            max_enqueued_batches=3,
            batch_timeout_micros=0,
        )
        response = stub.Predict(_request([0, 2, 4, 6, 8]))
        self.assertEqual(_output(response), [2, 3, 4, 5, 6])
        self._assert_fails(
            stub.Predict.future(_request([0] * 7)),
            grpc.StatusCode.INVALID_ARGUMENT,
            "number of rows must be at most 6, the maximum batch size; got 7",
        )

    @parameterized.parameters(
        (False, [[[1, 2]], [[3, 4, 5]]]),
        (True, [[[1, 2, 1]], [[3, 4, 5]]]),
    )
    def test_calls_of_other_lengths_wait_together(
        self, pads_inputs: bool, expected: list[list[list[float]]]
    ) -> None:
        """Calls of other lengths share a run if padded, else have one each."""
        stub: Any = self._serve(pads_inputs=pads_inputs, max_batch_size=2)
        futures = [
            stub.Predict.future(_request(x, "echo"))
            for x in ([[1, 2]], [[3, 4, 5]])
        ]
        self.assertEqual(
            [_output(future.result(timeout=60)) for future in futures], expected
        )

    def test_caller_that_asks_gets_the_timing(self) -> None:
        """The metadata has the rows of the batch; others get none of it."""
        stub: Any = self._serve(max_batch_size=3)
        calls = [
            stub.Predict.future(_request(x), metadata=metadata)
            for x, metadata in (
                ([2], (("serving-timing", ""),)),
                ([4, 6], ()),
            )
        ]
        self.assertEqual(
            [_output(call.result(timeout=60)) for call in calls],
            [[3], [4, 5]],
        )
        asked, other = (dict(call.trailing_metadata()) for call in calls)
        self.assertEqual(asked["serving-batch-size"], "3")
        self.assertIn("serving-queue-micros", asked)
        self.assertNotIn("serving-batch-size", other)

    def test_call_without_rows_runs_alone(self) -> None:
        """It needs no others, and has the size of one row in its batch."""
        stub: Any = self._serve(max_batch_size=1)
        response = stub.Predict(_request([2, 4, 6], "no_rows"))
        self.assertEqual(_output(response), [3, 4, 5])
        self.assertEqual(_output(response, "total"), 2)


if __name__ == "__main__":
    absltest.main()
