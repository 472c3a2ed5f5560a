"""Measures how calls and memory fare while versions of a model change.

Usage: reload_under_load [--num_swaps=500] [--rounds=3]

"Swaps": one version after another replaces the one before while calls are in
flight. "Tail": loads without and with changes, in turn; meanwhile a large model
is loaded and unloaded in the same process. README.md says what the numbers
mean. Exits with 1 if a call failed or an answer was wrong.
"""

import contextlib
import os
import shlex
import signal
import statistics
import sys
import tempfile
from collections.abc import Sequence

from absl import app, flags

from tensorflow_serving.benchmarks import (
    h2load,
    loads,
    measurement,
    models,
    python_load,
    reference_model,
    served,
    version_cycle,
    workload,
)
from tensorflow_serving.util import program, progress

_CONCURRENCY = flags.DEFINE_integer(
    "concurrency", 64, "Calls in flight.", lower_bound=1
)
_DEADLINE_SECONDS = flags.DEFINE_float(
    "deadline_seconds", 10.0, "How long a call may take.", lower_bound=0.001
)
_POLL_SECONDS = flags.DEFINE_float(
    "file_system_poll_wait_seconds",
    0.25,
    "How often servers look for versions.",
    lower_bound=0.01,
)
_SERVER_FLAGS = flags.DEFINE_string(
    "server_flags",
    "",
    "Flags of mnist_inference_2, such as --max_batch_size=64.",
)
_SERVER_LOG = flags.DEFINE_string(
    "server_log", None, "The file that servers log to; by default nowhere."
)
_NUM_SWAPS = flags.DEFINE_integer(
    "num_swaps", 500, "How many versions replace another.", lower_bound=1
)
_ROUNDS = flags.DEFINE_integer(
    "rounds",
    3,
    "How often each load is made without and with changes; 0: never.",
    lower_bound=0,
)
_SECONDS = flags.DEFINE_float(
    "seconds", 5.0, "How long each load lasts.", lower_bound=0.1
)
_RATE = flags.DEFINE_float(
    "rate", 500.0, "Calls a second of the open load.", lower_bound=1.0
)
_LARGE_MEGABYTES = flags.DEFINE_integer(
    "large_megabytes", 200, "The size of the large model.", lower_bound=1
)

# The servable that MnistService asks, and that of the large model.
_NAME = "default"
_LARGE_NAME = "large"

# After so many swaps, everything that grows at first has grown.
_NUM_FIRST_SWAPS = 10
_SWAP_SECONDS = 1.0
_CHECKS_PER_SECOND = 20.0


def _serve(
    name: str, work: workload.Workload, base_paths: Sequence[str]
) -> served.Served:
    """Starts a server and waits for version 1."""
    package = "example" if name == "mnist_inference_2" else "benchmarks"
    return served.Served(
        [
            served.program(package, name),
            f"--file_system_poll_wait_seconds={_POLL_SECONDS.value}",
            *shlex.split(_SERVER_FLAGS.value),
            *base_paths,
        ],
        work,
        _SERVER_LOG.value,
    )


def _swaps(folder: str, source: str, work: workload.Workload) -> bool:
    """Prints figures of swaps; returns whether every call got its answer."""
    base_path = os.path.join(folder, "swapped")
    cycle = version_cycle.VersionCycle(_NAME, source, base_path)
    load = loads.ClosedLoad(_CONCURRENCY.value)
    num_first = min(_NUM_FIRST_SWAPS, _NUM_SWAPS.value)
    seconds = []
    bar = progress.bar("Swapping", _NUM_SWAPS.value, "versions")
    with (
        _serve("mnist_inference_2", work, [base_path]) as server,
        python_load.BackgroundLoad(
            server.target.address, work, load, _DEADLINE_SECONDS.value
        ) as calls,
    ):
        for number in range(_NUM_SWAPS.value):
            seconds.append(cycle.swap(server))
            if number + 1 == num_first:
                first_bytes = server.usage().resident_bytes
            bar.update()
        last_bytes = server.usage().resident_bytes
        row = measurement.of(calls.stop(), load, served.OURS, "python_load")
    bar.close()
    print(
        f"{_NUM_SWAPS.value} swaps, {row.num_calls} calls\n"
        f"{measurement.table([row])}\n"
        f"Seconds until available: median {statistics.median(seconds):.2f}, "
        f"most {max(seconds):.2f}; polls every {_POLL_SECONDS.value:g}\n"
        f"Memory after {_NUM_SWAPS.value} swaps to after {num_first}: "
        f"{last_bytes / first_bytes:.3f} ({last_bytes >> 20}, "
        f"{first_bytes >> 20} MB)\n"
    )
    return row.is_clean


