"""Tests for get_model_status."""

import dataclasses
from collections.abc import Mapping

from absl.testing import absltest, parameterized

from tensorflow_serving.apis import get_model_status_pb2, model_pb2
from tensorflow_serving.core import servable
from tensorflow_serving.model_servers import get_model_status
from tensorflow_serving.util import errors

_Status = get_model_status_pb2.ModelVersionStatus


def _state(
    version: int,
    state: servable.ManagerState,
    error: errors.ServingError | None = None,
) -> servable.ServableState:
    return servable.ServableState(
        servable.ServableId("m", version), state, error
    )


class _Core:
    """Knows the states of one model, as a ServerCore does."""

    def __init__(self, *states: servable.ServableState) -> None:
        self._states = {state.id.version: state for state in states}

    def states(self, name: str) -> Mapping[int, servable.ServableState]:
        """Returns the states of the model, and refuses any other name."""
        if name != "m":
            raise errors.NotFoundError("There is no such model.")
        return self._states


def _ask(
    core: _Core, spec: model_pb2.ModelSpec
) -> list[get_model_status_pb2.ModelVersionStatus]:
    response = get_model_status.get_model_status(
        core,  # type: ignore[arg-type]
        get_model_status_pb2.GetModelStatusRequest(model_spec=spec),
    )
    return list(response.model_version_status)


def _spec(version: int) -> model_pb2.ModelSpec:
    spec = model_pb2.ModelSpec(name="m")
    spec.version.value = version
    return spec


class GetModelStatusTest(parameterized.TestCase):
    """Tests with a core that knows one model."""

    @parameterized.named_parameters(
        (state.name, state, code)
        for state, code in (
            (servable.ManagerState.START, _Status.START),
            (servable.ManagerState.LOADING, _Status.LOADING),
            (servable.ManagerState.AVAILABLE, _Status.AVAILABLE),
            (servable.ManagerState.UNLOADING, _Status.UNLOADING),
            (servable.ManagerState.END, _Status.END),
        )
    )
    def test_state_has_the_number_of_the_protocol(
        self, state: servable.ManagerState, code: int
    ) -> None:
        """Each state of a manager is a state of the protocol."""
        (status,) = _ask(_Core(_state(1, state)), model_pb2.ModelSpec(name="m"))
        self.assertEqual((status.version, status.state), (1, code))
        self.assertEqual(status.status.error_code, 0)

    def test_error_of_a_version_is_reported(self) -> None:
        """A version that failed to load carries the code and the text."""
        error = errors.NotFoundError("There is no such file.")
        (status,) = _ask(
            _Core(_state(1, servable.ManagerState.END, error)), _spec(1)
        )
        self.assertEqual(status.status.error_code, int(error.code))
        self.assertEqual(status.status.error_message, "There is no such file.")

    def test_warning_of_a_version_is_the_text_of_an_ok(self) -> None:
        """Clients that look at the code only are not alarmed."""
        state = dataclasses.replace(
            _state(1, servable.ManagerState.AVAILABLE), warning="It is cold."
        )
        (status,) = _ask(_Core(state), _spec(1))
        self.assertEqual(status.status.error_code, 0)
        self.assertEqual(status.status.error_message, "It is cold.")

    def test_version_of_the_request_is_the_only_one_reported(self) -> None:
        """Other versions of the model do not appear in the response."""
        available = servable.ManagerState.AVAILABLE
        core = _Core(_state(1, available), _state(2, available))
        self.assertEqual([each.version for each in _ask(core, _spec(2))], [2])

    def test_highest_version_is_the_first(self) -> None:
        """Clients that look at one version only see that one."""
        core = _Core(
            _state(9, servable.ManagerState.AVAILABLE),
            _state(8, servable.ManagerState.END),
            _state(10, servable.ManagerState.LOADING),
        )
        found = _ask(core, model_pb2.ModelSpec(name="m"))
        self.assertEqual([each.version for each in found], [10, 9, 8])

    def test_model_without_a_version_is_not_found(self) -> None:
        """Clients find a state in whatever is not an error."""
        for spec in (model_pb2.ModelSpec(name="m"), _spec(0)):
            with self.assertRaisesRegex(
                errors.NotFoundError, "^Could not find any versions of model m$"
            ):
                _ask(_Core(), spec)

    def test_version_zero_is_all_versions_unless_it_is_one(self) -> None:
        """Clients of other servers send it for no version in particular."""
        available = servable.ManagerState.AVAILABLE
        for versions, reported in (([1, 2], [2, 1]), ([0, 1], [0])):
            core = _Core(*(_state(each, available) for each in versions))
            got = [each.version for each in _ask(core, _spec(0))]
            self.assertEqual(got, reported)

    def test_version_that_nobody_has_seen_is_not_found(self) -> None:
        """The text is the one that clients of upstream know."""
        core = _Core(_state(1, servable.ManagerState.AVAILABLE))
        with self.assertRaisesRegex(
            errors.NotFoundError, "Could not find version 9 of model m"
        ):
            _ask(core, _spec(9))

    def test_unknown_model_is_not_found(self) -> None:
        """The refusal of the core reaches the caller."""
        with self.assertRaises(errors.NotFoundError):
            _ask(_Core(), model_pb2.ModelSpec(name="n"))

    def test_model_without_a_name_is_refused(self) -> None:
        """A request must name a model."""
        with self.assertRaisesRegex(
            errors.InvalidArgumentError, "ModelSpec has no name specified"
        ):
            _ask(_Core(), model_pb2.ModelSpec())

    def test_request_without_a_model_is_refused(self) -> None:
        """The text is the one that clients of upstream know."""
        with self.assertRaisesRegex(
            errors.InvalidArgumentError, "Missing ModelSpec"
        ):
            get_model_status.get_model_status(
                _Core(),  # type: ignore[arg-type]
                get_model_status_pb2.GetModelStatusRequest(),
            )


if __name__ == "__main__":
    absltest.main()
