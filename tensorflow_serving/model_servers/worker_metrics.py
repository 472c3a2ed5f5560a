"""The metrics of all workers, as each of them can show them.

Example:
    with worker_metrics.WorkerMetrics(board, collect) as metrics:
        metrics.page()

See metrics_rounds.py for what the supervisor does.
"""

import threading
from collections.abc import Callable, Sequence, Set
from typing import Final

from absl import logging
from typing_extensions import Self

from tensorflow_serving.model_servers import metric_families, metrics_rounds
from tensorflow_serving.rpc import worker_board
from tensorflow_serving.util import errors

# A page comes after two rounds at most, with what they take beside waiting.
PAGE_SECONDS: Final = 3 * metrics_rounds.SECONDS + 2.0

Collect = Callable[[], Sequence[metric_families.Family]]


class WorkerMetrics:
    """Answers with the metrics of this worker, and asks for those of all.

    A context manager that starts and ends its thread. Thread-safe.
    """

    def __init__(
        self, board: worker_board.WorkerBoard, collect: Collect
    ) -> None:
        """Joins the others.

        Args:
          board: The board of all workers; closed by the caller, after this.
          collect: Returns the metrics of this worker.
        """
        self._board = board
        self._collect = collect
        self._lock = threading.Lock()
        # A private note has come, or all is over.
        self._news = threading.Condition(self._lock)
        # Both guarded by _lock. How many pages were asked for.
        self._num_pages = 0
        self._is_closed = False
        # The last question that was answered; for the thread alone.
        self._num_answered = 0
        self._thread = threading.Thread(
            target=self._run, name="worker_metrics", daemon=True
        )
        board.subscribe(self._follow)

    def page(self) -> bytes:
        """Returns the metrics of all workers; blocks while they are collected.

        Raises:
          UnavailableError: The supervisor does not answer. Transient.
        """
        with self._lock:
            self._num_pages += 1
            number = self._num_pages
            # In the order of the numbers.
            self._board.write(
                metrics_rounds.ASK_PAGE, metrics_rounds.numbered(number)
            )
            self._news.wait_for(
                lambda: (
                    self._is_closed
                    or self._number(metrics_rounds.PAGE) >= number
                ),
                PAGE_SECONDS,
            )
        note = self._note(metrics_rounds.PAGE)
        if note is None or metrics_rounds.number_of(note) < number:
            raise errors.UnavailableError(
                "The supervisor does not answer with the metrics of all "
                "workers; try again later"
            )
        return metrics_rounds.data_of(note)

    def close(self) -> None:
        """Answers no longer. Idempotent."""
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

    def _follow(self, keys: Set[str]) -> None:
        if keys & {metrics_rounds.PAGE, metrics_rounds.ASK_METRICS}:
            with self._lock:
                self._news.notify_all()

    def _note(self, key: str) -> bytes | None:
        """Returns the last note from the supervisor."""
        return self._board.note(self._board.number, key)

    def _number(self, key: str) -> int:
        return metrics_rounds.number_of(self._note(key))

    def _run(self) -> None:
        while True:
            with self._lock:
                self._news.wait_for(
                    lambda: (
                        self._is_closed
                        or self._number(metrics_rounds.ASK_METRICS)
                        > self._num_answered
                    )
                )
                if self._is_closed:
                    return
            self._num_answered = self._number(metrics_rounds.ASK_METRICS)
            self._answer(self._num_answered)

    def _answer(self, number: int) -> None:
        """Answers the supervisor."""
        try:
            packed = metric_families.pack(self._collect())
        except Exception:
            logging.exception("Collecting metrics failed; going on")
        else:
            self._board.write(
                metrics_rounds.METRICS, metrics_rounds.numbered(number, packed)
            )
