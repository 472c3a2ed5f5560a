"""A handle that is held while the version is to be unloaded.

In this process: manager, adapter and source as servers have them.
"""

import dataclasses
import logging
import os
import threading

from tensorflow_serving.benchmarks import (
    promises,
    setting,
    version_folders,
    version_supply,
    watched_server,
)
from tensorflow_serving.core import (
    manager,
    servable,
    servable_state_monitor,
)
from tensorflow_serving.servables.tensorflow import simple_servers
from tensorflow_serving.session_bundle import session_bundle
from tensorflow_serving.util import clock as clock_lib
from tensorflow_serving.util import errors, event_bus, progress

_NUM_REQUEST_THREADS = 4
_REQUEST_SECONDS = 0.005
_MAX_END_SECONDS = 1.0
# A request that waited for the handle would take longer; one that waits for its
# turn on a busy machine does not.
_MAX_GET_SECONDS = 0.5
# From then on the log says that an unload waits.
_SECONDS_UNTIL_WARNING = 5.0

_State = servable.ManagerState
_LATEST = servable.ServableRequest.latest(watched_server.SERVABLE_NAME)


@dataclasses.dataclass(frozen=True)
class HeldHandleOutcome:
    """What happened meanwhile."""

    hold_seconds: float
    # Whether the version ended while its handle was open.
    ended_early: bool
    # From closing the handle to the end of the version.
    end_seconds: float
    # How long closing the handle took.
    close_seconds: float
    # Of the threads that went on: handles that they got, and the slowest.
    num_requests: int
    num_failed: int
    slowest_get_seconds: float
    # Lines of the log that said what is waited for.
    num_warnings: int

    def promises(self) -> list[promises.Promise]:
        """See Outcome."""
        is_long = self.hold_seconds > _SECONDS_UNTIL_WARNING
        return [
            promises.Promise(
                f"handle held for {self.hold_seconds:g} s: the unload waits",
                f"ends within {_MAX_END_SECONDS:g} s of its closing",
                "ended too early"
                if self.ended_early
                else f"{self.end_seconds:.3f} s",
                not self.ended_early and self.end_seconds <= _MAX_END_SECONDS,
            ),
            promises.Promise(
                f"handle held: slowest of {self.num_requests} requests for "
                "one meanwhile; closing it",
                f"0 failed, {_MAX_GET_SECONDS:g} s each",
                f"{self.num_failed} failed, {self.slowest_get_seconds:.4f} s; "
                f"{self.close_seconds:.4f} s",
                not self.num_failed
                and self.slowest_get_seconds <= _MAX_GET_SECONDS
                and self.close_seconds <= _MAX_GET_SECONDS,
            ),
            promises.Promise(
                "handle held: lines that say so",
                "1 or more" if is_long else "none yet",
                str(self.num_warnings),
                self.num_warnings > 0 or not is_long,
            ),
        ]


def run(
    common: setting.Setting, folder: str, hold_seconds: float = 30.0
) -> HeldHandleOutcome:
    """Holds a handle on version 1 while version 2 comes.

    Args:
      common: What decides the weights.
      folder: An empty one.
      hold_seconds: How long the handle is held once version 2 is available.

    Raises:
      ServingError: A version did not come.
    """
    supply = _supply(folder, common.seed)
    base_path = os.path.join(folder, "served")
    os.mkdir(base_path)
    bus = event_bus.EventBus[servable.ServableState]()
    with (
        servable_state_monitor.ServableStateMonitor(bus) as monitor,
        simple_servers.create_single_tf_model_manager_from_base_path(
            base_path, event_bus=bus
        ) as served,
    ):
        _put(supply, base_path, monitor, 1)
        handle = served.get_servable_handle(
            _LATEST, session_bundle.SessionBundle
        )
        with (
            handle,
            _Warnings() as warnings,
            _Requests(served) as requests,
        ):
            _put(supply, base_path, monitor, 2)
            _hold(hold_seconds)
            ended_early = _end_time(monitor) is not None
            requests.close()
            close_time = clock_lib.MONOTONIC.now()
            handle.close()
            close_seconds = clock_lib.MONOTONIC.now() - close_time
            end_seconds = _wait_for_end(monitor) - close_time
        return HeldHandleOutcome(
            hold_seconds=hold_seconds,
            ended_early=ended_early,
            end_seconds=end_seconds,
            close_seconds=close_seconds,
            num_requests=requests.num_requests,
            num_failed=requests.num_failed,
            slowest_get_seconds=requests.slowest_get_seconds,
            num_warnings=warnings.count,
        )


