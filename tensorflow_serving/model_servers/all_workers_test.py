"""Tests for all_workers, with cores that a test controls and a real board."""

import contextlib
import functools
import os
import threading
from collections.abc import Callable, Mapping, Sequence, Set

from absl.testing import absltest

from tensorflow_serving.core import servable
from tensorflow_serving.model_servers import (
    all_workers,
    model_configs,
    model_news,
    worker_notes,
)
from tensorflow_serving.rpc import board_hub, worker_board
from tensorflow_serving.util import errors

_State = servable.ManagerState

# Longer than anything that a test waits for.
_TIMEOUT_SECONDS = 30


class _Core:
    """Serves models as a ServerCore does, without loading any."""

    def __init__(self, models: model_configs.Models) -> None:
        self.models = models
        self.is_starting = True
        self.have_others_started = threading.Event()
        self.news = model_news.ModelNews(threading.RLock())
        self._states: dict[str, dict[int, servable.ServableState]] = {}
        self._stuck: Set[int] = set()

    @property
    def model_names(self) -> Sequence[str]:
        """Returns the names of the models."""
        return model_configs.names(self.models)

    def states(self, name: str) -> Mapping[int, servable.ServableState]:
        """Returns what a test has set."""
        return self._states.get(name, {})

    def stuck_versions(self, name: str) -> Set[int]:
        """Returns what a test has set, of the model m."""
        return self._stuck if name == "m" else set()

    def set_stuck(self, *versions: int) -> None:
        """Sets which versions of the model m are stuck."""
        self._stuck = {*versions}
        self.news.publish(["m"])

    def set(
        self,
        name: str,
        state: servable.ManagerState,
        error: errors.ServingError | None = None,
    ) -> None:
        """Sets the state of version 1 of a model."""
        servable_id = servable.ServableId(name, 1)
        self._states[name] = {
            1: servable.ServableState(servable_id, state, error)
        }
        self.news.publish([name])

    def end_start(self) -> None:
        """Has each first model loaded, or failed."""
        self.is_starting = False
        self.news.publish([self.model_names[0]])

    def others_started(self) -> None:
        """Records the call."""
        self.have_others_started.set()

    def require_labels(
        self,
        models: model_configs.Models,
        is_available: Callable[[str, int], bool],
    ) -> None:
        """Wants each label to point at a version that is available."""
        for model in models:
            for version in model.version_labels.values():
                if not is_available(model.name, version):
                    raise errors.FailedPreconditionError("not available")

    def update(self, models: model_configs.Models) -> None:
        """Takes other models."""
        self.models = models
        self.news.publish(self.model_names)


class _Worker:
    """One worker, until it is ended."""

    def __init__(
        self, hub: board_hub.BoardHub, number: int, timeout_seconds: float
    ) -> None:
        with contextlib.ExitStack() as stack:
            for name, fd in stack.enter_context(hub.connected(number)).items():
                os.environ[name] = str(os.dup(fd))
            board = stack.enter_context(
                worker_board.WorkerBoard.from_environment()
            )
            self.core = _Core(all_workers.first_models(board))
            self.served = stack.enter_context(
                all_workers.AllWorkers(
                    self.core,  # type: ignore[arg-type]
                    board,
                    2,
                    timeout_seconds,
                )
            )
            self.end = stack.pop_all().close

    def state(self, name: str) -> servable.ServableState | None:
        """Returns the state of version 1 of a model in all workers."""
        try:
            return self.served.states(name).get(1)
        except errors.NotFoundError:
            return None

    def wait_for(
        self, state: servable.ManagerState, name: str = "m"
    ) -> servable.ServableState:
        """Waits until version 1 of a model is in a state; returns it."""
        assert self.served.news.wait_until(
            functools.partial(self._is_in, state, name), _TIMEOUT_SECONDS
        ), self.state(name)
        found = self.state(name)
        assert found is not None
        return found

    def wait_for_stuck(self, versions: Set[int]) -> None:
        """Waits until these versions of the model m are stuck."""
        assert self.served.news.wait_until(
            lambda: self.served.stuck_versions("m") == versions,
            _TIMEOUT_SECONDS,
        ), self.served.stuck_versions("m")

    def _is_in(self, state: servable.ManagerState, name: str) -> bool:
        found = self.state(name)
        return found is not None and found.manager_state is state


