r"""Measures what a manager with many models costs, and prints a table.

    bazel run //tensorflow_serving/benchmarks:many_models -- \
        --num_models=10,100,1000 --files

The loads of the models take nothing, so all of it is the cost of managing.
With --files, a source looks at the folders of the models once a second.
"""

import collections
import contextlib
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import psutil
import tabulate
from absl import app, flags, logging

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
from tensorflow_serving.util import event_bus, program

_NUM_MODELS = flags.DEFINE_list(
    "num_models", ["10", "100", "1000"], "How many models, one row for each."
)
_IDLE_SECONDS = flags.DEFINE_float(
    "idle_seconds", 3.0, "How long nothing changes.", lower_bound=0.01
)
_FILES = flags.DEFINE_bool(
    "files", False, "Whether a source looks for the models in a folder."
)

# Header and format of each column. CPU times are of all threads.
_COLUMNS = {
    "models": "d",
    # From the first call of the source until the last model is available.
    "start s": ".2f",
    "CPU s": ".2f",
    "idle CPU %": ".2f",
    # From a new version to the end of the old one.
    "change CPU ms": ".2f",
    "KB a model": ".1f",
}

_State = servable.ServableState
_Bus = event_bus.EventBus[_State]


class _Waiter:
    """Waits until so many versions got into a state."""

    def __init__(self, bus: _Bus) -> None:
        # A version has got into a state. Wakes wait().
        self._changed = threading.Condition()
        self._num: collections.Counter[servable.ManagerState]
        self._num = collections.Counter()
        bus.subscribe(self._record)

    def _record(self, event: event_bus.EventAndTime[_State]) -> None:
        with self._changed:
            self._num[event.event.manager_state] += 1
            self._changed.notify_all()

    def wait(self, state: servable.ManagerState, num: int) -> None:
        """Returns once as many got into a state."""
        with self._changed:
            self._changed.wait_for(lambda: self._num[state] >= num)


@contextlib.contextmanager
def _manager(bus: _Bus, names: Sequence[str]) -> Iterator[Callable[[], None]]:
    """Has a manager without a source; yields what changes the first model."""

    def aspire(name: str, version: int) -> None:
        data = servable.ServableData[loader.Loader].ok(
            servable.ServableId(name, version),
            loader.SimpleLoader(object, lambda: 0),
        )
        manager.aspired_versions_callback()(name, [data])

    with aspired_versions_manager.AspiredVersionsManager(
        event_bus=bus
    ) as manager:
        for name in names:
            aspire(name, 1)
        yield lambda: aspire(names[0], 2)


@contextlib.contextmanager
def _manager_of_files(
    bus: _Bus, names: Sequence[str], folder: str
) -> Iterator[Callable[[], None]]:
    """Has a manager of models in a folder; yields what changes the first."""
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
        yield lambda: _write_version(folder, names[0], 2)


def _write_version(folder: str, name: str, version: int) -> None:
    path = os.path.join(folder, name, f"{version:08}")
    os.makedirs(path)
    with open(os.path.join(path, "model"), "w", encoding="utf-8") as file:
        file.write(name)


def _measure(num_models: int, folder: str) -> tuple[float, ...]:
    """Returns a row of the table.

    Args:
      num_models: How many there are.
      folder: An empty one.
    """
    names = [f"model{number}" for number in range(num_models)]
    bus = _Bus()
    waiter = _Waiter(bus)
    manager = _manager(bus, names)
    if _FILES.value:
        manager = _manager_of_files(bus, names, folder)
        for name in names:
            _write_version(folder, name, 1)
    process = psutil.Process()
    before = process.memory_info().rss
    start, start_cpu = time.monotonic(), time.process_time()
    with manager as change:
        waiter.wait(servable.ManagerState.AVAILABLE, num_models)
        started, started_cpu = time.monotonic(), time.process_time()
        after = process.memory_info().rss
        time.sleep(_IDLE_SECONDS.value)
        idle_cpu = time.process_time()
        change()
        waiter.wait(servable.ManagerState.END, 1)
        changed_cpu = time.process_time()
    return (
        num_models,
        started - start,
        started_cpu - start_cpu,
        100 * (idle_cpu - started_cpu) / _IDLE_SECONDS.value,
        1e3 * (changed_cpu - idle_cpu),
        (after - before) / 1e3 / num_models,
    )


def main() -> None:
    """Prints the table."""
    if not all(each.isdecimal() and int(each) for each in _NUM_MODELS.value):
        raise app.UsageError(
            "--num_models must be whole numbers from 1 on, such as 10,100; got "
            f"{','.join(_NUM_MODELS.value)}"
        )
    # A line for each state is a cost of the terminal.
    logging.set_verbosity(logging.ERROR)
    rows = []
    for num_models in map(int, _NUM_MODELS.value):
        with tempfile.TemporaryDirectory() as folder:
            rows.append(_measure(num_models, folder))
    formats = [*_COLUMNS.values()]
    print(tabulate.tabulate(rows, [*_COLUMNS], floatfmt=formats))


if __name__ == "__main__":
    program.run_tool(main)