def _supply(folder: str, seed: int) -> version_supply.VersionSupply:
    """Returns versions 1 and 2."""
    supply = version_supply.VersionSupply(
        os.path.join(folder, "exported"), seed
    )
    supply.export(1, 2)
    return supply


def _put(
    supply: version_supply.VersionSupply,
    base_path: str,
    monitor: servable_state_monitor.ServableStateMonitor,
    version: int,
) -> None:
    """Puts a version in place and waits for it."""
    version_folders.put(supply.path(version), base_path, version)
    monitor.wait_until_available(
        [servable.ServableRequest.from_id(watched_server.version_id(version))],
        timeout_seconds=60.0,
    )


def _hold(seconds: float) -> None:
    end = clock_lib.MONOTONIC.now() + seconds
    bar = progress.bar("holding a handle", round(seconds), "seconds")
    try:
        while (left := end - clock_lib.MONOTONIC.now()) > 0:
            clock_lib.MONOTONIC.sleep(min(1.0, left))
            bar.update()
    finally:
        bar.close()


def _end_time(
    monitor: servable_state_monitor.ServableStateMonitor,
) -> float | None:
    """Returns when version 1 ended; None if it has not."""
    found = monitor.state_and_time(watched_server.version_id(1))
    if found is None or found.event.manager_state is not _State.END:
        return None
    return found.time


def _wait_for_end(
    monitor: servable_state_monitor.ServableStateMonitor,
) -> float:
    """Returns when version 1 ended; infinity if it does not."""
    deadline = clock_lib.MONOTONIC.now() + 60.0
    while (time := _end_time(monitor)) is None:
        if clock_lib.MONOTONIC.now() >= deadline:
            return float("inf")
        clock_lib.MONOTONIC.sleep(0.005)
    return time


class _Requests:
    """Threads that take handles on the newest version, as requests do.

    A context manager that ends them.
    """

    def __init__(self, served: manager.Manager) -> None:
        self._served = served
        self._closed = threading.Event()
        self._lock = threading.Lock()
        # All guarded by _lock; to be read after close().
        self.num_requests = 0
        self.num_failed = 0
        self.slowest_get_seconds = 0.0
        self._threads = [
            threading.Thread(target=self._run, name="requests")
            for _ in range(_NUM_REQUEST_THREADS)
        ]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Waits for the threads. Idempotent."""
        self._closed.set()
        for thread in self._threads:
            thread.join()

    def __enter__(self) -> "_Requests":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _run(self) -> None:
        while not self._closed.wait(_REQUEST_SECONDS):
            start = clock_lib.MONOTONIC.now()
            try:
                self._served.get_servable_handle(
                    _LATEST, session_bundle.SessionBundle
                ).close()
                has_failed = False
            except errors.ServingError:
                has_failed = True
            seconds = clock_lib.MONOTONIC.now() - start
            with self._lock:
                self.num_requests += 1
                self.num_failed += has_failed
                self.slowest_get_seconds = max(
                    self.slowest_get_seconds, seconds
                )


class _Warnings(logging.Handler):
    """Counts the lines of the log that say that an unload waits.

    A context manager that listens.
    """

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        self.count += text.startswith("Unloading") and "open handle" in text

    def __enter__(self) -> "_Warnings":
        logging.getLogger("absl").addHandler(self)
        return self

    def __exit__(self, *exc_info: object) -> None:
        logging.getLogger("absl").removeHandler(self)
