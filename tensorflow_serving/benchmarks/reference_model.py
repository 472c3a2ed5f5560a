"""An export run in this process: right answers, and the limit of any server."""

import time
from typing import Any

import numpy.typing as npt

from tensorflow_serving.benchmarks import workload
from tensorflow_serving.session_bundle import session_bundle, signature

_NUM_IMAGES = 100
_BATCH_SIZES = tuple(2**exponent for exponent in range(9))


class ReferenceModel:
    """The session of an export, without a server around it.

    A context manager that closes the session. Not thread-safe.
    """

    def __init__(self, version_dir: str) -> None:
        """Loads the export in a folder; see load_session_bundle_from_path."""
        self._bundle = session_bundle.load_session_bundle_from_path(version_dir)
        self._signature = signature.get_classification_signature(
            self._bundle.meta_graph_def
        )

    def scores(self, images: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Returns scores, float32 [batch, 10], of images [batch, 784]."""
        scores: npt.NDArray[Any] = self._bundle.session.run(
            self._signature.scores.tensor_name,
            {self._signature.input.tensor_name: images},
        )
        return scores

    def workload(self) -> workload.Workload:
        """Returns a hundred images of noise, and the scores of this model."""
        images = workload.random_images(_NUM_IMAGES, seed=0)
        return workload.Workload(images, self.scores(images))

    def images_per_second(self, seconds: float) -> dict[int, float]:
        """Returns the throughput of session.run, by batch size: 1, 2, ... 256.

        Args:
          seconds: How long to run each batch size.
        """
        return {
            size: self._throughput(workload.random_images(size, 0), seconds)
            for size in _BATCH_SIZES
        }

    def _throughput(self, images: npt.NDArray[Any], seconds: float) -> float:
        self.scores(images)  # TensorFlow prepares itself for the shape
        num_runs = 0
        start = now = time.monotonic()
        while now - start < seconds:
            self.scores(images)
            num_runs += 1
            now = time.monotonic()
        return num_runs * len(images) / (now - start)

    def __enter__(self) -> "ReferenceModel":
        """Returns itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Closes the session."""
        self._bundle.close()
