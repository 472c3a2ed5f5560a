"""One version after another, while calls are in flight."""

import dataclasses

from tensorflow_serving.benchmarks import (
    load_outcome,
    promises,
    reloaded_server,
    setting,
)
from tensorflow_serving.util import errors, progress

# After so many swaps, everything that grows at first has grown.
_NUM_FIRST_SWAPS = 10
_MAX_MEMORY_RATIO = 1.10


@dataclasses.dataclass(frozen=True)
class SwapOutcome:
    """What happened meanwhile."""

    num_swaps: int
    load: load_outcome.LoadOutcome
    # Memory of the server after the first swaps, and after all.
    num_first_swaps: int
    first_resident_mb: float
    last_resident_mb: float

    @property
    def memory_ratio(self) -> float:
        """By how much memory has grown."""
        return self.last_resident_mb / self.first_resident_mb

    def promises(self) -> list[promises.Promise]:
        """See Outcome."""
        load = self.load
        num_wrong = load.num_wrong + load.num_too_early
        failed = [
            str(load.num_failed),
            *(f"{name} {number}" for name, number in load.errors.items()),
        ]
        return [
            promises.Promise(
                f"swaps: calls that failed, of {load.num_calls}, in "
                f"{self.num_swaps} swaps",
                "0",
                ", ".join(failed),
                not load.num_failed,
            ),
            promises.Promise(
                "swaps: wrong answers", "0", str(num_wrong), not num_wrong
            ),
            promises.Promise(
                "swaps: answers of a version after its end",
                "0",
                str(load.num_too_late),
                not load.num_too_late,
            ),
            promises.Promise(
                "swaps: p50, p99 meanwhile",
                "-",
                f"{load.p50_ms:.2f}, {load.p99_ms:.2f} ms",
                True,
            ),
            promises.Promise(
                f"swaps: memory after {self.num_swaps} to after "
                f"{self.num_first_swaps}",
                f"{_MAX_MEMORY_RATIO:.2f}",
                f"{self.memory_ratio:.3f} ({self.first_resident_mb:.0f}, "
                f"{self.last_resident_mb:.0f} MB)",
                self.memory_ratio <= _MAX_MEMORY_RATIO,
            ),
        ]


def run(
    common: setting.Setting, folder: str, num_swaps: int = 500
) -> SwapOutcome:
    """Swaps versions.

    Each is moved into place in one step. When it is available and the one
    before has ended, the one before that is removed and the next one follows.

    Args:
      common: How the server is started and loaded.
      folder: An empty one.
      num_swaps: How many; at least 1.

    Raises:
      ServingError: A version did not come, or did not go.
    """
    errors.require_at_least(1, num_swaps=num_swaps)
    num_first_swaps = min(_NUM_FIRST_SWAPS, num_swaps)
    first_resident_bytes = 0
    with reloaded_server.ReloadedServer(
        common, folder, num_versions=num_swaps + 1
    ) as server:
        bar = progress.bar("swapping", num_swaps, "versions")
        try:
            for swap in range(1, num_swaps + 1):
                server.swap_to(swap + 1)
                if swap > 1:
                    server.remove(swap - 1)
                if swap == num_first_swaps:
                    first_resident_bytes = server.process.resident_bytes()
                bar.update()
        finally:
            bar.close()
        last_resident_bytes = server.process.resident_bytes()
        return SwapOutcome(
            num_swaps=num_swaps,
            load=server.stop_load(),
            num_first_swaps=num_first_swaps,
            first_resident_mb=first_resident_bytes / 2**20,
            last_resident_mb=last_resident_bytes / 2**20,
        )
