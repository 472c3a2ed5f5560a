"""Classifies images with the version that is newest when they run."""

import functools
from typing import Any

import numpy as np
import numpy.typing as npt

from tensorflow_serving.core import manager as manager_lib
from tensorflow_serving.core import servable, servable_handle
from tensorflow_serving.example import mnist_classifier
from tensorflow_serving.util import errors


class NewestVersion:
    """The versions of one servable, of which the newest classifies images.

    For each batch it takes a handle on the newest version that is available,
    and lets go of it when the batch is done: a version that is to be unloaded
    is held up by no more than that.

    Thread-safe.
    """

    def __init__(self, manager: manager_lib.Manager, name: str) -> None:
        """Takes a manager, which the caller closes.

        Args:
          manager: Its servables with this name are MnistClassifiers.
          name: Which servable.
        """
        self._manager = manager
        self._request = servable.ServableRequest.latest(name)

    def classify(self, images: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
        """Returns how likely each digit is, and which version says so.

        Args:
          images: float32 [batch, 784], which is not checked.

        Returns:
          scores: float32 [batch, 10].
          version: int64 [batch], the same in each row.

        Raises:
          UnavailableError: No version is available. Transient.
          ServingError: What MnistClassifier.classify() raised.
        """
        with self._handle() as handle:
            return [
                handle.servable.classify(images),
                _repeated(handle.id.version, len(images)),
            ]

    def _handle(
        self,
    ) -> servable_handle.ServableHandle[mnist_classifier.MnistClassifier]:
        try:
            return self._manager.get_servable_handle(
                self._request, mnist_classifier.MnistClassifier
            )
        except errors.NotFoundError:
            # It is for the caller to try again, not to look elsewhere.
            raise errors.UnavailableError(
                f"no version of {self._request.name} is available; try again "
                "later"
            ) from None


@functools.lru_cache(maxsize=256)
def _repeated(version: int, num_rows: int) -> npt.NDArray[Any]:
    """Returns an array that is the same for many batches; int64 [num_rows]."""
    array = np.full(num_rows, version, np.int64)
    array.flags.writeable = False
    return array
