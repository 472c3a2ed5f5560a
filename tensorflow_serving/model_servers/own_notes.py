"""The notes of one worker, from which the others learn of its models."""

import threading

from typing_extensions import Self

from tensorflow_serving.model_servers import (
    server_core,
    worker_notes,
    worker_states,
)
from tensorflow_serving.rpc import worker_board
from tensorflow_serving.util import errors


class OwnNotes:
    """Writes on the board what becomes of the models of this worker.

    A context manager that closes itself. Thread-safe.
    """

    def __init__(
        self, core: server_core.ServerCore, board: worker_board.WorkerBoard
    ) -> None:
        """Writes all states, and each change from now on.

        Args:
          core: Serves the models.
          board: The board of all workers.
        """
        self._core = core
        self._board = board
        # Held from looking at states of the core until they are written, so
        # that older ones never replace those that an event has led to.
        self._lock = threading.Lock()
        # Both guarded by _lock. Whether the note about the start is written,
        # and the stuck versions that were written of each model, if there ever
        # were any.
        self._has_started = False
        self._stuck_notes: dict[str, bytes] = {}
        self._subscription = core.news.subscribe(self._write)
        for name in core.model_names:
            self._write(name)
        self._write_start()

    def close(self) -> None:
        """Writes nothing any longer. Idempotent."""
        self._subscription.close()

    def __enter__(self) -> Self:
        """Returns itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Closes itself."""
        self.close()

    def _write(self, name: str) -> None:
        """Writes the states of a model, and which versions are stuck."""
        with self._lock:
            try:
                states = self._core.states(name)
            except errors.NotFoundError:
                states = {}
            self._board.write(
                worker_notes.model_key(name), worker_states.pack(states)
            )
            stuck = worker_notes.pack_stuck(self._core.stuck_versions(name))
            if stuck != self._stuck_notes.get(name, b""):
                self._stuck_notes[name] = stuck
                self._board.write(worker_notes.stuck_key(name), stuck)
        self._write_start()

    def _write_start(self) -> None:
        """Writes that the start is over, once it is."""
        with self._lock:
            if self._has_started or self._core.is_starting:
                return
            self._has_started = True
            self._board.write(worker_notes.START, worker_notes.OVER)
