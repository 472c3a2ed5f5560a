"""Keeps the newest versions of MNIST models loaded, while they come and go."""

import contextlib
import functools
import time
from collections.abc import Iterator, Sequence
from typing import cast

from absl import logging

from tensorflow_serving.core import (
    aspired_version_policy,
    aspired_versions_manager,
    manager,
    servable,
    servable_state_monitor,
    source,
)
from tensorflow_serving.example import mnist_classifier
from tensorflow_serving.servables.tensorflow import (
    session_bundle_factory,
    session_bundle_source_adapter,
)
from tensorflow_serving.session_bundle import session, session_bundle
from tensorflow_serving.sources.storage_path import (
    file_system_storage_path_source,
)
from tensorflow_serving.util import event_bus, signals

# How often it is said that there is no version yet.
_SECONDS_BETWEEN_LINES = 10.0


_AVAILABLE = servable.ManagerState.AVAILABLE

_Servables = tuple[file_system_storage_path_source.ServableToMonitor, ...]
_StateAndTime = event_bus.EventAndTime[servable.ServableState]


class MnistVersions:
    """From folders of versions to a manager of MnistClassifiers.

        with MnistVersions(
            (ServableToMonitor("default", "/tmp/monitored"),),
            file_system_poll_wait_seconds=1,
            max_batch_size=64,
        ) as versions:
            if versions.wait_until_available(termination) is None:
                newest = NewestVersion(versions.manager, "default")

    A file system source finds versions, an adapter makes loaders of them, and
    an availability preserving manager loads the new one before it unloads the
    old one. A version that cannot be loaded, or does not fit, takes no other
    one's place.

    A context manager that closes itself. Thread-safe.
    """

    def __init__(
        self,
        servables: _Servables,
        *,
        file_system_poll_wait_seconds: float,
        max_batch_size: int,
    ) -> None:
        """Starts to look for versions and to load them.

        Args:
          servables: What to serve, and where its versions are.
          file_system_poll_wait_seconds: How often to look for versions; 0 for
            once.
          max_batch_size: The most images in a batch.

        Raises:
          NotFoundError: There is no version, and nobody would look for one
            later. Permanent.
          InvalidArgumentError: Two servables have one name. Permanent.
        """
        self._servables = servables
        self._event_bus = event_bus.EventBus[servable.ServableState]()
        config = file_system_storage_path_source.Config(
            servables,
            file_system_poll_wait_seconds,
            fail_if_zero_versions_at_startup=not file_system_poll_wait_seconds,
        )
        # Closed from the last one to the first.
        with contextlib.ExitStack() as stack:
            factory = stack.enter_context(
                session_bundle_factory.SessionBundleFactory.create(
                    mnist_classifier.session_bundle_config()
                )
            )
            self._monitor = stack.enter_context(
                servable_state_monitor.ServableStateMonitor(self._event_bus)
            )
            self._manager = aspired_versions_manager.AspiredVersionsManager(
                aspired_versions_manager.Options(
                    aspired_version_policy.availability_preserving_policy
                ),
                event_bus=self._event_bus,
            )
            stack.enter_context(self._manager)
            self._connect(stack, config, factory, max_batch_size=max_batch_size)
            self._stack = stack.pop_all()

    @property
    def manager(self) -> manager.Manager:
        """Gives handles on MnistClassifiers."""
        return self._manager

    @property
    def monitor(self) -> servable_state_monitor.ServableStateMonitor:
        """Knows what became of each version."""
        return self._monitor

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
            if state_and_time.event.manager_state is _AVAILABLE:
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

    @property
    def is_loading(self) -> bool:
        """Whether a version is being loaded, which close() would wait for."""
        return any(
            state.manager_state is servable.ManagerState.LOADING
            for versions in self._monitor.live_states().values()
            for state in versions.values()
        )

    def close(self) -> None:
        """Unloads everything; waits for open handles and loads. Idempotent."""
        self._stack.close()

    def __enter__(self) -> "MnistVersions":
        """Returns itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Closes itself."""
        self.close()

    def _connect(
        self,
        stack: contextlib.ExitStack,
        config: file_system_storage_path_source.Config,
        factory: session_bundle_factory.SessionBundleFactory,
        *,
        max_batch_size: int,
    ) -> None:
        """Connects source and adapter with the manager."""
        adapter = stack.enter_context(
            session_bundle_source_adapter.SessionBundleSourceAdapter(
                factory, functools.partial(_classifier, max_batch_size)
            )
        )
        paths = stack.enter_context(
            file_system_storage_path_source.FileSystemStoragePathSource(
                config, event_bus=self._event_bus
            )
        )
        source.connect_source_to_target(adapter, self._manager)
        source.connect_source_to_target(paths, adapter)

    def _missing(
        self,
    ) -> Iterator[file_system_storage_path_source.ServableToMonitor]:
        """Yields the servables that have no version to serve."""
        available = self._manager.list_available_servable_ids()
        names = {servable_id.name for servable_id in available}
        for each in self._servables:
            if each.servable_name not in names:
                yield each

    def _log_missing(
        self,
        missing: Sequence[file_system_storage_path_source.ServableToMonitor],
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


def _classifier(
    max_batch_size: int, bundle: session_bundle.SessionBundle[session.Session]
) -> mnist_classifier.MnistClassifier:
    """Makes of a bundle what is served."""
    return mnist_classifier.MnistClassifier(
        cast(session_bundle.SessionBundle[mnist_classifier.Session], bundle),
        max_batch_size=max_batch_size,
    )
