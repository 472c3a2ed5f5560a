"""A manager that loads a version when it is asked for the first time."""

import concurrent.futures
import contextlib
import functools
import threading
from typing import Protocol

from typing_extensions import override

from tensorflow_serving.core import (
    basic_manager,
    manager,
    servable,
    servable_handle,
)
from tensorflow_serving.core import loader as loader_lib
from tensorflow_serving.resources import resource_tracker as tracker_lib
from tensorflow_serving.util import bugs, errors, event_bus
from tensorflow_serving.util import clock as clock_lib

_DEFAULT_OPTIONS = basic_manager.Options()

# Ends when a load does, with its error.
_Load = concurrent.futures.Future[errors.ServingError | None]


class LoaderFactory(Protocol):
    """Knows every servable that can be asked for. Thread-safe."""

    def create_loader(
        self, servable_id: servable.ServableId
    ) -> loader_lib.Loader:
        """Returns a new loader for a version.

        Raises:
          ServingError: There is no such version.
        """

    def latest_version(self, name: str) -> int:
        """Returns the version for requests that name none.

        Raises:
          ServingError: There is no such servable.
        """


class CachingManager(manager.Manager):
    """Loads on demand, and keeps what it has loaded until it is closed.

        with CachingManager(factory) as manager:
            with manager.get_servable_handle(request, Classifier) as handle:
                handle.servable.classify(images)

    Unlike with other managers a request blocks while its version is loaded, and
    while a load that failed for the moment is tried again; see Options.
    Requests that come meanwhile for the same version wait for that load and
    share its error. Afterwards the version is forgotten if it failed, and the
    next request loads it anew.

    Thread-safe.
    """

    def __init__(
        self,
        loader_factory: LoaderFactory,
        options: basic_manager.Options = _DEFAULT_OPTIONS,
        *,
        event_bus: event_bus.EventBus[servable.ServableState] | None = None,
        resource_tracker: tracker_lib.ResourceTracker | None = None,
        clock: clock_lib.Clock = clock_lib.MONOTONIC,
        load_executor: concurrent.futures.Executor | None = None,
        unload_executor: concurrent.futures.Executor | None = None,
    ) -> None:
        """Starts without servables; see BasicManager for the other arguments.

        Args:
          loader_factory: Called on the threads of requests.
          options: How to load.
          event_bus: See BasicManager.
          resource_tracker: See BasicManager.
          clock: See BasicManager.
          load_executor: See BasicManager.
          unload_executor: See BasicManager.
        """
        self._loader_factory = loader_factory
        self._manager = basic_manager.BasicManager(
            options,
            event_bus=event_bus,
            resource_tracker=resource_tracker,
            clock=clock,
            load_executor=load_executor,
            unload_executor=unload_executor,
        )
        super().__init__(self._manager.serving_map)
        self._lock = threading.Lock()
        # Those that have not ended yet; guarded by _lock.
        self._loads: dict[servable.ServableId, _Load] = {}

    @property
    def num_loads_in_progress(self) -> int:
        """How many versions are being loaded now."""
        with self._lock:
            return len(self._loads)

    @override
    def get_untyped_servable_handle(
        self, request: servable.ServableRequest
    ) -> servable_handle.ServableHandle[object]:
        """Returns a handle; loads the version if it is not loaded.

        Raises:
          ServingError: What the factory or the loader raised. INTERNAL for an
          exception that is not one of util/errors.py.
          FailedPreconditionError: The manager is closed.
        """
        version = request.version
        if version is None:
            version = self._loader_factory.latest_version(request.name)
        servable_id = servable.ServableId(request.name, version)
        exact = servable.ServableRequest.from_id(servable_id)
        try:
            return self.serving_map.acquire(exact)
        except errors.NotFoundError:
            self._load(servable_id)
        return self.serving_map.acquire(exact)

    @override
    def close(self) -> None:
        """See Manager. Loads that have begun are finished first."""
        self._manager.close()

    def _load(self, servable_id: servable.ServableId) -> None:
        """Starts to load a version if nobody did, and waits for the end."""
        with self._lock:
            load = self._loads.get(servable_id)
            is_first = load is None
            if load is None:
                load = self._loads[servable_id] = _Load()
        if is_first:
            self._start(servable_id)
        error = load.result()
        if error is not None:
            # A copy for each thread that raises it.
            raise errors.copy_of(error)

    def _start(self, servable_id: servable.ServableId) -> None:
        request = servable.ServableRequest.from_id(servable_id)
        try:
            with contextlib.suppress(errors.NotFoundError):
                # Loaded since the caller looked.
                self.serving_map.acquire(request).close()
                self._end(servable_id, None)
                return
            loader = self._loader_factory.create_loader(servable_id)
            data = servable.ServableData.ok(servable_id, loader)
            self._manager.manage_servable(data)
            self._manager.load_servable(servable_id).add_done_callback(
                functools.partial(self._loaded, servable_id)
            )
        except BaseException as error:
            self._end(servable_id, error)
            if not isinstance(error, Exception):
                raise

    def _loaded(
        self,
        servable_id: servable.ServableId,
        future: concurrent.futures.Future[None],
    ) -> None:
        """Runs on a thread of the manager."""
        self._end(servable_id, future.exception())

    def _end(
        self, servable_id: servable.ServableId, caught: BaseException | None
    ) -> None:
        """Lets the requests for a version go on."""
        error = None
        if caught is not None:
            error = bugs.as_serving_error(f"loading {servable_id}", caught)
            # It may never have been managed; or a close is unloading it.
            with contextlib.suppress(errors.ServingError):
                self._manager.stop_managing_servable(servable_id)
        with self._lock:
            load = self._loads.pop(servable_id)
        load.set_result(error)
