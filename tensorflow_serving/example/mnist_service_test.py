"""Tests for mnist_service, with a session that is made up."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any
from unittest import mock

import numpy as np
import numpy.typing as npt
from absl.testing import absltest, parameterized
from google.protobuf import message

from tensorflow_serving.batching import (
    batch_scheduler,
    batched_function,
    batching_session,
)
from tensorflow_serving.example import mnist_inference_pb2, mnist_service
from tensorflow_serving.rpc import call as call_lib
from tensorflow_serving.rpc import gate
from tensorflow_serving.test_util import puppet_batch_scheduler
from tensorflow_serving.util import errors, tensor_spec

_IMAGE = np.linspace(0, 1, 784, dtype=np.float32)


def _request(image: Iterable[float]) -> mnist_inference_pb2.MnistRequest:
    return mnist_inference_pb2.MnistRequest(image_data=image)


class MnistServiceTest(parameterized.TestCase):
    """One image in, ten probabilities out."""

    def test_image_goes_in_and_scores_come_out(self) -> None:
        """The image is float32 [1, 784], unchanged."""
        scores = np.arange(10, dtype=np.float32)[None]
        classify = mock.Mock(return_value=scores)
        service = mnist_service.MnistService(classify)
        response = service.classify(_request(_IMAGE))
        np.testing.assert_array_equal(response.value, scores[0])
        (image,) = classify.call_args.args
        np.testing.assert_array_equal(image, [_IMAGE])
        self.assertEqual(image.dtype, np.float32)

    @parameterized.parameters(0, 1, 783, 785)
    def test_image_of_another_size_is_invalid(self, num_pixels: int) -> None:
        """Another size is INVALID_ARGUMENT; the function is not called."""
        classify = mock.Mock()
        with self.assertRaisesRegex(
            errors.InvalidArgumentError, f"784 values; got {num_pixels}"
        ):
            mnist_service.MnistService(classify).classify(
                _request([0.5] * num_pixels)
            )
        classify.assert_not_called()

    def test_error_of_the_function_is_passed_on(self) -> None:
        """An error of the function is passed on with its code."""
        classify = mock.Mock(side_effect=errors.UnavailableError("full"))
        with self.assertRaisesRegex(errors.UnavailableError, "full"):
            mnist_service.MnistService(classify).classify(_request(_IMAGE))

    def test_scores_of_another_shape_are_an_internal_error(self) -> None:
        """The fault is the model's."""
        classify = mock.Mock(return_value=np.zeros([1, 9]))
        with self.assertRaisesRegex(
            errors.InternalError, r"must have shape \[1, 10\]; got \[1, 9\]"
        ):
            mnist_service.MnistService(classify).classify(_request(_IMAGE))


