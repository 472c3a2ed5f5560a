"""Versions of a softmax, each with answers of its own, ready to be served."""

import os
import shutil

from tensorflow_serving.benchmarks import (
    models,
    reference_model,
    versioned_workload,
    workload,
)
from tensorflow_serving.util import progress

# Enough that the calls of a batch are different ones.
_NUM_IMAGES = 20


class VersionSupply:
    """Exports versions to a folder, from which they are taken when needed.

    Not thread-safe.
    """

    def __init__(self, folder: str, seed: int) -> None:
        """Starts without versions.

        Args:
          folder: Where they wait; on the disk that they will be served from.
          seed: Decides the weights of all versions.
        """
        self._folder = folder
        self._seed = seed
        # Knows the answers of each version that was exported.
        self.workload = versioned_workload.VersionedWorkload(
            workload.random_images(_NUM_IMAGES, seed)
        )

    def export(self, first: int, last: int) -> None:
        """Exports the versions from first to last; shows how far it is."""
        bar = progress.bar("exporting", last - first + 1, "versions")
        try:
            for version in range(first, last + 1):
                self._export(version)
                bar.update()
        finally:
            bar.close()

    def path(self, version: int) -> str:
        """Returns the folder of a version that was exported."""
        return os.path.join(self._folder, f"{version:08d}")

    def duplicate(self, version: int, copy: int) -> str:
        """Returns the folder of another version with the same content.

        The files are the same ones under another name, which takes no room.
        """
        path = self.path(copy)
        shutil.copytree(self.path(version), path, copy_function=os.link)
        return path

    def _export(self, version: int) -> None:
        path = models.export(
            "softmax", self._folder, self._seed + version, version=version
        )
        with reference_model.ReferenceModel(path) as reference:
            self.workload.add(version, reference.scores(self.workload.images))
