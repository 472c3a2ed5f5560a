"""The costs of a manager with many servables whose loads take nothing."""

import contextlib
import dataclasses
import os
import threading
import time
from collections.abc import Callable, Iterator

import psutil

from tensorflow_serving.core import (
    aspired_versions_manager,
    loader,
    servable,
    simple_loader_source_adapter,
    source,
)
from tensorflow_serving.sources.storage_path import (
    file_system_storage_path_source,
    storage_path_config,
    version_check,
)
from tensorflow_serving.util import event_bus

_State = servable.ServableState
_ManagerState = servable.ManagerState


@dataclasses.dataclass(frozen=True)
class Costs:
    """Figures of one run."""

    num_models: int
    # From the first call of the source until the last model is available.
    start_seconds: float
    # CPU times are of all threads of this process.
    start_cpu_seconds: float
    idle_cpu_seconds_per_second: float
    # From the call with a new version to the end of the old one.
    change_cpu_seconds: float
    bytes_per_model: float


class _Waiter:
    """Waits until so many servables got into a state."""

    def __init__(self, bus: event_bus.EventBus[_State]) -> None:
        # A state has changed. Wakes wait().
        self._changed = threading.Condition()
        self._states: dict[servable.ServableId, _ManagerState] = {}
        self._num: dict[_ManagerState, int] = dict.fromkeys(_ManagerState, 0)
        bus.subscribe(self._record)

    def _record(self, event: event_bus.EventAndTime[_State]) -> None:
        state = event.event
        with self._changed:
            before = self._states.get(state.id)
            if before is not None:
                self._num[before] -= 1
            self._states[state.id] = state.manager_state
            self._num[state.manager_state] += 1
            self._changed.notify_all()

    def wait(self, state: _ManagerState, num: int) -> None:
        """Returns once as many are in a state."""
        with self._changed:
            self._changed.wait_for(lambda: self._num[state] >= num)


@dataclasses.dataclass(frozen=True)
class _Run:
    """The steps that are measured."""

    num_models: int
    idle_seconds: float
    waiter: _Waiter
    # Has all models served.
    start: Callable[[], None]
    # Has one of them served in another version.
    change: Callable[[], None]

    def measure(self) -> Costs:
        """Does it."""
        before = psutil.Process().memory_info().rss
        start, start_cpu = time.monotonic(), time.process_time()
        self.start()
        self.waiter.wait(_ManagerState.AVAILABLE, self.num_models)
        started, started_cpu = time.monotonic(), time.process_time()
        after = psutil.Process().memory_info().rss
        time.sleep(self.idle_seconds)
        idle_cpu = time.process_time()
        self.change()
        self.waiter.wait(_ManagerState.END, 1)
        return Costs(
            num_models=self.num_models,
            start_seconds=started - start,
            start_cpu_seconds=started_cpu - start_cpu,
            idle_cpu_seconds_per_second=(idle_cpu - started_cpu)
            / self.idle_seconds,
            change_cpu_seconds=time.process_time() - idle_cpu,
            bytes_per_model=(after - before) / self.num_models,
        )


def measure(num_models: int, idle_seconds: float) -> Costs:
    """Measures a manager alone; its source calls once for each change."""
    bus = event_bus.EventBus[_State]()
    waiter = _Waiter(bus)
    with aspired_versions_manager.AspiredVersionsManager(
        event_bus=bus
    ) as manager:
        aspire = manager.aspired_versions_callback()

        def start() -> None:
            for number in range(num_models):
                aspire(f"model{number}", [_data(f"model{number}", 1)])

        def change() -> None:
            aspire("model0", [_data("model0", 2)])

        return _Run(num_models, idle_seconds, waiter, start, change).measure()


def measure_with_files(
    num_models: int, idle_seconds: float, folder: str
) -> Costs:
    """Measures a manager with a source that polls each second.

    Args:
      num_models: How many there are.
      idle_seconds: How long nothing changes.
      folder: An empty one, where the models are put.
    """
    bus = event_bus.EventBus[_State]()
    waiter = _Waiter(bus)
    names = [f"model{number}" for number in range(num_models)]
    for name in names:
        _write_version(folder, name, 1)
    with contextlib.ExitStack() as stack:

        def start() -> None:
            stack.enter_context(_server(bus, folder, names))

        def change() -> None:
            _write_version(folder, names[0], 2)

        return _Run(num_models, idle_seconds, waiter, start, change).measure()


@contextlib.contextmanager
def _server(
    bus: event_bus.EventBus[_State], folder: str, names: list[str]
) -> Iterator[None]:
    """Serves the newest version of each model in a folder."""
    config = file_system_storage_path_source.Config(
        tuple(
            storage_path_config.ServableToMonitor(
                name,
                os.path.join(folder, name),
                version_check=version_check.any_content,
            )
            for name in names
        )
    )
    adapter = simple_loader_source_adapter.SimpleLoaderSourceAdapter[str, str](
        create=str, estimate_ram_bytes=len
    )
    with (
        aspired_versions_manager.AspiredVersionsManager(
            event_bus=bus
        ) as manager,
        adapter,
        file_system_storage_path_source.FileSystemStoragePathSource(
            config, event_bus=bus
        ) as paths,
    ):
        source.connect_source_to_target(adapter, manager)
        source.connect_source_to_target(paths, adapter)
        yield


def _write_version(folder: str, name: str, version: int) -> None:
    path = os.path.join(folder, name, f"{version:08}")
    os.makedirs(path)
    with open(os.path.join(path, "model"), "w", encoding="utf-8") as file:
        file.write(name)


def _data(name: str, version: int) -> servable.ServableData[loader.Loader]:
    return servable.ServableData.ok(
        servable.ServableId(name, version),
        loader.SimpleLoader(object, lambda: 0),
    )