class _Tail:
    """A server with two models, whose versions change now and then."""

    def __init__(
        self, folder: str, source: str, work: workload.Workload
    ) -> None:
        self._work = work
        large = models.export_large(
            os.path.join(folder, "large_export"), _LARGE_MEGABYTES.value
        )
        base_paths = [os.path.join(folder, name) for name in ("small", "large")]
        self._small = version_cycle.VersionCycle(_NAME, source, base_paths[0])
        self._large = version_cycle.VersionCycle(
            _LARGE_NAME, large, base_paths[1]
        )
        self._server = _serve("reloading_server", work, base_paths)

    def run(self) -> bool:
        """Prints ratios; returns whether every call got its answer."""
        is_clean = True
        with self._server:
            for load in (
                loads.ClosedLoad(_CONCURRENCY.value, _SECONDS.value),
                loads.OpenLoad(_RATE.value, _SECONDS.value),
            ):
                pairs = [self._compare(load) for _ in range(_ROUNDS.value)]
                rows = [
                    measurement.over_rounds(rounds)
                    for rounds in zip(*pairs, strict=True)
                ]
                without, during = (row.p99_ms for row in rows)
                assert without is not None and during is not None
                print(measurement.table(rows))
                print(
                    f"p99 with changes (below) to without (above): "
                    f"{during / without:.2f}\n"
                )
                is_clean &= all(row.is_clean for row in rows)
        print(
            f"{self._small.version - 1} swaps beside "
            f"{self._large.version - 1} of the large model"
        )
        return is_clean

    def _compare(
        self, load: loads.Load
    ) -> tuple[measurement.Measurement, measurement.Measurement]:
        """Returns the same load without and with changes."""
        # A client in C is not slow when loading keeps the machine busy.
        target, uses_h2load = self._server.target, h2load.is_installed()
        measurer = measurement.Measurer(
            self._server,
            (lambda load: h2load.run(target, load))
            if uses_h2load
            else lambda load: python_load.make(
                target.address, self._work, load, _DEADLINE_SECONDS.value
            ),
            "h2load" if uses_h2load else "python_load",
            _DEADLINE_SECONDS.value,
            _CHECKS_PER_SECOND,
        )
        without = measurer.measure(load)
        with contextlib.ExitStack() as stack:
            stack.enter_context(
                self._small.swapping(self._server, _SWAP_SECONDS)
            )
            stack.enter_context(self._large.swapping(self._server, 0.0))
            during = measurer.measure(load)
        return without, during


def main(argv: Sequence[str]) -> int:
    """Runs the program; see the module docstring."""
    if len(argv) != 1:
        raise app.UsageError(f"arguments must be flags; got {argv[1:]}")
    # Servers and files must not outlive the program.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    with tempfile.TemporaryDirectory(prefix="reload_under_load_") as folder:
        # All versions have the same weights, so that one answer is right.
        source = models.export("softmax", os.path.join(folder, "export"))
        with reference_model.ReferenceModel(source) as reference:
            work = reference.workload()
        print(f"{measurement.machine()}\n")
        is_clean = _swaps(folder, source, work)
        if _ROUNDS.value:
            is_clean &= _Tail(folder, source, work).run()
    return 0 if is_clean else 1


if __name__ == "__main__":
    program.run(main)
