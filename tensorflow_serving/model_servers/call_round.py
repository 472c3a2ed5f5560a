"""The calls that came together, from their groups to their replies."""

import dataclasses
import threading
from collections.abc import Sequence
from typing import Protocol

from typing_extensions import override

from tensorflow_serving.batching import (
    batched_function,
    run_timing,
    task_round,
)
from tensorflow_serving.servables.tensorflow import inference


@dataclasses.dataclass(frozen=True, slots=True)
class Run:
    """Tasks that ran together, and their outputs."""

    tasks: batched_function.Tasks
    outputs: inference.Outputs
    timing: run_timing.RunTiming


class Group(Protocol):
    """A CallGroup, as a round sees it."""

    def answer(self, runs: Sequence[Run]) -> None:
        """Answers the calls of runs; all at once if their outputs are alike."""


class CallRound(task_round.TaskRound):
    """Schedules the tasks of calls; quick runs are answered at its end.

    Without batching, many short runs follow each other on the thread of the
    server, which sends nothing in between. So their responses can as well be
    made all at once, which costs less for each. Runs on other threads do not
    wait.
    """

    @override
    def __init__(self, before: "CallRound | None" = None) -> None:
        super().__init__(before)
        # Guarded by _runs_lock: the thread whose runs are kept, and those.
        self._runs_lock = threading.Lock()
        self._thread_id: int | None = None
        self._runs: dict[Group, list[Run]] = {}

    @override
    def run(self) -> bool:
        """Schedules tasks, and answers the calls of those that ran here."""
        self._thread_id = threading.get_ident()
        try:
            return super().run()
        finally:
            self._answer()

    @override
    def leave(self) -> None:
        """Answers the calls of runs that have ended; leaves the others."""
        self._answer()
        super().leave()

    def keep(self, group: Group, run: Run) -> bool:
        """Returns whether the round answers the calls of a run, at its end."""
        if threading.get_ident() != self._thread_id:
            return False
        with self._runs_lock:
            if self._thread_id is None:
                return False
            self._runs.setdefault(group, []).append(run)
        return True

    def _answer(self) -> None:
        with self._runs_lock:
            self._thread_id = None
            runs_of_groups, self._runs = self._runs, {}
        for group, runs in runs_of_groups.items():
            group.answer(runs)
