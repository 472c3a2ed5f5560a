"""A version that is copied in slowly, while calls are in flight."""

import dataclasses

from tensorflow_serving.benchmarks import (
    load_outcome,
    promises,
    reloaded_server,
    setting,
    version_folders,
    watched_server,
)
from tensorflow_serving.core import servable
from tensorflow_serving.util import clock as clock_lib
from tensorflow_serving.util import progress

# How long it may take beyond one period.
_ALLOWANCE_SECONDS = 1.0

_State = servable.ManagerState


@dataclasses.dataclass(frozen=True)
class SlowCopyOutcome:
    """What happened meanwhile."""

    num_steps: int
    # From the last step to the line in the log; negative if it came before.
    seconds_until_available: float
    poll_seconds: float
    # What the log said while the version was not whole.
    reason: str
    load: load_outcome.LoadOutcome

    def promises(self) -> list[promises.Promise]:
        """See Outcome."""
        seconds = self.seconds_until_available
        limit = self.poll_seconds + _ALLOWANCE_SECONDS
        num_half = self.load.num_too_early
        return [
            promises.Promise(
                f"slow copy in {self.num_steps} steps: answers of a half "
                "version",
                "0, not available before it is whole",
                f"{num_half}, {'not ' if seconds >= 0 else ''}available before",
                num_half == 0 and seconds >= 0,
            ),
            promises.Promise(
                "slow copy: seconds from whole to available",
                f"{limit:g} (one poll + {_ALLOWANCE_SECONDS:g})",
                f"{seconds:.2f}",
                0 <= seconds <= limit,
            ),
            promises.Promise(
                "slow copy: calls meanwhile",
                "0 failed, 0 wrong",
                str(self.load),
                self.load.is_clean,
            ),
        ]


def run(
    common: setting.Setting,
    folder: str,
    num_steps: int = 20,
    step_seconds: float = 0.7,
) -> SlowCopyOutcome:
    """Copies version 2 in, file by file and part by part.

    Args:
      common: How the server is started and loaded.
      folder: An empty one.
      num_steps: How many.
      step_seconds: How long it waits before each.

    Raises:
      ServingError: The version did not come, or the old one did not go.
    """
    clock = clock_lib.MONOTONIC
    with reloaded_server.ReloadedServer(
        common, folder, num_versions=2
    ) as server:
        bar = progress.bar("copying", num_steps, "steps")
        try:
            for _ in version_folders.copy_in_steps(
                server.supply.path(2),
                version_folders.path_of(server.base_path, 2),
                num_steps,
            ):
                clock.sleep(step_seconds)
                # Of the last step, in the end.
                server.put_times[2] = clock.now()
                bar.update()
        finally:
            bar.close()
        whole_time = clock.now()
        server.wait_until_swapped(2)
        log = server.process.log
        version_id = watched_server.version_id(2)
        available = log.first(version_id, _State.AVAILABLE)
        end = log.first(version_id, _State.END)
        assert available is not None
        load = server.stop_load()
    return SlowCopyOutcome(
        num_steps=num_steps,
        seconds_until_available=available.time - whole_time,
        poll_seconds=common.poll_seconds,
        reason=end.reason if end else "",
        load=load,
    )
