"""Tests for reload_config, with states that a test sets."""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence

from absl.testing import absltest, parameterized

from tensorflow_serving.core import servable
from tensorflow_serving.model_servers import model_configs, reload_config
from tensorflow_serving.rpc import call
from tensorflow_serving.sources.storage_path import storage_path_config
from tensorflow_serving.util import errors

_State = servable.ManagerState
_LATEST = storage_path_config.Latest(1)


def _state(
    version: int,
    state: servable.ManagerState,
    error: errors.ServingError | None = None,
) -> servable.ServableState:
    return servable.ServableState(
        servable.ServableId("new", version), state, error
    )


class _Served:
    """Serves models, of which a test sets the states."""

    def __init__(self) -> None:
        self.models: model_configs.Models = ()
        # The states of the model "new" after each event, and at last.
        self.events: list[list[servable.ServableState]] = []
        self._states: list[servable.ServableState] = []
        # The states once somebody has looked at the others; None: the same.
        self.next_states: list[servable.ServableState] | None = None
        self._follow: Callable[[str], object] = len
        # Who is taken out while somebody waits.
        self.removed: set[str] = set()
        self.num_looks = 0

    @property
    def model_names(self) -> Sequence[str]:
        """Returns the names of those that are still served."""
        names = model_configs.names(self.models)
        return [each for each in names if each not in self.removed]

    @property
    def news(self) -> "_Served":
        """Returns itself: a test sets what happens while somebody waits."""
        return self

    def states(self, name: str) -> Mapping[int, servable.ServableState]:
        """Returns the states of "new" and "slow"; others are available."""
        self.num_looks += 1
        if name == "slow":
            return {1: _state(1, _State.LOADING)}
        if name != "new":
            return {1: _state(1, _State.AVAILABLE)}
        found = {each.id.version: each for each in self._states}
        if found and self.next_states is not None:
            self._states = self.next_states
        return found

    def update(
        self, models: model_configs.Models
    ) -> Sequence[model_configs.ModelConfig]:
        """Takes models, which are all new."""
        self.models = models
        return models

    def wait_until(
        self,
        is_over: Callable[[], bool],
        timeout_seconds: float,
        unwanted: call.Unwanted | None = None,
    ) -> bool:
        """Has the events happen until it is over."""
        for states in self.events:
            self._states = states
            self._follow("new")
            if is_over():
                break
        return is_over()

    @contextlib.contextmanager
    def subscribe(self, callback: Callable[[str], None]) -> Iterator[None]:
        """Calls back with the name of the model "new" at each event."""
        self._follow = callback
        yield