class AllWorkersTest(absltest.TestCase):
    """Two workers of a server with one model."""

    def setUp(self) -> None:
        """Starts both."""
        super().setUp()
        self.folder = self.create_tempdir().full_path
        os.makedirs(f"{self.folder}/new/1")
        self.hub = board_hub.BoardHub(
            {worker_notes.CONFIG: worker_notes.pack(self._models("m"))}
        )
        self.workers = [self._start(number) for number in range(2)]

    def _start(
        self, number: int, timeout_seconds: float = _TIMEOUT_SECONDS
    ) -> _Worker:
        worker = _Worker(self.hub, number, timeout_seconds)
        self.addCleanup(worker.end)
        return worker

    def _models(self, *names: str, **labels: int) -> model_configs.Models:
        return tuple(
            model_configs.ModelConfig(
                name, f"{self.folder}/{name}", version_labels=labels
            )
            for name in names
        )

    def _make_available(self) -> None:
        for worker in self.workers:
            worker.core.set("m", _State.AVAILABLE)
            worker.core.end_start()
        for worker in self.workers:
            worker.wait_for(_State.AVAILABLE)

    def test_version_is_available_when_all_have_it(self) -> None:
        """Both say the same, whichever of them is asked."""
        for worker in self.workers:
            worker.core.set("m", _State.LOADING)
        for worker in self.workers:
            worker.wait_for(_State.LOADING)
        self.workers[0].core.set("m", _State.AVAILABLE)
        self.workers[0].core.set("later", _State.END)
        for worker in self.workers:
            worker.wait_for(_State.END, "later")
            worker.wait_for(_State.LOADING)
        self.workers[1].core.set("m", _State.AVAILABLE)
        for worker in self.workers:
            worker.wait_for(_State.AVAILABLE)

    def test_version_is_stuck_when_it_is_in_a_worker_that_runs(self) -> None:
        """Each worker knows of the others, until one is stuck no longer."""
        self._make_available()
        first, second = self.workers
        second.core.set_stuck(2, 10)
        first.wait_for_stuck({2, 10})
        first.core.set_stuck(1)
        second.wait_for_stuck({1, 2, 10})
        self.assertEqual(first.served.stuck_versions("other"), set())
        first.core.set_stuck()
        second.wait_for_stuck({2, 10})
        second.end()
        first.wait_for_stuck(set())

    def test_error_of_one_worker_is_known_to_all(self) -> None:
        """The text says in which worker the version failed."""
        self.workers[0].core.set("m", _State.AVAILABLE)
        self.workers[1].core.set(
            "m", _State.END, errors.DataLossError("broken")
        )
        state = self.workers[0].wait_for(_State.END)
        self.assertEqual(str(state.error), "worker 1: broken")
        self.assertIsInstance(state.error, errors.DataLossError)

    def test_start_is_over_when_it_is_in_all_workers(self) -> None:
        """One that is quicker than the others refuses calls until then."""
        self.workers[0].core.end_start()
        self.workers[0].core.set("m", _State.AVAILABLE)
        self.workers[0].wait_for(_State.START)
        self.assertFalse(self.workers[0].core.have_others_started.is_set())
        self.workers[1].core.end_start()
        for worker in self.workers:
            self.assertTrue(
                worker.core.have_others_started.wait(_TIMEOUT_SECONDS)
            )

    def test_worker_that_has_ended_has_no_version(self) -> None:
        """The state says so until it is back with the version."""
        self._make_available()
        self.workers[1].end()
        state = self.workers[0].wait_for(_State.START)
        self.assertIsInstance(state.error, errors.UnavailableError)
        self.assertRegex(str(state.error), "worker 1")
        restarted = self._start(1)
        restarted.core.set("m", _State.AVAILABLE)
        self.workers[0].wait_for(_State.AVAILABLE)

    def test_restarted_worker_catches_up(self) -> None:
        """It serves once it has what the others have, and not before."""
        self._make_available()
        self.workers[1].end()
        restarted = self._start(1)
        self.assertTrue(
            restarted.core.have_others_started.wait(_TIMEOUT_SECONDS)
        )
        thread = threading.Thread(target=restarted.served.catch_up)
        thread.start()
        restarted.core.set("m", _State.LOADING)
        self.workers[0].wait_for(_State.LOADING)
        self.assertTrue(thread.is_alive())
        restarted.core.set("m", _State.AVAILABLE)
        thread.join()

    def test_first_start_waits_for_nobody(self) -> None:
        """The ports are open at once."""
        self.workers[0].core.set("m", _State.AVAILABLE)
        self.workers[0].wait_for(_State.START)
        self.workers[1].served.catch_up()

    def test_reload_is_for_all_workers(self) -> None:
        """It returns when the new model is in each of them."""
        self._make_available()
        models = self._models("m", "new")
        reload = threading.Thread(
            target=self.workers[0].served.reload, args=[models]
        )
        reload.start()
        for worker in self.workers:
            worker.served.news.wait_until(
                lambda core=worker.core: core.models == models,  # type: ignore[misc]
                _TIMEOUT_SECONDS,
            )
            self.assertEqual(worker.served.models, models)
            self.assertTrue(reload.is_alive())
            worker.core.set("new", _State.AVAILABLE)
        reload.join()

    def test_reload_says_which_worker_failed(self) -> None:
        """The error names worker and model."""
        self._make_available()
        self.workers[0].core.set("new", _State.AVAILABLE)
        self.workers[1].core.set(
            "new", _State.END, errors.DataLossError("broken")
        )
        with self.assertRaisesRegex(
            errors.FailedPreconditionError, "model new .*worker 1: broken"
        ):
            self.workers[0].served.reload(self._models("m", "new"))

    def test_worker_that_does_not_run_is_an_error_of_a_reload(self) -> None:
        """The others serve the new model; the error names the one."""
        self.workers[0].end()
        first = self._start(0, timeout_seconds=0.01)
        self.workers[1].end()
        models = self._models("m", "new")
        with self.assertRaisesRegex(
            errors.UnavailableError, "worker 1 must begin .* within 0.01 s"
        ):
            first.served.reload(models)
        self.assertEqual(first.served.models, models)

    def test_label_needs_a_version_in_all_workers(self) -> None:
        """If one does not have it, nothing changes in any."""
        self.workers[0].core.set("m", _State.AVAILABLE)
        self.workers[1].core.set("m", _State.LOADING)
        self.workers[0].wait_for(_State.LOADING)
        with self.assertRaises(errors.FailedPreconditionError):
            self.workers[0].served.update(self._models("m", stable=1))
        self.assertEqual(self.workers[0].served.models, self._models("m"))
        self._make_available()
        self.workers[0].served.update(self._models("m", stable=1))
        self.assertEqual(
            self.workers[1].core.models, self._models("m", stable=1)
        )

    def test_updates_of_two_workers_end_with_one_configuration(self) -> None:
        """Each was written, and all workers have the last one."""
        threads = [
            threading.Thread(
                target=worker.served.update, args=[self._models("m", name)]
            )
            for worker, name in zip(self.workers, "ab", strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        first, second = (worker.core.models for worker in self.workers)
        self.assertEqual(first, second)
        self.assertIn(first, [self._models("m", name) for name in "ab"])

    def test_restarted_worker_has_the_configuration_in_effect(self) -> None:
        """It does not begin with that of the start."""
        models = self._models("m", "new")
        self.workers[0].served.update(models)
        self.workers[1].end()
        self.assertEqual(self._start(1).core.models, models)

    def test_subscriber_gets_names(self) -> None:
        """A change in another worker counts, and one of the configuration."""
        names: set[str] = set()
        self.enter_context(self.workers[0].served.news.subscribe(names.add))
        self.workers[1].core.set("m", _State.LOADING)
        self.workers[0].served.update(self._models("new"))
        self.workers[0].served.news.wait_until(
            lambda: {"m", "new"} <= names, _TIMEOUT_SECONDS
        )
        self.assertEqual(names, {"m", "new"})

    def test_unknown_model_is_an_error(self) -> None:
        """It is the same as without workers."""
        with self.assertRaises(errors.NotFoundError):
            self.workers[0].served.states("lost")


if __name__ == "__main__":
    absltest.main()
