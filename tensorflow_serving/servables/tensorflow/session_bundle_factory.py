"""Makes session bundles that serve, batched or not, from one configuration.

Example:
    config = session_bundle_config_pb2.SessionBundleConfig()
    config.batching_parameters.max_batch_size.value = 64
    with SessionBundleFactory.create(config) as factory:
        with factory.create_session_bundle("/models/mnist/1") as bundle:
            bundle.session.run(["y:0"], {"x:0": images})
"""

import os
import re

from typing_extensions import Self

from tensorflow_serving.servables.tensorflow import (
    batch_threads,
    session_bundle_config_pb2,
)
from tensorflow_serving.session_bundle import constants, session_bundle
from tensorflow_serving.session_bundle import session as session_lib
from tensorflow_serving.tensorflow_c import op_libraries
from tensorflow_serving.util import errors, storage_errors

# As the original estimates: a loaded model takes more memory than its file.
_RAM_MULTIPLIER = 1.5
_RAM_PAD_BYTES = 10 << 20
# The most bytes of memory that a byte of a graph takes while its constants are
# optimized: measured with 300 MB of constants and TensorFlow 2.21.
GRAPH_RAM_MULTIPLIER = 13

_COUNTED_FILENAME = re.compile(
    r"export|export\.meta|export(-|\.data-)\d+-of-\d+"
)


class SessionBundleFactory:
    """Loads exports; their sessions batch iff the configuration says so.

    All batching sessions of a factory share its batch threads, which end when
    the factory and the last of its bundles are closed.

    Thread-safe.
    """

    @classmethod
    def create(
        cls, config: session_bundle_config_pb2.SessionBundleConfig
    ) -> Self:
        """Returns a factory, which the caller must close.

        Raises:
          InvalidArgumentError: A batching parameter is out of range, or the
            last of the allowed batch sizes is not the maximum. Permanent.
          NotFoundError: An op library is missing, or does not fit this
            TensorFlow. Permanent.
        """
        return cls(config)

    def __init__(
        self, config: session_bundle_config_pb2.SessionBundleConfig
    ) -> None:
        """See create()."""
        self._config = session_bundle_config_pb2.SessionBundleConfig()
        self._config.CopyFrom(config)
        for path in config.op_libraries:
            op_libraries.load(path)
        self._batching: batch_threads.BatchThreads | None = None
        if config.HasField("batching_parameters"):
            self._batching = batch_threads.BatchThreads(
                batch_threads.Options().updated(config.batching_parameters)
            )
        self._closed = False

    def create_session_bundle(
        self, path: str | os.PathLike[str]
    ) -> session_bundle.SessionBundle[session_lib.Session]:
        """Loads an export.

        The session of the bundle raises only errors of util/errors.py; see
        BatchingSession and the session of tensorflow_c.

        Raises:
          FailedPreconditionError: The factory is closed; or see
            load_session_bundle_from_path.
          NotFoundError, DataLossError, UnavailableError: See
            load_session_bundle_from_path.
        """
        if self._closed:
            raise errors.FailedPreconditionError("The factory is closed.")
        bundle = self._load(path)
        if not self._batching:
            return bundle
        try:
            session = self._batching.session(bundle.session)
        except errors.ServingError:
            # The factory was closed in the meantime.
            bundle.close()
            raise
        return session_bundle.SessionBundle(
            session, bundle.meta_graph_def, bundle.path, bundle.graph
        )

    def estimate_resource_requirement(
        self, path: str | os.PathLike[str]
    ) -> int:
        """Returns how much memory an export will take when loaded, in bytes.

        1.5 times the size of its variables files, 13 times that of its graph,
        and 10 MiB.

        Raises:
          NotFoundError: There is no such folder. Permanent.
          UnavailableError: The storage failed. Transient.
        """
        try:
            with os.scandir(path) as children:
                sizes = {
                    child.name: child.stat().st_size
                    for child in children
                    if _COUNTED_FILENAME.fullmatch(child.name)
                }
        except (FileNotFoundError, NotADirectoryError) as error:
            raise errors.NotFoundError(
                f"Export must be a readable folder; got {error}"
            ) from None
        except OSError as error:
            raise storage_errors.unreadable(error) from None
        graph_bytes = sizes.pop(constants.META_GRAPH_DEF_FILENAME, 0)
        return (
            int(sum(sizes.values()) * _RAM_MULTIPLIER)
            + graph_bytes * GRAPH_RAM_MULTIPLIER
            + _RAM_PAD_BYTES
        )

    def close(self) -> None:
        """Makes no more bundles; those that are open go on. Idempotent."""
        self._closed = True
        if self._batching:
            self._batching.close()

    def __enter__(self) -> Self:
        """Returns itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Closes the factory."""
        self.close()

    def _load(
        self, path: str | os.PathLike[str]
    ) -> session_bundle.SessionBundle[session_lib.Session]:
        """Loads what is in a folder; for other formats to override."""
        return session_bundle.load_session_bundle_from_path(
            path, self._config.session_target, self._config.session_config
        )
