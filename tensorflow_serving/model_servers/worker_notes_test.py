"""Tests for worker_notes: a table of what notes of workers say."""

from collections.abc import Sequence

from absl.testing import absltest, parameterized

from tensorflow_serving.core import servable
from tensorflow_serving.model_servers import (
    model_configs,
    worker_notes,
    worker_states,
)
from tensorflow_serving.rpc import board

_State = servable.ManagerState


def _packed(state: _State) -> bytes:
    """Returns the note of a worker with version 1 in a state."""
    servable_id = servable.ServableId("m", 1)
    return worker_states.pack({1: servable.ServableState(servable_id, state)})


_SERVES = _packed(_State.AVAILABLE)
_LOADS = _packed(_State.LOADING)
_FAILS = _packed(_State.END)


class ConfigTest(parameterized.TestCase):
    """Configurations, and who has taken them."""

    def test_models_are_those_that_were_packed(self) -> None:
        """A note has the models, and says how often it was written."""
        models = (model_configs.ModelConfig("m", "/models/m"),)
        note = board.CommonNote(worker_notes.pack(models), 3)
        self.assertEqual(
            worker_notes.Config.of(note), worker_notes.Config(models, 3)
        )

    def test_names_are_found_once_for_a_configuration(self) -> None:
        """They are asked for at each event; ten thousand models have many."""
        models = (model_configs.ModelConfig("m", "/m"),)
        config = worker_notes.Config(models, 1)
        self.assertIs(config.names, config.names)
        self.assertEqual([*config.names], ["m"])

    def test_board_without_a_configuration_has_no_models(self) -> None:
        """A note that was never written is one without models."""
        self.assertEqual(
            worker_notes.Config.of(board.CommonNote()), worker_notes.Config()
        )

    @parameterized.named_parameters(
        ("all have it", 2, [b"2", b"2"], []),
        ("one is ahead", 2, [b"3", b"2"], []),
        ("one has the one before", 2, [b"2", b"1"], [1]),
        ("one does not run", 2, [None, b"2"], [0]),
        ("one has just begun", 2, [b"0", None], [0, 1]),
        ("none was written", 0, [None, b"0"], []),
    )
    def test_worker_with_an_older_one_is_late(
        self, revision: int, taken: Sequence[bytes | None], late: Sequence[int]
    ) -> None:
        """A worker is late until it has taken this one or a later one."""
        config = worker_notes.Config((), revision)
        self.assertEqual(config.late_workers(taken), late)


class StuckTest(parameterized.TestCase):
    """The versions of a model that are stuck."""

    def test_versions_are_those_that_were_packed(self) -> None:
        """A version counts if it is stuck in one of the workers."""
        notes = [worker_notes.pack_stuck({12, 3}), worker_notes.pack_stuck({4})]
        self.assertEqual(worker_notes.stuck_versions(notes), {3, 4, 12})

    @parameterized.named_parameters(
        ("none was written", [None, None]),
        ("none is stuck any longer", [worker_notes.pack_stuck(()), None]),
    )
    def test_no_version_is_stuck_unless_a_note_says_so(
        self, notes: Sequence[bytes | None]
    ) -> None:
        """A worker that does not run, or has no trouble, has no such note."""
        self.assertEqual(worker_notes.stuck_versions(notes), set())

    def test_notes_of_a_model_are_known_by_their_keys(self) -> None:
        """The states of a model and its stuck versions are news of it."""
        keys = [
            worker_notes.model_key("a"),
            worker_notes.stuck_key("b"),
            worker_notes.CONFIG,
        ]
        self.assertEqual(worker_notes.model_names(keys), {"a", "b"})


class ModelInWorkersTest(parameterized.TestCase):
    """A model in two workers, as the first one sees it."""

    @parameterized.named_parameters(
        ("both serve", _SERVES, _SERVES, _State.AVAILABLE, False),
        ("this one loads", _LOADS, _SERVES, _State.LOADING, True),
        ("the other one loads", _SERVES, _LOADS, _State.LOADING, False),
        ("both load", _LOADS, _LOADS, _State.LOADING, False),
        ("this one does not know it", None, _SERVES, _State.START, True),
        ("the other one does not know it", _SERVES, b"", _State.START, False),
        ("this one has unloaded it", _FAILS, _SERVES, _State.UNLOADING, True),
    )
    def test_states_are_merged(
        self,
        own: bytes | None,
        other: bytes,
        state: _State,
        is_behind: bool,
    ) -> None:
        """The least advanced state counts; who lacks what is served is behind.

        A worker without a note of the model has none of its versions.
        """
        model = worker_notes.ModelInWorkers.of(
            "m", 0, [b"1", b"1"], [own, other]
        )
        self.assertEqual(model.states[1].manager_state, state)
        self.assertEqual(model.is_behind, is_behind)

    def test_worker_that_does_not_run_has_nothing(self) -> None:
        """Notes of a worker that has crashed do not count any longer."""
        model = worker_notes.ModelInWorkers.of(
            "m", 1, [None, b"1"], [_SERVES, _SERVES]
        )
        self.assertIs(model.states[1].manager_state, _State.START)
        self.assertFalse(model.is_behind)

    def test_model_without_notes_has_no_states(self) -> None:
        """A model that nobody has heard of is empty, and nobody is behind."""
        self.assertEqual(
            worker_notes.ModelInWorkers.of("m", 0, [b"1", None], [None, None]),
            worker_notes.ModelInWorkers({}, False),
        )


class KeysTest(parameterized.TestCase):
    """The keys of notes, and the note of the start."""

    def test_models_are_found_by_their_keys(self) -> None:
        """A model may have a name like that of another note."""
        keys = {
            worker_notes.CONFIG,
            worker_notes.START,
            worker_notes.model_key("m"),
            worker_notes.model_key("config"),
        }
        self.assertEqual(worker_notes.model_names(keys), {"m", "config"})

    @parameterized.parameters(
        ([worker_notes.OVER] * 2, True),
        ([worker_notes.OVER, None], False),
        ([None, None], False),
    )
    def test_start_is_over_once_all_workers_say_so(
        self, started: Sequence[bytes | None], is_over: bool
    ) -> None:
        """One worker that has not loaded its first models is enough to wait."""
        self.assertEqual(worker_notes.is_start_over(started), is_over)


if __name__ == "__main__":
    absltest.main()
