"""MnistService: one image in, ten probabilities out.

MnistService is the simple way, with a thread for each call; AsyncMnistService
does the same without.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy.typing as npt

from tensorflow_serving.batching import (
    batch_scheduler,
    batched_function,
    run_timing,
    task_round,
)
from tensorflow_serving.example import mnist_codec, mnist_inference_pb2
from tensorflow_serving.rpc import call as call_lib
from tensorflow_serving.servables.tensorflow import call_timing
from tensorflow_serving.util import errors

_VERSION_KEY = "serving-version"
_SERVICE = mnist_inference_pb2.DESCRIPTOR.services_by_name["MnistService"]


class MnistService:
    """Answers each call with a run of a function.

    Each call blocks its thread until the function returns.

    Thread-safe.
    """

    def __init__(
        self, classify: Callable[[npt.NDArray[Any]], npt.NDArray[Any]]
    ) -> None:
        """Takes a function, such as MnistClassifier.classify().

        Args:
          classify: From an image, float32 [1, 784], to scores, float [1, 10].
        """
        self._classify = classify

    def service(self) -> call_lib.Service:
        """Returns the service for a server."""
        return call_lib.Service(_SERVICE, {"Classify": self.classify})

    def classify(
        self, request: mnist_inference_pb2.MnistRequest
    ) -> mnist_inference_pb2.MnistResponse:
        """Returns how likely each digit is.

        Raises:
          InvalidArgumentError: The image does not have 784 values. Permanent.
          InternalError: The model does not return [1, 10] floats. Permanent.
          ServingError: What the function raised.
        """
        scores = self._classify(mnist_codec.image_of(request))
        (response,) = mnist_codec.encode_scores(scores, 1).messages()
        return mnist_inference_pb2.MnistResponse.FromString(response)


class AsyncMnistService:
    """The same with a batch scheduler, without a thread for each call.

    The calls that come in a row are scheduled together. When a caller leaves,
    its call leaves the queue.

    See call_timing for what callers can ask for. If the function returns which
    version answered, it is in the same metadata, as "serving-version".
    """

    def __init__(
        self,
        scheduler: batch_scheduler.BatchScheduler[
            batched_function.FunctionTask
        ],
        function: batched_function.BatchedFunction,
    ) -> None:
        """Does not take ownership: the caller closes both after the server.

        Args:
          scheduler: Runs calls of the function.
          function: From images, float32 [batch, 784], to scores, float [batch,
            10], and, if it has a second output, the version that answered,
            int64 [batch].
        """
        self._scheduler = scheduler
        self._function = function
        # Only accessed by the thread of the server that begins calls. What has
        # arrived is scheduled in one round, which the server takes and runs
        # when no other call is at hand (WireLane._turn_rounds); the last round
        # may have something left to do.
        self._arrived: list[batched_function.FunctionTask] = []
        self._round = task_round.TaskRound()

    def service(self) -> call_lib.Service:
        """Returns the service for a server."""
        return call_lib.Service(
            _SERVICE,
            async_methods={"Classify": self._begin},
            when_idle=self._take_arrived,
        )

    def _begin(self, call: call_lib.Call) -> None:
        image = mnist_codec.decode_image(call.request)
        task = self._function.task([image], self, call.deadline, context=call)
        call.on_cancelled = functools.partial(self._scheduler.cancel, task)
        self._arrived.append(task)

    def _take_arrived(self) -> task_round.TaskRound:
        arrived, self._arrived = self._arrived, []
        tasks = [task for task in arrived if task.context.is_active]
        self._round = task_round.TaskRound(self._round)
        if tasks:
            self._round.add(self._scheduler, tasks)
        return self._round

    def succeed(
        self,
        tasks: batched_function.Tasks,
        outputs: Sequence[npt.NDArray[Any]],
        timing: run_timing.RunTiming,
    ) -> None:
        """See batched_function.Caller."""
        try:
            responses = mnist_codec.encode_scores(outputs[0], len(tasks))
        except errors.InternalError as error:
            self.fail(tasks, error)
            return
        rpc_calls: list[call_lib.Call] = [task.context for task in tasks]
        if call_timing.is_wanted_by_any([call.metadata for call in rpc_calls]):
            for task, response in zip(tasks, responses.messages(), strict=True):
                _reply_with_metadata(task, response, outputs, timing)
        else:
            call_lib.reply_all(rpc_calls, responses)

    def fail(
        self,
        tasks: batched_function.Tasks,
        error: errors.ServingError,
    ) -> None:
        """See batched_function.Caller."""
        for task in tasks:
            task.context.fail(error)


def _reply_with_metadata(
    task: batched_function.FunctionTask,
    response: bytes,
    outputs: Sequence[npt.NDArray[Any]],
    timing: run_timing.RunTiming,
) -> None:
    """Answers a call, with its timing if the caller asks for it."""
    if call_timing.is_wanted(task.context.metadata):
        task.context.reply(response, _trailing_metadata(task, outputs, timing))
    else:
        task.context.reply(response)


def _trailing_metadata(
    task: batched_function.FunctionTask,
    outputs: Sequence[npt.NDArray[Any]],
    timing: run_timing.RunTiming,
) -> call_lib.Metadata:
    metadata = call_timing.trailing_metadata(task, timing)
    if len(outputs) > 1:
        # All rows of a batch have the same version.
        metadata.append((_VERSION_KEY, str(int(outputs[1][0]))))
    return metadata
