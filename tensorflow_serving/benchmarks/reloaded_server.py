"""A server under load, whose versions come and go."""

import contextlib
import os

from tensorflow_serving.benchmarks import (
    background_load,
    load_outcome,
    setting,
    version_folders,
    version_log,
    version_supply,
    watched_server,
)
from tensorflow_serving.core import servable
from tensorflow_serving.util import clock as clock_lib

_State = servable.ManagerState


class ReloadedServer:
    """Runs mnist_inference_2 on a folder of versions, and loads it.

    with ReloadedServer(setting, folder, num_versions=2) as server:
        server.swap_to(2)
        outcome = server.stop_load()

    It starts with version 1. A context manager that ends load and server. Not
    thread-safe.
    """

    def __init__(
        self, common: setting.Setting, folder: str, num_versions: int
    ) -> None:
        """Returns once version 1 is available and the load has begun.

        Args:
          common: How the server is started and loaded.
          folder: An empty one for versions, to which the caller sees.
          num_versions: How many are exported, from 1 on.

        Raises:
          ServingError: The server does not start, or does not load.
        """
        self.supply = version_supply.VersionSupply(
            os.path.join(folder, "exported"), common.seed
        )
        self.supply.export(1, num_versions)
        self.base_path = os.path.join(folder, "served")
        os.mkdir(self.base_path)
        # When each version was put in place, on the monotonic clock.
        self.put_times: dict[int, float] = {}
        self._current = 1
        self.put(1)
        with contextlib.ExitStack() as stack:
            self.process = stack.enter_context(
                watched_server.WatchedServer(
                    watched_server.mnist_inference_2(
                        self.base_path,
                        common.poll_seconds,
                        common.server_flags,
                    ),
                    common.log_path,
                )
            )
            self.wait_for(1, _State.AVAILABLE)
            self._load = stack.enter_context(
                background_load.BackgroundLoad(
                    self.process.address,
                    self.supply.workload,
                    common.concurrency,
                    common.deadline_seconds,
                )
            )
            self._stack = stack.pop_all()

    def put(self, version: int) -> None:
        """Moves a version that was exported into place."""
        self.put_times[version] = clock_lib.MONOTONIC.now()
        version_folders.put(self.supply.path(version), self.base_path, version)

    def remove(self, version: int) -> None:
        """Removes a version."""
        version_folders.remove(self.base_path, version)

    def wait_for(
        self, version: int, state: servable.ManagerState
    ) -> version_log.Entry:
        """Waits for a line of the log; see VersionLog.wait_for()."""
        return self.process.log.wait_for(
            watched_server.version_id(version), state
        )

    def wait_until_swapped(self, version: int) -> None:
        """Waits until a new version is there and the one before is gone.

        Raises:
          DeadlineExceededError: That did not happen within a minute.
        """
        self.wait_for(version, _State.AVAILABLE)
        self.wait_for(self._current, _State.END)
        self._current = version

    def swap_to(self, version: int) -> None:
        """Puts a version in place, and does wait_until_swapped()."""
        self.put(version)
        self.wait_until_swapped(version)

    def stop_load(self) -> load_outcome.LoadOutcome:
        """Ends the load, and returns what became of its calls."""
        return load_outcome.of(
            self._load.stop(),
            self.put_times,
            load_outcome.end_times(self.process.log.entries()),
        )

    def __enter__(self) -> "ReloadedServer":
        """Returns itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Ends load and server."""
        self._stack.close()
