"""MnistService: one image in, ten probabilities out."""

import numpy as np

from tensorflow_serving.example import mnist_inference_pb2, mnist_input_data
from tensorflow_serving.rpc import server
from tensorflow_serving.session_bundle import (
    manifest_pb2,
    session,
    session_bundle,
    signature,
)
from tensorflow_serving.util import errors


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

    def service(self) -> server.Service:
        """Returns the service for a server."""
        return server.Service(
            mnist_inference_pb2.DESCRIPTOR.services_by_name["MnistService"],
            {"Classify": self.classify},
        )

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
        num_pixels = len(request.image_data)
        if num_pixels != mnist_input_data.IMAGE_PIXELS:
            raise errors.InvalidArgumentError(
                f"image_data must have {mnist_input_data.IMAGE_PIXELS} values; "
                f"got {num_pixels}"
            )
        if isinstance(self._signature, errors.ServingError):
            raise type(self._signature)(str(self._signature))
        image = np.array(request.image_data, np.float32, ndmin=2)
        scores = signature.run_classification(
            self._signature, image, self._session, scores=True
        ).scores
        assert scores is not None
        if scores.shape != (1, mnist_input_data.NUM_CLASSES):
            raise errors.InternalError(
                "scores of the model must have shape "
                f"{[1, mnist_input_data.NUM_CLASSES]}; got {list(scores.shape)}"
            )
        return mnist_inference_pb2.MnistResponse(value=scores[0])
