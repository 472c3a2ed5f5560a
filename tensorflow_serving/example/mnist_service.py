"""MnistService: one image in, ten probabilities out.

MnistService is the simple way, with a thread for each call; AsyncMnistService
does the same without.
"""

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tensorflow_serving.batching import (
    batch_scheduler,
    batched_function,
    batching_session,
)
from tensorflow_serving.example import (
    mnist_classifier,
    mnist_codec,
    mnist_inference_pb2,
    mnist_input_data,
)
from tensorflow_serving.rpc import call as call_lib
from tensorflow_serving.servables.tensorflow import call_timing
from tensorflow_serving.session_bundle import (
    manifest_pb2,
    session,
    session_bundle,
    signature,
)
from tensorflow_serving.util import errors

_VERSION_KEY = "serving-version"
_SERVICE = mnist_inference_pb2.DESCRIPTOR.services_by_name["MnistService"]


class MnistService:
    """Answers with the classification signature of a session bundle.

    Each call blocks its thread until its row of a batch is done.

    Thread-safe.
    """

    def __init__(
        self, bundle: session_bundle.SessionBundle[session.Session]
    ) -> None:
        """Takes a bundle of a session_bundle_factory, which the caller closes.

        If the bundle has no classification signature, each call says so.
        """
        self._session = bundle.session
        self._signature: (
            manifest_pb2.ClassificationSignature | errors.ServingError
        )
        try:
            self._signature = signature.get_classification_signature(
                bundle.meta_graph_def
            )
        except errors.ServingError as error:
            self._signature = error

    def service(self) -> call_lib.Service:
        """Returns the service for a server."""
        return call_lib.Service(_SERVICE, {"Classify": self.classify})

    def classify(
        self, request: mnist_inference_pb2.MnistRequest
    ) -> mnist_inference_pb2.MnistResponse:
        """Returns how likely each digit is.

        Raises:
          InvalidArgumentError: The image has not 784 values. Permanent.
          FailedPreconditionError: The model has no classification signature.
            Permanent.
          InternalError: The model does not return [1, 10] floats. Permanent.
          ServingError: What the session raised.
        """
        image = mnist_codec.image_of(request)
        if isinstance(self._signature, errors.ServingError):
            raise type(self._signature)(str(self._signature))
        scores = signature.run_classification(
            self._signature, image, self._session, scores=True
        ).scores
        assert scores is not None
        (response,) = mnist_codec.encode_scores(scores, 1).messages()
        return mnist_inference_pb2.MnistResponse.FromString(response)


class AsyncMnistService:
    """The same with a batch scheduler, without a thread for each call.

    The calls that come in a row are scheduled together. When a caller leaves,
    its call leaves the queue.

    See call_timing for what callers can ask for. If the function tells which
    version answered, it is in the same metadata, as "serving-version".
    """

    def __init__(
        self,
        scheduler: batch_scheduler.BatchScheduler[batched_function.Call],
        function: batched_function.BatchedFunction | errors.ServingError,
    ) -> None:
        """Takes what the caller closes after the server.

        Args:
          scheduler: Runs calls of the function.
          function: From images, float32 [batch, 784], to scores, float [batch,
            10], and, if it has a second output, the version that answered,
            int64 [batch]. An error: each call gets it.
        """
        self._scheduler = scheduler
        self._function = function
        # Of the thread of the server that begins calls.
        self._arrived: list[tuple[call_lib.Call, batched_function.Call]] = []
        self._has_more = False

    @classmethod
    def of_bundle(
        cls,
        bundle: session_bundle.SessionBundle[batching_session.BatchingSession],
    ) -> "AsyncMnistService":
        """Takes a bundle of a session_bundle_factory, which the caller closes.

        If the bundle has no classification signature that fits, each call says
        so.
        """
        function: batched_function.BatchedFunction | errors.ServingError
        try:
            function = _classification(bundle)
        except errors.ServingError as error:
            function = error
        return cls(bundle.session.scheduler, function)

    def service(self) -> call_lib.Service:
        """Returns the service for a server."""
        return call_lib.Service(
            _SERVICE,
            async_methods={"Classify": self._begin},
            when_idle=self._schedule,
        )

    def _begin(self, call: call_lib.Call) -> None:
        image = mnist_codec.decode_image(call.request)
        function = self._function
        if isinstance(function, errors.ServingError):
            raise type(function)(str(function))
        task = function.call([image], self, call.deadline, context=call)
        call.on_cancelled = functools.partial(self._scheduler.cancel, task)
        self._arrived.append((call, task))

    def _schedule(self) -> bool:
        if not self._arrived and not self._has_more:
            return False
        arrived, self._arrived = self._arrived, []
        self._has_more = self._scheduler.schedule_all(
            [task for call, task in arrived if call.is_active]
        )
        return self._has_more

    def succeed(
        self,
        calls: Sequence[batched_function.Call],
        outputs: Sequence[npt.NDArray[Any]],
        run: batched_function.Run,
    ) -> None:
        """See batched_function.Caller."""
        try:
            responses = mnist_codec.encode_scores(outputs[0], len(calls))
        except errors.InternalError as error:
            self.fail(calls, error)
            return
        rpc_calls: list[call_lib.Call] = [call.context for call in calls]
        if call_timing.is_wanted_by_any([call.metadata for call in rpc_calls]):
            for call, response in zip(calls, responses.messages(), strict=True):
                _reply_with_metadata(call, response, outputs, run)
        else:
            call_lib.reply_all(rpc_calls, responses)

    def fail(
        self,
        calls: Sequence[batched_function.Call],
        error: errors.ServingError,
    ) -> None:
        """See batched_function.Caller."""
        for call in calls:
            call.context.fail(error)


def _classification(
    bundle: session_bundle.SessionBundle[batching_session.BatchingSession],
) -> batched_function.BatchedFunction:
    """Returns the function from images to scores.

    Raises:
      FailedPreconditionError: The model has no classification signature with
        scores, or not one of images. Permanent.
    """
    classification = mnist_classifier.classification_signature(
        bundle.meta_graph_def
    )
    image = np.zeros([1, mnist_input_data.IMAGE_PIXELS], np.float32)
    try:
        function = bundle.session.function(
            [classification.scores.tensor_name],
            [classification.input.tensor_name],
        )
        function.to_arrays([image])
    except errors.InvalidArgumentError as error:
        raise errors.FailedPreconditionError(
            f"model must take images, float32 {list(image.shape)}; got one of "
            f"which it is said: {error}"
        ) from None
    return function


def _reply_with_metadata(
    call: batched_function.Call,
    response: bytes,
    outputs: Sequence[npt.NDArray[Any]],
    run: batched_function.Run,
) -> None:
    """Answers a call, with its timing if the caller asks for it."""
    if call_timing.is_wanted(call.context.metadata):
        call.context.reply(response, _trailing_metadata(call, outputs, run))
    else:
        call.context.reply(response)


def _trailing_metadata(
    call: batched_function.Call,
    outputs: Sequence[npt.NDArray[Any]],
    run: batched_function.Run,
) -> call_lib.Metadata:
    metadata = call_timing.trailing_metadata(call, run)
    if len(outputs) > 1:
        # All rows of a batch have the same version.
        metadata.append((_VERSION_KEY, str(int(outputs[1][0]))))
    return metadata
