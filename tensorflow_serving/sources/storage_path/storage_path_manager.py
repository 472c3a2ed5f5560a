"""From folders of versions to a manager: source, adapter, manager, monitor.

    file system source -> adapter -> aspired versions manager -> handles
                      <- event bus -> state monitor

Example:
    with StoragePathManager(config, adapter) as versions:
        if versions.wait_until_available(termination) is None:
            request = servable.ServableRequest.latest("default")
            with versions.manager.get_servable_handle(request, Table) as handle:
                handle.servable.lookup("key")
"""

import contextlib
import time
from collections.abc import Iterator, Sequence

from absl import logging

from tensorflow_serving.core import (
    aspired_version_policy,
    aspired_versions_manager,
    loader,
    manager,
    servable,
    servable_state_monitor,
    source,
    source_adapter,
)
from tensorflow_serving.resources import resource_tracker as tracker_lib
from tensorflow_serving.sources.storage_path import (
    file_system_storage_path_source,
    storage_path_config,
)
from tensorflow_serving.util import event_bus as event_bus_lib
from tensorflow_serving.util import signals

# Interval between lines that say that there is no version yet.
_SECONDS_BETWEEN_LINES = 10.0

_DEFAULTS = aspired_versions_manager.Options(
    aspired_version_policy.availability_preserving_policy
)

_StateAndTime = event_bus_lib.EventAndTime[servable.ServableState]


class StoragePathManager:
    """Keeps servables loaded as the versions below their base paths change.

    With the default options a new version is loaded before the old one is
    unloaded, and one that cannot be loaded takes no other one's place.

    A context manager that closes itself. Thread-safe.
    """

    def __init__(
        self,
        config: storage_path_config.Config,
        adapter: source_adapter.SourceAdapter[str, loader.Loader],
        options: aspired_versions_manager.Options = _DEFAULTS,
        *,
        event_bus: event_bus_lib.EventBus[servable.ServableState] | None = None,
        resource_tracker: tracker_lib.ResourceTracker | None = None,
    ) -> None:
        """Starts to look for versions and to load them.

        Args:
          config: What to serve, where its versions are, how often to look.
          adapter: Makes loaders of the paths of versions; closed by the caller,
            after this object. It has no target yet.
          options: See AspiredVersionsManager.
          event_bus: Publishes changes of versions; None for a bus that only
            this object knows.
          resource_tracker: See AspiredVersionsManager.

        Raises:
          NotFoundError: There is no version of a servable, and the
            configuration wants one at the start. Permanent.
        """
        self._config = config
        self._event_bus = (
            event_bus_lib.EventBus[servable.ServableState]()
            if event_bus is None
            else event_bus
        )
        # Closed from the last one to the first.
        with contextlib.ExitStack() as stack:
            self._monitor = stack.enter_context(
                servable_state_monitor.ServableStateMonitor(self._event_bus)
            )
            self._manager = aspired_versions_manager.AspiredVersionsManager(
                options,
                event_bus=self._event_bus,
                resource_tracker=resource_tracker,
            )
            stack.enter_context(self._manager)
            self._source = stack.enter_context(
                file_system_storage_path_source.FileSystemStoragePathSource(
                    config, event_bus=self._event_bus
                )
            )
            source.connect_source_to_target(adapter, self._manager)
            source.connect_source_to_target(self._source, adapter)
            self._stack = stack.pop_all()

    @property
    def manager(self) -> manager.Manager:
        """Gives handles on the servables that the adapter's loaders make."""
        return self._manager

    @property
    def monitor(self) -> servable_state_monitor.ServableStateMonitor:
        """Knows what became of each version."""
        return self._monitor

    @property
    def is_loading(self) -> bool:
        """Whether a version is being loaded, which close() would wait for."""
        return any(
            state.manager_state is servable.ManagerState.LOADING
            for versions in self._monitor.live_states().values()
            for state in versions.values()
        )

    def update_config(self, config: storage_path_config.Config) -> None:
        """Keeps other servables loaded from now on; see the source.

        Raises:
          InvalidArgumentError: The period is another one. Permanent.
        """
        self._source.update_config(config)
        self._config = config

    def wait_until_available(
        self, termination: signals.Termination
    ) -> str | None:
        """Waits until each servable has a version that is available.

        Says at once and then every ten seconds what it waits for, and what is
        known of the versions that there are.

        Returns:
          None; or the name of a signal that came before that.
        """

        def wake(state_and_time: _StateAndTime) -> None:
            if state_and_time.event.is_available:
                termination.wake()

        log_time = time.monotonic()
        with self._event_bus.subscribe(wake):
            while missing := list(self._missing()):
                if time.monotonic() >= log_time:
                    log_time += _SECONDS_BETWEEN_LINES
                    self._log_missing(missing)
                name = termination.wait_or_woken(log_time - time.monotonic())
                if name is not None:
                    return name
        return None

    def close(self) -> None:
        """Unloads everything; waits for open handles and loads. Idempotent."""
        self._stack.close()

    def __enter__(self) -> "StoragePathManager":
        """Returns itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Closes itself."""
        self.close()

    def _missing(self) -> Iterator[storage_path_config.ServableToMonitor]:
        """Yields the servables that have no version to serve."""
        available = self._manager.list_available_servable_ids()
        names = {servable_id.name for servable_id in available}
        for each in self._config.servables:
            if each.servable_name not in names:
                yield each

    def _log_missing(
        self, missing: Sequence[storage_path_config.ServableToMonitor]
    ) -> None:
        for each in missing:
            states = self._monitor.version_states(each.servable_name)
            logging.info(
                "Waiting for a version of %s in %s, a folder such as 00000001; "
                "known so far: %s",
                each.servable_name,
                each.base_path,
                "; ".join(map(str, states.values())) or "none",
            )
