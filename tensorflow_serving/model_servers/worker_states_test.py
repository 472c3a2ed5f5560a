"""Tests for worker_states."""

import dataclasses

from absl.testing import absltest, parameterized

from tensorflow_serving.core import servable
from tensorflow_serving.model_servers import worker_states
from tensorflow_serving.util import errors

_State = servable.ManagerState
_BROKEN = errors.DataLossError("broken")


def _state(
    version: int, state: _State, error: errors.ServingError | None = None
) -> servable.ServableState:
    return servable.ServableState(
        servable.ServableId("m", version), state, error
    )


def _states(*states: servable.ServableState) -> worker_states.States:
    return {each.id.version: each for each in states}


def _of(state: _State | None) -> worker_states.States | None:
    """Returns the states of a worker with version 1; None if it is gone."""
    return None if state is None else _states(_state(1, state))


class MergedTest(parameterized.TestCase):
    """The states of two workers as those of one."""

    @parameterized.parameters(
        (_State.AVAILABLE, _State.AVAILABLE, _State.AVAILABLE),
        (_State.START, _State.AVAILABLE, _State.START),
        (_State.START, _State.LOADING, _State.START),
        (_State.LOADING, _State.AVAILABLE, _State.LOADING),
        (_State.LOADING, _State.END, _State.LOADING),
        (_State.AVAILABLE, _State.UNLOADING, _State.UNLOADING),
        (_State.AVAILABLE, _State.END, _State.UNLOADING),
        (_State.UNLOADING, _State.END, _State.UNLOADING),
        (_State.END, _State.END, _State.END),
        (_State.AVAILABLE, None, _State.START),
        (_State.LOADING, None, _State.START),
        (_State.END, None, _State.END),
    )
    def test_state_is_the_least_advanced_one(
        self, first: _State, second: _State | None, wanted: _State
    ) -> None:
        """The order of the workers makes no difference."""
        for states in ((first, second), (second, first)):
            merged = worker_states.merged("m", [*map(_of, states)])
            self.assertEqual(merged[1].manager_state, wanted, states)

    def test_version_that_one_does_not_know_is_about_to_load(self) -> None:
        """A worker that has not looked yet will find it."""
        new = _state(2, _State.AVAILABLE)
        merged = worker_states.merged("m", [_states(new), {}])
        self.assertEqual(merged, {2: _state(2, _State.START)})

    def test_version_that_one_has_forgotten_is_gone(self) -> None:
        """A worker that was restarted does not know what was before."""
        old = _state(1, _State.END)
        self.assertEqual(
            worker_states.merged("m", [_states(old), {}]), {1: old}
        )

    def test_versions_are_merged_one_by_one(self) -> None:
        """The lowest one comes first."""
        merged = worker_states.merged(
            "m",
            [
                _states(_state(2, _State.LOADING), _state(1, _State.AVAILABLE)),
                _states(_state(1, _State.AVAILABLE), _state(2, _State.START)),
            ],
        )
        self.assertEqual(
            [*merged.values()],
            [_state(1, _State.AVAILABLE), _state(2, _State.START)],
        )

    @parameterized.parameters(_State.AVAILABLE, _State.LOADING)
    def test_error_names_the_worker_that_failed(self, other: _State) -> None:
        """It keeps its code."""
        merged = worker_states.merged(
            "m",
            [
                _states(_state(1, other)),
                _states(_state(1, _State.END, _BROKEN)),
            ],
        )
        error = merged[1].error
        self.assertIsInstance(error, errors.DataLossError)
        self.assertEqual(str(error), "worker 1: broken")

    def test_error_of_all_workers_names_none(self) -> None:
        """The text is the same as without workers."""
        failed = _states(_state(1, _State.END, _BROKEN))
        merged = worker_states.merged("m", [failed, failed])
        self.assertEqual(merged, failed)

    def test_warning_of_a_worker_is_that_of_all(self) -> None:
        """A version that is cold in one worker is AVAILABLE with a warning."""
        cold = dataclasses.replace(
            _state(1, _State.AVAILABLE), warning="It is cold."
        )
        merged = worker_states.merged(
            "m", [_of(_State.AVAILABLE), _states(cold)]
        )
        self.assertEqual(merged, {1: cold})

    def test_worker_that_does_not_run_is_named(self) -> None:
        """Whoever asks learns why the version is not available."""
        merged = worker_states.merged("m", [_of(_State.AVAILABLE), None])
        self.assertIsInstance(merged[1].error, errors.UnavailableError)
        self.assertRegex(str(merged[1].error), "worker 1")


class IsBehindTest(parameterized.TestCase):
    """Whether a worker has what another one serves."""

    @parameterized.parameters(
        (_State.AVAILABLE, None, False),
        (_State.END, _BROKEN, False),
        (_State.LOADING, None, True),
        (_State.END, None, True),
    )
    def test_version_of_another_worker_is_waited_for(
        self, own: _State, error: errors.ServingError | None, wanted: bool
    ) -> None:
        """If it was loaded or has failed, there is nothing to wait for."""
        self.assertEqual(
            worker_states.is_behind(
                _states(_state(1, own, error)), [_of(_State.AVAILABLE), None]
            ),
            wanted,
        )

    def test_version_that_nobody_serves_is_not_waited_for(self) -> None:
        """A load that hangs in all workers holds up no restart."""
        self.assertFalse(worker_states.is_behind({}, [_of(_State.LOADING)]))


class PackTest(absltest.TestCase):
    """States on their way to another process."""

    def test_states_come_out_as_they_went_in(self) -> None:
        """Errors keep code and text, and warnings their text."""
        states = _states(
            dataclasses.replace(
                _state(8, _State.AVAILABLE), warning="It is cold."
            ),
            *(_state(number, each) for number, each in enumerate(_State)),
            _state(9, _State.END, _BROKEN),
        )
        unpacked = worker_states.unpack("m", worker_states.pack(states))
        self.assertEqual(
            {version: str(each) for version, each in unpacked.items()},
            {version: str(each) for version, each in states.items()},
        )


if __name__ == "__main__":
    absltest.main()
