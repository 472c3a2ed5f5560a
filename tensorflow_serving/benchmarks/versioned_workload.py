"""What a load asks a server whose versions change, and who gave an answer."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tensorflow_serving.benchmarks import calls, workload


class VersionedWorkload:
    """Implements call_driver.Questions: tells which version gave an answer.

    Each version answers in its own way, as its weights are its own. An answer
    of no version, or one that two versions might have given, is wrong.

    Not thread-safe while versions are added.
    """

    def __init__(self, images: npt.NDArray[Any]) -> None:
        """Takes what is asked: float32 [images, 784]."""
        self.images = images
        self.requests = workload.requests(images)
        self._versions: list[int] = []
        self._scores: list[npt.NDArray[Any]] = []

    def add(self, version: int, scores: npt.NDArray[Any]) -> None:
        """Takes the right answers of a version: float32 [images, 10]."""
        self._versions.append(version)
        self._scores.append(scores)

    def versions_of(
        self, images: Sequence[int], answers: Sequence[bytes]
    ) -> npt.NDArray[Any]:
        """See Questions."""
        scores = np.array(self._scores, np.float32)
        # Most answers are equal to others to the last bit.
        known: dict[tuple[int, bytes], int] = {}
        versions = np.empty(len(answers), np.int64)
        for index, key in enumerate(zip(images, answers, strict=True)):
            version = known.get(key)
            if version is None:
                version = known[key] = self._version_of(scores, *key)
            versions[index] = version
        return versions

    def _version_of(
        self, scores: npt.NDArray[Any], image: int, answer: bytes
    ) -> int:
        if not self._versions:
            return calls.NO_VERSION
        found = workload.parse_answers([answer])
        (matches,) = np.nonzero(workload.are_close(found, scores[:, image]))
        if len(matches) != 1:
            return calls.NO_VERSION
        return self._versions[int(matches[0])]