class _BatchableSession:
    """Returns ten times the first pixel of each image."""

    def __init__(self, num_scores: int = 10) -> None:
        self._num_scores = num_scores
        self.batch_sizes: list[int] = []

    def make_callable(
        self, fetches: Sequence[str], feed_list: Sequence[str]
    ) -> Callable[..., list[npt.NDArray[Any]]]:
        """Returns the function from images to scores."""
        assert (list(fetches), list(feed_list)) == (["y:0"], ["x:0"])

        def run(images: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
            self.batch_sizes.append(len(images))
            return [np.repeat(images[:, :1], self._num_scores, axis=1)]

        return run

    def tensor_spec(self, name: str) -> tensor_spec.TensorSpec:
        """Returns the spec of the images."""
        return tensor_spec.TensorSpec(name, np.dtype(np.float32), (None, 784))

    def close(self) -> None:
        """Has nothing to free."""


class _VersionedSession(_BatchableSession):
    """Returns zeros, and 7 as the version."""

    def make_callable(
        self, fetches: Sequence[str], feed_list: Sequence[str]
    ) -> Callable[..., list[npt.NDArray[Any]]]:
        """Returns the function from images to scores and version."""
        return lambda images: [
            np.zeros([len(images), 10], np.float32),
            np.full(len(images), 7),
        ]


class _Call(call_lib.Call):
    """A call that keeps its reply."""

    def __init__(
        self, request: bytes, metadata: call_lib.Metadata = ()
    ) -> None:
        self.request = request
        self.deadline = math.inf
        self.metadata = metadata
        self.on_cancelled = None
        self.response: bytes | None = None
        self.error: errors.ServingError | None = None
        self.trailing_metadata: call_lib.Metadata = ()
        self.is_left = False

    @property
    def is_active(self) -> bool:
        """Whether the caller waits."""
        return not (self.is_left or self.response or self.error)

    def reply(
        self,
        response: bytes | message.Message,
        trailing_metadata: call_lib.Metadata = (),
    ) -> None:
        """Keeps the response."""
        self.response = call_lib.to_bytes(response)
        self.trailing_metadata = trailing_metadata

    def fail(
        self,
        error: errors.ServingError,
        trailing_metadata: call_lib.Metadata = (),
    ) -> None:
        """Keeps the error."""
        self.error = error


class AsyncMnistServiceTest(parameterized.TestCase):
    """The same without a thread for each call."""

    def _serve(
        self, session: _BatchableSession, *calls: _Call
    ) -> puppet_batch_scheduler.PuppetBatchScheduler[
        batched_function.FunctionTask
    ]:
        """Begins calls; returns the scheduler that has them."""
        schedulers = []

        def create_scheduler(
            process: batch_scheduler.ProcessBatch[
                batched_function.FunctionTask
            ],
        ) -> puppet_batch_scheduler.PuppetBatchScheduler[
            batched_function.FunctionTask
        ]:
            schedulers.append(
                puppet_batch_scheduler.PuppetBatchScheduler(process)
            )
            return schedulers[0]

        batching = batching_session.BatchingSession(
            batching_session.Options(), session, create_scheduler
        )
        service = mnist_service.AsyncMnistService(
            batching.scheduler, batching.function(["y:0"], ["x:0"])
        ).service()
        for call in calls:
            gate.begin(service.async_methods["Classify"], call)
        while (work := service.when_idle()) and work.run():
            pass
        return schedulers[0]

    def test_calls_of_a_burst_share_a_batch(self) -> None:
        """Each call of a burst gets its own scores."""
        session = _BatchableSession()
        calls = [
            _Call(_request([pixel] * 784).SerializeToString())
            for pixel in (0.25, 0.5, 0.75)
        ]
        scheduler = self._serve(session, *calls)
        self.assertEqual(scheduler.num_enqueued_tasks(), 3)
        scheduler.process_tasks(3)
        self.assertEqual(session.batch_sizes, [3])
        for call, pixel in zip(calls, (0.25, 0.5, 0.75), strict=True):
            assert call.response is not None
            response = mnist_inference_pb2.MnistResponse.FromString(
                call.response
            )
            self.assertEqual(list(response.value), [pixel] * 10)
            self.assertEqual(call.trailing_metadata, ())

    def test_timing_is_told_to_those_who_ask(self) -> None:
        """Callers that ask get the timing in the trailing metadata."""
        image = _request([0.5] * 784).SerializeToString()
        call = _Call(image, [("serving-timing", "1")])
        scheduler = self._serve(_BatchableSession(), call)
        scheduler.process_tasks(1)
        timing = dict(call.trailing_metadata)
        self.assertEqual(timing["serving-batch-size"], "1")

    @parameterized.parameters(
        ([("serving-timing", "1")], "7"), ([("other", "1")], None)
    )
    def test_version_is_told_to_those_who_ask(
        self, metadata: call_lib.Metadata, version: str | None
    ) -> None:
        """A caller gets the version if it is the second output."""
        call = _Call(_request([0.5] * 784).SerializeToString(), metadata)
        batching = batching_session.BatchingSession(
            batching_session.Options(),
            _VersionedSession(),
            puppet_batch_scheduler.PuppetBatchScheduler,
        )
        service = mnist_service.AsyncMnistService(
            batching.scheduler, batching.function(["y:0", "v:0"], ["x:0"])
        ).service()
        gate.begin(service.async_methods["Classify"], call)
        work = service.when_idle()
        assert work is not None
        work.run()
        batching.close()
        assert call.response is not None
        trailers = dict(call.trailing_metadata)
        self.assertEqual(trailers.get("serving-version"), version)
        self.assertEqual("serving-batch-size" in trailers, version is not None)

    def test_call_that_was_left_costs_nothing(self) -> None:
        """A call may be left before it is scheduled, and while it waits."""
        image = _request([0.5] * 784).SerializeToString()
        early, late, other = _Call(image), _Call(image), _Call(image)
        early.is_left = True
        session = _BatchableSession()
        scheduler = self._serve(session, early, late, other)
        assert late.on_cancelled is not None
        late.on_cancelled()
        self.assertEqual(scheduler.num_enqueued_tasks(), 1)
        scheduler.process_tasks(1)
        self.assertEqual(session.batch_sizes, [1])
        self.assertIsNotNone(other.response)

    def test_scores_of_another_shape_are_an_internal_error(self) -> None:
        """The fault is the model's."""
        call = _Call(_request([0.5] * 784).SerializeToString())
        scheduler = self._serve(_BatchableSession(num_scores=9), call)
        scheduler.process_tasks(1)
        self.assertIsInstance(call.error, errors.InternalError)
        self.assertRegex(str(call.error), r"\[1, 10\]; got \[1, 9\]")


if __name__ == "__main__":
    absltest.main()
