"""The latency of calls while versions change, beside that while none does."""

import contextlib
import dataclasses
import os
import statistics
from collections.abc import Callable, Iterator, Sequence

from tensorflow_serving.benchmarks import (
    calls,
    checking_client,
    figures,
    h2load,
    light_client,
    loads,
    models,
    promises,
    reference_model,
    results,
    setting,
    version_cycle,
    version_log,
    watched_server,
    workload,
)
from tensorflow_serving.util import progress

_MAX_RATIO = 2.0
_SWAP_SECONDS = 1.0
_NUM_IMAGES = 100
_CHECKS_PER_SECOND = 20.0
_LARGE_NAME = "large"

# Beside this module.
_SERVER = os.path.join(
    os.path.dirname(os.path.abspath(__file__)), "reloading_server"
)


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of the scenario."""

    # How often each load is made without and with changes.
    rounds: int = 3
    # How long each time.
    seconds: float = 5.0
    # Calls a second of the open load.
    open_rate: float = 500.0
    # How much the variables of the model beside take.
    large_megabytes: int = 200


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A load without and with changes, round by round."""

    # Such as "closed 64".
    load: str
    # What made it.
    generator: str
    without: tuple[figures.Figures, ...]
    during: tuple[figures.Figures, ...]

    @property
    def ratio(self) -> float:
        """The median p99 during changes, to that without."""
        return _median_p99(self.during) / _median_p99(self.without)

    def promise(self) -> promises.Promise:
        """Returns the row of the load."""
        before = figures.over_rounds(self.without)
        after = figures.over_rounds(self.during)
        return promises.Promise(
            f"tail, {self.load} ({self.generator}): p99 with changes to "
            "without",
            f"{_MAX_RATIO:g}",
            f"{self.ratio:.2f} (p99 {after.p99_ms:.2f} to {before.p99_ms:.2f} "
            f"ms, p50 {after.p50_ms:.2f} to {before.p50_ms:.2f} ms)",
            self.ratio <= _MAX_RATIO,
        )


@dataclasses.dataclass(frozen=True)
class TailOutcome:
    """What happened."""

    comparisons: tuple[Comparison, ...]
    # Versions that changed under the loads, and of the model beside.
    num_swaps: int
    num_large_swaps: int

    def promises(self) -> list[promises.Promise]:
        """See Outcome."""
        rounds = [
            each
            for comparison in self.comparisons
            for each in (*comparison.without, *comparison.during)
        ]
        overall = figures.over_rounds(rounds)
        num_failed, num_wrong = overall.errors.total(), overall.num_wrong
        return [
            *(each.promise() for each in self.comparisons),
            promises.Promise(
                f"tail: calls in {self.num_swaps} swaps, and "
                f"{self.num_large_swaps} of a large model beside",
                "0 failed, 0 wrong",
                f"{num_failed} failed, {num_wrong} wrong of "
                f"{overall.num_calls + overall.num_checked} calls",
                not num_failed and not num_wrong,
            ),
        ]


def run(
    common: setting.Setting, folder: str, options: Options = Options()
) -> TailOutcome:
    """Makes each load in turn without and with changes.

    During changes, a version of the served model takes the place of the one
    before about every second, and versions of a large model are loaded and
    unloaded in the same process all the time.

    All versions have the same weights, so that every client knows the right
    answers.

    Raises:
      ServingError: A version did not come, or a load could not be made.
    """
    with _Server(common, folder, options) as server:
        kinds = _kinds(common, server, options)
        bar = progress.bar(
            "measuring", 2 * options.rounds * len(kinds), "loads"
        )
        try:
            comparisons = [
                _compare(common, server, kind, options.rounds, bar)
                for kind in kinds
            ]
        finally:
            bar.close()
        return TailOutcome(
            tuple(comparisons), server.small.num_swaps, server.large.num_swaps
        )


@dataclasses.dataclass(frozen=True)
class _Kind:
    """A load."""

    load: str
    generator: str
    # Makes it; takes a seed.
    make: Callable[[int], calls.Calls]


