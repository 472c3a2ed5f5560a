"""The shortest way from a folder of versions to a manager."""

import contextlib
from collections.abc import Iterator

from tensorflow_serving.core import (
    aspired_version_policy,
    aspired_versions_manager,
    manager,
    servable,
    source,
)
from tensorflow_serving.servables.tensorflow import (
    session_bundle_config_pb2,
    session_bundle_factory,
    session_bundle_source_adapter,
)
from tensorflow_serving.sources.storage_path import (
    file_system_storage_path_source,
)
from tensorflow_serving.util import event_bus as event_bus_lib

# The name of the servable.
SERVABLE_NAME = "default"


@contextlib.contextmanager
def create_single_tf_model_manager_from_base_path(
    base_path: str,
    *,
    event_bus: event_bus_lib.EventBus[servable.ServableState] | None = None,
) -> Iterator[manager.Manager]:
    """Serves the newest export below a folder, for tests and small programs.

        with create_single_tf_model_manager_from_base_path(path) as manager:
            request = ServableRequest.latest("default")
            with manager.get_servable_handle(request, SessionBundle) as handle:
                handle.servable.session.run(...)

    The folder is looked at every second. A new version is loaded before the old
    one is unloaded, so that one is always there; the original unloaded first.
    If the newest one cannot be loaded, the one before is served. Calls are not
    batched.

    It does not wait for the first version to be loaded.

    Args:
      base_path: Has a folder for each version.
      event_bus: Gets each change of a version; a ServableStateMonitor on it
        can wait for one.

    Raises:
      InvalidArgumentError: The path is not one of a folder of versions; see
        ServableToMonitor.
    """
    bus = event_bus or event_bus_lib.EventBus[servable.ServableState]()
    config = file_system_storage_path_source.Config(
        (
            file_system_storage_path_source.ServableToMonitor(
                SERVABLE_NAME, base_path
            ),
        ),
        file_system_poll_wait_seconds=1.0,
    )
    with (
        session_bundle_factory.SessionBundleFactory.create(
            session_bundle_config_pb2.SessionBundleConfig()
        ) as factory,
        aspired_versions_manager.AspiredVersionsManager(
            aspired_versions_manager.Options(
                policy=aspired_version_policy.availability_preserving_policy
            ),
            event_bus=bus,
        ) as served,
        session_bundle_source_adapter.SessionBundleSourceAdapter(
            factory
        ) as adapter,
        file_system_storage_path_source.FileSystemStoragePathSource(
            config, event_bus=bus
        ) as paths,
    ):
        source.connect_source_to_target(adapter, served)
        source.connect_source_to_target(paths, adapter)
        yield served
