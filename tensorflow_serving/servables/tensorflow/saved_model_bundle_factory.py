"""Makes session bundles of SavedModels, batched or not.

Example:
    config = session_bundle_config_pb2.SessionBundleConfig()
    with SavedModelBundleFactory.create(config) as factory:
        with factory.create_session_bundle("/models/half_plus_two/1") as bundle:
            signatures = bundle.meta_graph_def.signature_def
"""

import os
from collections.abc import Sequence

from typing_extensions import Self, override

from tensorflow_serving.servables.tensorflow import (
    saved_model,
    session_bundle_config_pb2,
    session_bundle_factory,
)
from tensorflow_serving.session_bundle import session_bundle
from tensorflow_serving.sources.storage_path import version_folder
from tensorflow_serving.tensorflow_c import session

# As today's TensorFlow Serving estimates.
_RAM_MULTIPLIER = 1.2


class SavedModelBundleFactory(session_bundle_factory.SessionBundleFactory):
    """A SessionBundleFactory that loads SavedModels, of TensorFlow 1 or 2.

    For what it may raise, see load_saved_model_from_path.

    Thread-safe.
    """

    @classmethod
    @override
    def create(
        cls,
        config: session_bundle_config_pb2.SessionBundleConfig,
        tags: Sequence[str] = ("serve",),
    ) -> Self:
        """Returns a factory, which the caller must close.

        Args:
          config: How it opens sessions.
          tags: All tags of the graph to load.

        Raises:
          InvalidArgumentError: See SessionBundleFactory.create().
        """
        return cls(config, tags)

    def __init__(
        self,
        config: session_bundle_config_pb2.SessionBundleConfig,
        tags: Sequence[str] = ("serve",),
    ) -> None:
        """See create()."""
        super().__init__(config)
        self._tags = tuple(tags)

    @override
    def estimate_resource_requirement(
        self, path: str | os.PathLike[str]
    ) -> int:
        """Returns how much memory a model will take when loaded, in bytes.

        1.2 times the size of all files below its folder, links followed, and
        13 times that of the graph: what its constants take while TensorFlow
        optimizes them. Afterwards they take half of it.

        Raises:
          NotFoundError: There is no such folder. Permanent.
          UnavailableError: The storage failed. Transient.
        """
        sizes = {
            name: state.size_bytes
            for name, state in version_folder.scan(os.fspath(path)).items()
        }
        graph_bytes = sum(
            sizes.pop(name, 0) for name in saved_model.GRAPH_FILENAMES
        )
        return int(
            sum(sizes.values()) * _RAM_MULTIPLIER
            + graph_bytes * session_bundle_factory.GRAPH_RAM_MULTIPLIER
        )

    @override
    def _load(
        self, path: str | os.PathLike[str]
    ) -> session_bundle.SessionBundle[session.Session]:
        return saved_model.load_saved_model_from_path(
            path,
            self._tags,
            self._config.session_target,
            self._config.session_config,
        )