class _Server:
    """A server with two models, and what changes their versions.

    A context manager that ends it.
    """

    def __init__(
        self, common: setting.Setting, folder: str, options: Options
    ) -> None:
        self._folder = folder
        exported = models.export(
            "softmax", os.path.join(folder, "exported"), common.seed
        )
        large = models.export_large(
            os.path.join(folder, "large_exported"), options.large_megabytes
        )
        images = workload.random_images(_NUM_IMAGES, common.seed)
        with reference_model.ReferenceModel(exported) as reference:
            self.workload = workload.Workload(images, reference.scores(images))
        log = version_log.VersionLog()
        self.small, self.large = (
            self._cycle(name, source, log)
            for name, source in (
                (watched_server.SERVABLE_NAME, exported),
                (_LARGE_NAME, large),
            )
        )
        with contextlib.ExitStack() as stack:
            self._process = stack.enter_context(
                watched_server.WatchedServer(
                    [
                        _SERVER,
                        "--port=0",
                        f"--file_system_poll_wait_seconds={common.poll_seconds}",
                        *common.server_flags,
                        self.small.base_path,
                        self.large.base_path,
                    ],
                    common.log_path,
                    log,
                )
            )
            self._stack = stack.pop_all()
        self._write_files()

    @property
    def address(self) -> str:
        """Host and port."""
        return self._process.address

    @property
    def workload_path(self) -> str:
        """The right answers, for other processes."""
        return os.path.join(self._folder, "workload")

    @property
    def target(self) -> loads.Target:
        """Where loads go."""
        return loads.Target(
            name=results.OURS,
            address=self.address,
            method=workload.CLASSIFY,
            body_path=os.path.join(self._folder, "body"),
            framed_answer_bytes=self.workload.framed_answer_bytes,
        )

    @contextlib.contextmanager
    def changing(self) -> Iterator[None]:
        """Has versions of both models change meanwhile."""
        with (
            self.small.running(_SWAP_SECONDS),
            self.large.running(interval_seconds=0.0),
        ):
            yield

    def __enter__(self) -> "_Server":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()

    def _cycle(
        self, name: str, source: str, log: version_log.VersionLog
    ) -> version_cycle.VersionCycle:
        """Returns what changes a model, with a version in place."""
        base_path = os.path.join(self._folder, f"served_{name}")
        os.mkdir(base_path)
        cycle = version_cycle.VersionCycle(name, source, base_path, log)
        cycle.put()
        return cycle

    def _write_files(self) -> None:
        with open(self.target.body_path, "wb") as file:
            file.write(workload.framed(self.workload.requests[0]))
        self.workload.save(self.workload_path)


def _kinds(
    common: setting.Setting, server: _Server, options: Options
) -> list[_Kind]:
    """Returns the loads, which h2load makes where it is installed.

    It is not the one that is slow when loading a model keeps the machine busy.
    """
    light = light_client.LightClient(
        server.workload_path, common.deadline_seconds
    )
    generator = h2load.H2Load() if h2load.is_installed() else light
    closed = loads.ClosedLoad(common.concurrency, options.seconds)
    open_load = loads.OpenLoad(options.open_rate, options.seconds)
    return [
        _Kind(
            f"closed {common.concurrency}",
            generator.name,
            lambda seed: generator.run(server.target, closed),
        ),
        _Kind(
            f"open {options.open_rate:g}/s",
            generator.name,
            lambda seed: generator.run_open(server.target, open_load, seed),
        ),
    ]


def _compare(
    common: setting.Setting,
    server: _Server,
    kind: _Kind,
    rounds: int,
    bar: progress.ProgressBar,
) -> Comparison:
    """Makes a load without and with changes, in turn."""
    found: dict[bool, list[figures.Figures]] = {False: [], True: []}
    for number in range(rounds):
        for changes, measured in found.items():
            with contextlib.ExitStack() as stack:
                if changes:
                    stack.enter_context(server.changing())
                client = stack.enter_context(
                    checking_client.CheckingClient(
                        server.address,
                        server.workload,
                        rate=_CHECKS_PER_SECOND,
                        deadline_seconds=common.deadline_seconds,
                    )
                )
                # The same calls with changes as without.
                made = kind.make(common.seed + number)
                client.close()
                measured.append(figures.of(made, client.checks()))
            bar.update()
    return Comparison(
        kind.load, kind.generator, tuple(found[False]), tuple(found[True])
    )


def _median_p99(rounds: Sequence[figures.Figures]) -> float:
    return statistics.median(each.p99_ms for each in rounds)
