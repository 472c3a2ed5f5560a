"""Keeps the newest versions of MNIST models loaded, while they come and go."""

import contextlib
import functools
from collections.abc import Iterator

from tensorflow_serving.example import mnist_classifier
from tensorflow_serving.servables.tensorflow import (
    session_bundle_factory,
    session_bundle_source_adapter,
)
from tensorflow_serving.session_bundle import session, session_bundle
from tensorflow_serving.sources.storage_path import (
    file_system_storage_path_source,
    storage_path_manager,
)


@contextlib.contextmanager
def serving(
    *servables: file_system_storage_path_source.ServableToMonitor,
    file_system_poll_wait_seconds: float,
    max_batch_size: int,
) -> Iterator[storage_path_manager.StoragePathManager]:
    """Yields a manager of MnistClassifiers; unloads them afterwards.

        with mnist_versions.serving(
            ServableToMonitor("default", "/tmp/monitored"),
            file_system_poll_wait_seconds=1,
            max_batch_size=64,
        ) as versions:
            if versions.wait_until_available(termination) is None:
                newest = NewestVersion(versions.manager, "default")

    Args:
      *servables: What to serve, and where its versions are.
      file_system_poll_wait_seconds: How often to look for versions; 0 for once.
      max_batch_size: The most images in a batch.

    Raises:
      NotFoundError: There is no version, and nobody would look for one later.
        Permanent.
      InvalidArgumentError: Two servables have one name. Permanent.
    """
    config = file_system_storage_path_source.Config(
        servables,
        file_system_poll_wait_seconds,
        fail_if_zero_versions_at_startup=not file_system_poll_wait_seconds,
    )
    with (
        session_bundle_factory.SessionBundleFactory.create(
            mnist_classifier.session_bundle_config()
        ) as factory,
        session_bundle_source_adapter.SessionBundleSourceAdapter(
            factory, functools.partial(_classifier, max_batch_size)
        ) as adapter,
        storage_path_manager.StoragePathManager(config, adapter) as versions,
    ):
        yield versions


def _classifier(
    max_batch_size: int, bundle: session_bundle.SessionBundle[session.Session]
) -> mnist_classifier.MnistClassifier:
    """Makes of a bundle what is served."""
    return mnist_classifier.MnistClassifier(
        bundle, max_batch_size=max_batch_size
    )