class ReloadConfigTest(parameterized.TestCase):
    """A reload that waits for one new model."""

    def setUp(self) -> None:
        """Makes the folder of the model."""
        super().setUp()
        self.folder = self.create_tempdir().full_path
        os.makedirs(f"{self.folder}/new/1")
        os.makedirs(f"{self.folder}/slow/1")
        self.served = _Served()

    def _reload(
        self,
        *names: str,
        unwanted: call.Unwanted | None = None,
        policy: storage_path_config.VersionPolicy = _LATEST,
    ) -> None:
        reload_config.reload(
            self.served,  # type: ignore[arg-type]
            tuple(
                model_configs.ModelConfig(name, f"{self.folder}/{name}", policy)
                for name in names
            ),
            5.0,
            unwanted,
        )

    def test_model_that_becomes_available_ends_the_wait(self) -> None:
        """An older version is enough, whatever becomes of the newest one."""
        error = errors.InvalidArgumentError("broken")
        self.served.events = [
            [],
            [_state(2, _State.LOADING)],
            [_state(1, _State.AVAILABLE), _state(2, _State.END, error)],
        ]
        self._reload("new")

    @parameterized.named_parameters(
        ("failed", [_state(1, _State.END, errors.DataLossError("broken"))]),
        (
            "older_one_gone",
            [
                _state(1, _State.END),
                _state(2, _State.END, errors.DataLossError("broken")),
            ],
        ),
    )
    def test_model_that_failed_ends_the_wait(
        self, states: list[servable.ServableState]
    ) -> None:
        """The error says which model and why."""
        self.served.events = [states]
        with self.assertRaisesRegex(
            errors.FailedPreconditionError, "model new .*DATA_LOSS: broken"
        ):
            self._reload("new")

    @parameterized.parameters(("new", "slow"), ("slow", "new"))
    def test_failure_is_told_while_another_model_is_loaded(
        self, *names: str
    ) -> None:
        """The other one may never be loaded."""
        error = errors.DataLossError("broken")
        self.served.events = [[], [_state(1, _State.END, error)], []]
        with self.assertRaisesRegex(
            errors.FailedPreconditionError, "model new .*DATA_LOSS: broken"
        ):
            self._reload(*names)

    def test_failure_counts_though_the_model_is_tried_again(self) -> None:
        """Its state may be another one by the time that the reload ends."""
        error = errors.DataLossError("broken")
        self.served.events = [[_state(1, _State.END, error)]]
        self.served.next_states = [_state(1, _State.LOADING)]
        with self.assertRaisesRegex(
            errors.FailedPreconditionError, "model new .*DATA_LOSS: broken"
        ):
            self._reload("new")

    def test_model_that_takes_too_long_is_an_error(self) -> None:
        """The error says how long it may take, and how far it has come."""
        self.served.events = [[_state(1, _State.LOADING)]]
        with self.assertRaisesRegex(
            errors.DeadlineExceededError, "model new .*within 5 s.*LOADING"
        ):
            self._reload("new")

    def test_model_that_is_taken_out_is_an_error(self) -> None:
        """Whoever waits for it learns that it will not come."""
        self.served.events = [[]]
        self.served.removed = {"new"}
        with self.assertRaises(errors.CancelledError):
            self._reload("new")

    def test_reload_that_nobody_waits_for_ends(self) -> None:
        """The model goes on; its end has the reason of whoever left."""
        self.served.events = [[_state(1, _State.LOADING)]]
        unwanted = call.Unwanted()
        unwanted.set_exception(errors.CancelledError("The caller has left."))
        with self.assertRaisesRegex(errors.CancelledError, "caller has left"):
            self._reload("new", unwanted=unwanted)

    def test_reload_that_is_done_is_a_success_to_the_last(self) -> None:
        """It does not matter that somebody left meanwhile."""
        self.served.events = [[_state(1, _State.AVAILABLE)]]
        unwanted = call.Unwanted()
        unwanted.set_exception(errors.CancelledError("The caller has left."))
        self._reload("new", unwanted=unwanted)

    def test_model_without_a_version_is_not_waited_for(self) -> None:
        """The error names its folder at once."""
        with self.assertRaisesRegex(
            errors.FailedPreconditionError, "model lost must hold a version"
        ):
            self._reload("lost")

    @parameterized.named_parameters(
        ("none", ()), ("missing", (7, 8)), ("a_file", (2,))
    )
    def test_version_that_is_not_there_is_not_waited_for(
        self, versions: tuple[int, ...]
    ) -> None:
        """The policy chooses none of the versions that there are."""
        self.create_tempfile(f"{self.folder}/new/2")
        policy = storage_path_config.Specific(versions)
        with self.assertRaisesRegex(
            errors.FailedPreconditionError,
            r"model new must hold a version that its policy chooses; got \[1\]",
        ):
            self._reload("new", policy=policy)
        self.served.events = [[_state(1, _State.AVAILABLE)]]
        self._reload("new", policy=storage_path_config.Specific((1, 7)))

    def test_each_event_costs_the_same_however_many_models(self) -> None:
        """A thousand models that load do not cost a million looks."""
        names = [f"m{number}" for number in range(100)]
        for name in names:
            os.makedirs(f"{self.folder}/{name}/1")
        self.served.events = [[]] * 100 + [[_state(1, _State.AVAILABLE)]]
        self._reload("new", *names)
        self.assertLess(self.served.num_looks, 500)


if __name__ == "__main__":
    absltest.main()
