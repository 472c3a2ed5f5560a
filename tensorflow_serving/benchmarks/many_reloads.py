"""Measures calls of ten models while one of them is replaced every second.

Usage: many_reloads [--seconds=300] [--rate=500] [--large_megabytes=200]

Eight models of tensorflow_model_server answer; version after version of the
first one replaces the one before. Another model is broken, and one more takes
--load_seconds to load. With --large_megabytes, an eleventh one is loaded and
unloaded all the time. The same loads are made before, without changes. Exits
with 1 if a call failed or an answer was wrong.
"""

import contextlib
import os
import statistics
import threading
from collections.abc import Iterator, Sequence

from absl import flags

from tensorflow_serving.benchmarks import (
    loads,
    measurement,
    models,
    served,
    version_cycle,
    workload,
)
from tensorflow_serving.test_util import model_server_folder, small_model
from tensorflow_serving.util import program

_SECONDS = flags.DEFINE_float(
    "seconds", 300.0, "How long each of the two loads lasts.", lower_bound=0.1
)
_CONCURRENCY = flags.DEFINE_integer(
    "concurrency", 64, "Calls in flight.", lower_bound=1
)
_RATE = flags.DEFINE_float(
    "rate",
    0.0,
    "Calls a second of an open load after the closed one; 0: none.",
    lower_bound=0.0,
)
_LARGE_MEGABYTES = flags.DEFINE_integer(
    "large_megabytes", 0, "The size of a large model; 0: none.", lower_bound=0
)
_LOAD_SECONDS = flags.DEFINE_float(
    "load_seconds", 60.0, "How long the slow model takes.", lower_bound=0.1
)
_INTERVAL_SECONDS = flags.DEFINE_float(
    "interval_seconds", 1.0, "From one version to the next.", lower_bound=0.1
)
flags.adopt_module_key_flags(served)

_NUM_HEALTHY = 8
_DEADLINE_SECONDS = 10.0
_STATE = "{{name: {} version: 1}} is {}"


class _Models:
    """Ten models in a folder, and the server that serves them."""

    def __init__(self, folder: model_server_folder.ModelServerFolder) -> None:
        """Writes the models; the slow one is not in place yet."""
        self._folder = folder
        self._names = [f"m{number}" for number in range(_NUM_HEALTHY)]
        scored = {}
        for seed, name in enumerate(self._names):
            source = models.export(
                "softmax", os.path.join(folder.path, f"{name}_source"), seed
            )
            with models.ReferenceModel(source) as model:
                scored[name] = model.scored_images()
            cycle = version_cycle.VersionCycle(
                name, source, folder.base_path(name)
            )
            if not seed:
                self._cycle = cycle
        self._large = self._large_cycle()
        folder.write("broken", write=_write_broken)
        os.mkdir(folder.base_path("slow"))
        self._gate = os.path.join(folder.path, "gate")
        os.mkfifo(self._gate)
        self._slow = small_model.write(
            os.path.join(folder.path, "1"), self._gate
        )
        config = folder.write_config(*self._names, "broken", "slow")
        self.server = served.model_server(
            workload.predict(scored), f"--model_config_file={config}"
        )

    def _large_cycle(self) -> version_cycle.VersionCycle | None:
        """Writes the large model, if there is to be one."""
        if not _LARGE_MEGABYTES.value:
            return None
        source = models.export_large(
            os.path.join(self._folder.path, "large_source"),
            _LARGE_MEGABYTES.value,
        )
        self._names.append("large")
        return version_cycle.VersionCycle(
            "large", source, self._folder.base_path("large")
        )

    def wait(self) -> None:
        """Returns once the models that can be loaded are served."""
        for name in self._names:
            self.server.wait_for_log(_STATE.format(name, "AVAILABLE"))

    @contextlib.contextmanager
    def changing(self) -> Iterator[Sequence[float]]:
        """Has versions change in the with block, and the slow model load.

        Yields:
          The seconds until each version was available, one by one.
        """
        os.rename(self._slow, os.path.join(self._folder.base_path("slow"), "1"))
        is_over = threading.Event()

        def let_through() -> None:
            is_over.wait(_LOAD_SECONDS.value)
            with open(self._gate, "rb") as gate:
                gate.read()

        gate_keeper = threading.Thread(target=let_through)
        gate_keeper.start()
        try:
            with contextlib.ExitStack() as stack:
                if self._large is not None:
                    stack.enter_context(self._large.swapping(self.server, 0.0))
                yield stack.enter_context(
                    self._cycle.swapping(self.server, _INTERVAL_SECONDS.value)
                )
        finally:
            is_over.set()
            gate_keeper.join()
        self.server.wait_for_log(_STATE.format("slow", "AVAILABLE"))


def _write_broken(path: str) -> None:
    """Writes a version that looks whole, and cannot be loaded."""
    small_model.write(path)
    with open(os.path.join(path, "saved_model.pb"), "r+b") as file:
        content = file.read().replace(b"AddV2", b"AddV9")
        file.seek(0)
        file.write(content)


def _measure(
    server: served.Served, label: str
) -> list[measurement.Measurement]:
    """Makes the loads."""
    kinds: list[loads.Load] = [
        loads.ClosedLoad(_CONCURRENCY.value, _SECONDS.value)
    ]
    if _RATE.value:
        kinds.append(loads.OpenLoad(_RATE.value, _SECONDS.value))
    return [
        measurement.checked(server, load, label, _DEADLINE_SECONDS)
        for load in kinds
    ]


def _print_ratios(
    without: Sequence[measurement.Measurement],
    during: Sequence[measurement.Measurement],
) -> None:
    for before, after in zip(without, during, strict=True):
        ratio = measurement.p99_ratio(after, before)
        print(
            f"p99 of {before.load} with changes to without: "
            f"{measurement.number(ratio, '.2f')}"
        )


def main() -> int:
    """Runs the program; see the module docstring."""
    with model_server_folder.ModelServerFolder() as folder:
        served_models = _Models(folder)
        with served_models.server as server:
            served_models.wait()
            without = _measure(server, "without changes")
            first_bytes = server.usage().resident_bytes
            with served_models.changing() as seconds:
                during = _measure(server, "with changes")
            last_bytes = server.usage().resident_bytes
    rows = [*without, *during]
    print(f"{measurement.machine()}\n\n{measurement.table(rows)}\n")
    _print_ratios(without, during)
    print(
        f"{len(seconds)} reloads; seconds until available: median "
        f"{statistics.median(seconds):.2f}, most {max(seconds):.2f}\n"
        f"Memory after changes to before: {last_bytes / first_bytes:.3f} "
        f"({last_bytes >> 20}, {first_bytes >> 20} MB)"
    )
    return 0 if all(row.is_clean for row in rows) else 1


if __name__ == "__main__":
    program.run_tool(main)
