"""The side of a supervisor on which metrics of all workers come together.

Example:
    with metrics_rounds.MetricsRounds(num_workers) as rounds:
        hub = board_hub.BoardHub(common, rounds)

1. A worker that is asked for metrics asks for a page, in a private note.
2. A round begins: the supervisor asks each worker for its metrics. Workers that
   ask for a page meanwhile get that of the next round.
3. The round is over when all have answered, or after a second. Whoever did not
   answer in time is asked again the next time, but not waited for until it has
   answered: one that hangs delays one page, not all.
4. The supervisor sums up, and sends the page to those who asked.

Without somebody who asks, nothing happens. See worker_metrics.py for the other
side.
"""

import threading
from collections.abc import Callable, Mapping, Sequence, Set
from typing import Final

from absl import logging
from typing_extensions import Self

from tensorflow_serving.model_servers import (
    merged_metrics,
    metric_families,
    process_metrics,
)
from tensorflow_serving.rpc import board
from tensorflow_serving.util import clock as clock_lib

# The private notes: a worker asks for a page, and gets it; the supervisor asks
# for metrics, and gets them. Each begins with a number, in a line of its own,
# which the answer has as well.
ASK_PAGE: Final = f"{board.PRIVATE}ask_page"
PAGE: Final = f"{board.PRIVATE}page"
ASK_METRICS: Final = f"{board.PRIVATE}ask_metrics"
METRICS: Final = f"{board.PRIVATE}metrics"

SECONDS: Final = 1.0
_SUPERVISOR: Final = "supervisor"

Post = Callable[[str, bytes], None]


def numbered(number: int, data: bytes = b"") -> bytes:
    """Returns the value of a note."""
    return b"%d\n%b" % (number, data)


def number_of(note: bytes | None) -> int:
    """Returns the number of a note; 0 if there is none."""
    return int(note[: note.index(b"\n")]) if note else 0


def data_of(note: bytes) -> bytes:
    """Returns what comes after the number."""
    return note[note.index(b"\n") + 1 :]


class MetricsRounds:
    """Sums up metrics of workers when one of them asks.

    Implements board_hub.PrivateNotes.

    A context manager that starts and ends its thread. Thread-safe.
    """

    def __init__(
        self, num_workers: int, clock: clock_lib.Clock = clock_lib.MONOTONIC
    ) -> None:
        """Starts without workers.

        Args:
          num_workers: How many there should be.
          clock: Decides when a round is over.
        """
        self._num_workers = num_workers
        self._clock = clock
        self._lock = threading.Lock()
        # Somebody has asked or answered, a worker has ended, or all is over.
        self._news = threading.Condition(self._lock)
        # All guarded by _lock. How to reach the workers that run.
        self._posts: dict[int, Post] = {}
        # The workers that wait for a page, with the numbers of their notes.
        self._asking: dict[int, int] = {}
        self._round = 0
        # The workers that have answered in this round, and those that did not
        # when they were asked the last time.
        self._fresh: set[int] = set()
        self._slow: set[int] = set()
        self._merged = merged_metrics.MergedMetrics()
        self._is_closed = False
        self._thread = threading.Thread(
            target=self._run, name="metrics_rounds", daemon=True
        )

    def begin(self, worker: int, post: Post) -> None:
        """See board_hub.PrivateNotes."""
        with self._lock:
            self._posts[worker] = post

    def take(self, worker: int, key: str, value: bytes) -> None:
        """See board_hub.PrivateNotes."""
        number = number_of(value)
        if key == METRICS:
            families = metric_families.unpack(data_of(value))
            with self._lock:
                self._merged.put(worker, families)
                self._slow.discard(worker)
                if number == self._round:
                    self._fresh.add(worker)
                self._news.notify_all()
        elif key == ASK_PAGE:
            with self._lock:
                self._asking[worker] = number
                self._news.notify_all()

    def end(self, worker: int) -> None:
        """See board_hub.PrivateNotes."""
        with self._lock:
            del self._posts[worker]
            self._asking.pop(worker, None)
            self._fresh.discard(worker)
            self._slow.discard(worker)
            self._merged.end(worker)
            self._news.notify_all()

    def close(self) -> None:
        """Ends the thread. Idempotent."""
        with self._lock:
            self._is_closed = True
            self._news.notify_all()
        if self._thread.ident is not None:
            self._thread.join()

    def __enter__(self) -> Self:
        """Starts the thread; returns itself."""
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Closes itself."""
        self.close()

    def _run(self) -> None:
        while True:
            with self._lock:
                self._news.wait_for(lambda: self._asking or self._is_closed)
                if self._is_closed:
                    return
                asking, self._asking = self._asking, {}
            try:
                self._answer(asking, self._page())
            except Exception:
                logging.exception("A page of metrics failed; going on")

    def _page(self) -> bytes:
        """Returns the metrics of all workers as they are now."""
        own = process_metrics.families()
        with self._lock:
            self._round += 1
            self._fresh.clear()
            for post in self._posts.values():
                post(ASK_METRICS, numbered(self._round))
            self._wait(self._posts.keys() - self._slow)
            self._slow = self._posts.keys() - self._fresh
            self._merged.put(_SUPERVISOR, own)
            families = self._merged.families({*self._fresh, _SUPERVISOR})
            num_fresh = len(self._fresh)
        return metric_families.text(
            [*families, *of_workers(self._num_workers, num_fresh)]
        )

    def _wait(self, awaited: Set[int]) -> None:
        """Waits until workers have answered, for a second; needs the lock."""
        deadline = self._clock.now() + SECONDS

        def is_over() -> bool:
            missing = (awaited & self._posts.keys()) - self._fresh
            return not missing or self._is_closed

        while not is_over() and self._clock.now() < deadline:
            self._clock.wait_until(self._news, deadline)

    def _answer(self, asking: Mapping[int, int], page: bytes) -> None:
        with self._lock:
            for worker, number in asking.items():
                if post := self._posts.get(worker):
                    post(PAGE, numbered(number, page))


def of_workers(
    num_workers: int, num_answered: int
) -> Sequence[metric_families.Family]:
    """Returns metrics that say whether others are those of all processes."""
    workers = metric_families.Family(
        "tensorflow_serving_workers",
        "gauge",
        "Processes that should serve.",
    )
    answered = metric_families.Family(
        "tensorflow_serving_workers_answered",
        "gauge",
        "Processes whose metrics are in this page as they are now.",
    )
    workers.add((), num_workers)
    answered.add((), num_answered)
    return [workers, answered]
