"""The servable of a version of the MNIST model."""

from typing import Any

import numpy as np
import numpy.typing as npt

from tensorflow_serving.example import mnist_image
from tensorflow_serving.servables.tensorflow import session_bundle_config_pb2
from tensorflow_serving.session_bundle import (
    manifest_pb2,
    session,
    session_bundle,
    signature,
)
from tensorflow_serving.tensorflow_c.protos import meta_graph_pb2
from tensorflow_serving.util import errors, tensor_spec

_NO_SCORES = np.zeros([0, mnist_image.NUM_CLASSES], np.float32)


class MnistClassifier:
    """Returns how likely each digit is on each of some images.

    Made of a loaded export, which is checked and warmed up first: a model that
    does not take images, does not return scores, or cannot run is found out
    before it is served, and the first call takes no longer than others.

    A model whose graph says that it takes one image at a time gets them one
    after the other.

    A context manager that closes itself. Thread-safe.
    """

    def __init__(
        self,
        bundle: session_bundle.SessionBundle[session.Session],
        *,
        max_batch_size: int,
    ) -> None:
        """Takes over the bundle, to close it; on an error it is the caller's.

        Args:
          bundle: Made by a session_bundle_factory that does not batch.
          max_batch_size: The most images in a call of classify(), for which the
            model is warmed up.

        Raises:
          FailedPreconditionError: The model has no classification signature
            with scores, or not one from images, float32 [?, 784] or [1, 784],
            to scores, floats [?, 10]; or it fails on images of zeros, and it is
            its own fault. Permanent.
          ServingError: What the session raised for images of zeros, if that is
            nobody's fault.
        """
        classification = classification_signature(bundle.meta_graph_def)
        self._bundle = bundle
        try:
            images = bundle.session.tensor_spec(
                classification.input.tensor_name
            )
            scores = bundle.session.tensor_spec(
                classification.scores.tensor_name
            )
            self._run = bundle.session.make_callable(
                [scores.name], [images.name]
            )
        except errors.InvalidArgumentError as error:
            raise errors.FailedPreconditionError(
                "tensors of the classification signature must be in the "
                f"graph; got an incompatible model: {error}"
            ) from None
        _require_scores(scores.dtype, scores.shape, None)
        self._takes_one = bool(images.shape and images.shape[0] == 1)
        sizes = {1} if self._takes_one else {1, max_batch_size}
        for size in sorted(sizes):
            self._warm_up(images, size)

    def classify(self, images: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Returns how likely each digit is on each image.

        Args:
          images: float32 [batch, 784], which is not checked.

        Returns:
          scores: float32 [batch, 10].

        Raises:
          ServingError: What the session raised.
        """
        if self._takes_one and len(images) != 1:
            rows = [self.classify(images[[row]]) for row in range(len(images))]
            return np.concatenate([_NO_SCORES, *rows])
        (scores,) = self._run(images)
        return scores.astype(np.float32, copy=False)

    def close(self) -> None:
        """Closes the bundle. Idempotent."""
        self._bundle.close()

    def __enter__(self) -> "MnistClassifier":
        """Returns itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Closes the classifier."""
        self.close()

    def _warm_up(self, spec: tensor_spec.TensorSpec, size: int) -> None:
        """Runs a batch of that size, and checks what comes out."""
        zeros = np.zeros([size, mnist_image.NUM_PIXELS], np.float32)
        try:
            images = spec.to_array(zeros)
        except errors.InvalidArgumentError as error:
            raise errors.FailedPreconditionError(
                f"model must take images, float32 {list(zeros.shape)}; got an "
                f"incompatible model: {error}"
            ) from None
        try:
            (scores,) = self._run(images)
        except errors.InvalidArgumentError as error:
            raise errors.FailedPreconditionError(
                "model must give scores for images of zeros without any other "
                "input (a placeholder that nobody feeds needs a default, as "
                f"that of placeholder_with_default); got {error}"
            ) from None
        _require_scores(scores.dtype, scores.shape, size)


def session_bundle_config() -> session_bundle_config_pb2.SessionBundleConfig:
    """Returns how to load the model, for a factory; without batching."""
    config = session_bundle_config_pb2.SessionBundleConfig()
    # A thread hand-over for each operation takes longer than a small model. A
    # graph that this executor does not run gets another one.
    config.session_config.experimental.executor_type = (
        "SINGLE_THREADED_EXECUTOR"
    )
    # Each batch has a thread. The pool that operations would spread over is one
    # for the process: a small batch waits for its threads longer than it runs,
    # and while a large model warms up on it, for tens of milliseconds.
    config.session_config.intra_op_parallelism_threads = 1
    return config


def classification_signature(
    meta_graph_def: meta_graph_pb2.MetaGraphDef,
) -> manifest_pb2.ClassificationSignature:
    """Returns the default signature of an export.

    Raises:
      FailedPreconditionError: It is no classification with scores. Permanent.
    """
    found = signature.get_classification_signature(meta_graph_def)
    if not found.scores.tensor_name:
        raise errors.FailedPreconditionError(
            "Expected a classification signature with scores; got one without"
        )
    return found


def _require_scores(
    dtype: np.dtype[Any],
    shape: tuple[int | None, ...] | None,
    num_images: int | None,
) -> None:
    """Checks scores, of which dimensions that are None are not known."""
    expected = (num_images, mnist_image.NUM_CLASSES)
    fits = shape is None or (
        len(shape) == len(expected)
        and all(
            None in (size, wanted) or size == wanted
            for size, wanted in zip(shape, expected, strict=True)
        )
    )
    if dtype.kind != "f" or not fits:
        raise errors.FailedPreconditionError(
            f"model must return scores, floats {_shape_text(expected)}; got "
            f"{dtype} {_shape_text(shape)}"
        )


def _shape_text(shape: tuple[int | None, ...] | None) -> str:
    return "of any shape" if shape is None else tensor_spec.shape_text(shape)
