"""The models that all workers of a server serve alike.

Each worker loads them by itself, writes on the board what became of each, and
sees what became of them in the others; the configuration is a common note.

Example:
    with worker_board.WorkerBoard.from_environment() as board:
        models = all_workers.first_models(board)
        core = server_core.ServerCore(options, models, is_one_of_several=True)
        with core, AllWorkers(core, board, num_workers, 0) as served:
            served.catch_up()
            server.serve(core, ..., served=served)
"""

import functools
import threading
from collections.abc import Collection, Mapping, Sequence, Set
from typing import Final

from absl import logging
from typing_extensions import Self

from tensorflow_serving.core import servable
from tensorflow_serving.model_servers import (
    model_configs,
    model_news,
    models_in_workers,
    own_notes,
    reload_config,
    server_core,
    worker_notes,
)
from tensorflow_serving.rpc import call, worker_board
from tensorflow_serving.util import errors

# How long a worker may take to begin with a new configuration.
_TAKE_SECONDS: Final = 30.0


def first_models(board: worker_board.WorkerBoard) -> model_configs.Models:
    """Returns the models that a worker has to serve when it starts."""
    return worker_notes.Config.of(board.common(worker_notes.CONFIG)).models


class AllWorkers:
    """Implements ServedModels for the models of all workers.

    A worker that does not run, because it has crashed and is about to be
    started again, has no version of anything.

    A context manager that closes itself. Thread-safe.
    """

    def __init__(
        self,
        core: server_core.ServerCore,
        board: worker_board.WorkerBoard,
        num_workers: int,
        model_load_timeout_seconds: float,
    ) -> None:
        """Joins the other workers.

        Args:
          core: Serves first_models() in this worker; see is_one_of_several.
          board: The board of all workers.
          num_workers: How many there are.
          model_load_timeout_seconds: How long reload() waits for new models; 0
            for as long as it takes.
        """
        self._core = core
        self._board = board
        self._workers = range(num_workers)
        self._timeout_seconds = model_load_timeout_seconds
        self._lock = threading.RLock()
        # See ServedModels.
        self.news: Final = model_news.ModelNews(self._lock)
        # A value, so that reading it needs no lock; replaced under _lock.
        self._seen = models_in_workers.ModelsInWorkers()
        # Held while a configuration is written.
        self._update_lock = threading.Lock()
        self._thread = threading.Thread(
            target=self._take_configs, name="take_configs"
        )
        board.subscribe(self._follow)
        self._follow({worker_notes.CONFIG, worker_notes.START})
        self._own_notes = own_notes.OwnNotes(core, board)
        self._thread.start()

    @property
    def models(self) -> model_configs.Models:
        """The models of the configuration."""
        return self._seen.config.models

    @property
    def model_names(self) -> Collection[str]:
        """The names of the models of the configuration."""
        return self._seen.names

    def states(self, name: str) -> Mapping[int, servable.ServableState]:
        """Returns the states of a model in all workers; see ServedModels."""
        seen = self._seen
        states = seen.states(name)
        if not states and name not in seen.names:
            raise errors.NotFoundError(
                f"Could not find any versions of model {name}"
            )
        return states

    def stuck_versions(self, name: str) -> Set[int]:
        """Returns the versions that are stuck in a worker; see ServedModels."""
        return worker_notes.stuck_versions(
            self._notes(worker_notes.stuck_key(name))
        )

    def update(
        self, models: model_configs.Models
    ) -> Sequence[model_configs.ModelConfig]:
        """Has all workers serve other models; see ServedModels.

        Returns once each worker has begun to.
        """
        with self._update_lock:
            self._core.require_labels(models, self._seen.is_available)
            known = self._write(models)
        self._wait_until_taken()
        return [model for model in models if model.name not in known]

    def reload(
        self,
        models: model_configs.Models,
        unwanted: call.Unwanted | None = None,
    ) -> None:
        """See reload_config.reload()."""
        reload_config.reload(self, models, self._timeout_seconds, unwanted)

    def catch_up(self) -> None:
        """Waits until this worker can answer whatever the others can.

        One that is started again must not be called before. At the first start
        there is nothing to wait for.
        """
        if self._board.common(worker_notes.START).revision:
            self.news.wait_until(lambda: self._seen.is_level, 0)

    def close(self) -> None:
        """Takes no more configurations, and ends all waits. Idempotent."""
        self.news.close()
        self._own_notes.close()
        self._thread.join()

    def __enter__(self) -> Self:
        """Returns itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Closes itself."""
        self.close()

    def _write(self, models: model_configs.Models) -> Set[str]:
        """Writes the common note; returns the names in the one before.

        Another worker may be first, with other models. Then it is tried again,
        so that these are served for a moment at least.
        """
        data = worker_notes.pack(models)
        known = {*self.model_names}
        while self.models != models:
            seen = self._seen
            known = {*seen.names}
            revision = seen.config.revision + 1
            self._board.write_common(worker_notes.CONFIG, data, revision)
            self.news.wait_until(
                functools.partial(self._has_revision, revision),
                self._take_seconds,
            )
            if not self._has_revision(revision):
                raise errors.UnavailableError(
                    "The supervisor takes no configuration; try again later."
                )
        return known

    @property
    def _take_seconds(self) -> float:
        """How long workers may take to begin with a configuration."""
        return min(_TAKE_SECONDS, self._timeout_seconds or _TAKE_SECONDS)

    def _has_revision(self, revision: int) -> bool:
        return self._seen.config.revision >= revision

    def _wait_until_taken(self) -> None:
        """Returns once all workers have begun with the configuration.

        Raises:
          UnavailableError: A worker does not, or does not run.
        """
        config = self._seen.config

        def late() -> Sequence[int]:
            return config.late_workers(self._notes(worker_notes.CONFIG))

        self.news.wait_until(lambda: not late(), self._take_seconds)
        for worker in late():
            raise errors.UnavailableError(
                f"worker {worker} must begin with the configuration within "
                f"{self._take_seconds:g} s; it does so when it runs again. The "
                "other workers serve it"
            )

    def _notes(self, key: str) -> Sequence[bytes | None]:
        """Returns the notes with a key, by worker."""
        return [self._board.note(worker, key) for worker in self._workers]

    def _follow(self, keys: Set[str]) -> None:
        """Takes what has changed on the board."""
        names = {*worker_notes.model_names(keys)}
        with self._lock:
            config = self._seen.config
            if worker_notes.CONFIG in keys:
                note = self._board.common(worker_notes.CONFIG)
                if note.revision != config.revision:
                    config = worker_notes.Config.of(note)
                names |= self._seen.known_names
                names |= config.names
            taken = self._notes(worker_notes.CONFIG)
            models = {
                name: worker_notes.ModelInWorkers.of(
                    name,
                    self._board.number,
                    taken,
                    self._notes(worker_notes.model_key(name)),
                )
                for name in names
            }
            self._seen = self._seen.updated(config, models)
        if worker_notes.START in keys:
            self._follow_start()
        self.news.publish(names)

    def _follow_start(self) -> None:
        """Ends the start once it is over in all workers."""
        if self._board.common(worker_notes.START).revision:
            self._core.others_started()
        elif worker_notes.is_start_over(self._notes(worker_notes.START)):
            self._board.write_common(worker_notes.START, worker_notes.OVER, 1)

    def _take_configs(self) -> None:
        """Has the core serve each new configuration, on a thread."""
        taken = 0
        while True:
            self.news.wait_until(
                functools.partial(self._has_revision, taken + 1), 0
            )
            if self.news.is_closed:
                return
            config = self._seen.config
            models, taken = config.models, config.revision
            try:
                if models != self._core.models:
                    logging.info(
                        "Serving %s from now on", model_configs.names(models)
                    )
                    self._core.update(models)
            except Exception:
                logging.exception("Taking a configuration failed; going on")
            else:
                self._board.write(worker_notes.CONFIG, b"%d" % taken)
