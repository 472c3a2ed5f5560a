"""GetModelStatus: what became of the versions of a model."""

from collections.abc import Mapping
from typing import Final

from tensorflow_serving.apis import get_model_status_pb2, status_pb2
from tensorflow_serving.core import servable
from tensorflow_serving.model_servers import served_models
from tensorflow_serving.util import errors

_Status = get_model_status_pb2.ModelVersionStatus

_STATES: Final = {
    servable.ManagerState.START: _Status.START,
    servable.ManagerState.LOADING: _Status.LOADING,
    servable.ManagerState.AVAILABLE: _Status.AVAILABLE,
    servable.ManagerState.UNLOADING: _Status.UNLOADING,
    servable.ManagerState.END: _Status.END,
}
MANAGER_STATES: Final = {number: state for state, number in _STATES.items()}


def get_model_status(
    served: served_models.ServedModels,
    request: get_model_status_pb2.GetModelStatusRequest,
) -> get_model_status_pb2.GetModelStatusResponse:
    """Returns the states of the versions of a model, highest version first.

    Version 0 stands for all of them, unless the model has one of that number.

    Raises:
      InvalidArgumentError: The request names no model. Permanent.
      NotFoundError: Nothing is known of the model, or of the version that the
        request names; or the model has no version. Permanent.
    """
    if not request.HasField("model_spec"):
        raise errors.InvalidArgumentError("Missing ModelSpec")
    spec = request.model_spec
    if not spec.name:
        raise errors.InvalidArgumentError("ModelSpec has no name specified")
    states = served.states(spec.name)
    if spec.WhichOneof("version_choice") == "version":
        version = spec.version.value
        if version in states:
            states = {version: states[version]}
        elif version:
            raise errors.NotFoundError(
                f"Could not find version {version} of model {spec.name}"
            )
    if not states:
        # Clients look at the first state without asking whether there is one.
        raise errors.NotFoundError(
            f"Could not find any versions of model {spec.name}"
        )
    return response(states)


def response(
    states: Mapping[int, servable.ServableState],
) -> get_model_status_pb2.GetModelStatusResponse:
    """Returns states by version in the form of the protocol.

    The highest version is the first one, as in the original: there are clients
    that look at no other.
    """
    message = get_model_status_pb2.GetModelStatusResponse()
    for version, state in sorted(states.items(), reverse=True):
        message.model_version_status.add(
            version=version,
            state=_STATES[state.manager_state],
            status=_status_of(state),
        )
    return message


def _status_of(state: servable.ServableState) -> status_pb2.StatusProto:
    """Returns the status of a version; one with a warning is OK."""
    if state.warning and state.error is None:
        return status_pb2.StatusProto(error_message=state.warning)
    return status(state.error)


def status(error: errors.ServingError | None) -> status_pb2.StatusProto:
    """Returns an error in the form of the protocol; None is OK."""
    if error is None:
        return status_pb2.StatusProto()
    return status_pb2.StatusProto(
        error_code=int(error.code),  # type: ignore[arg-type]
        error_message=errors.short_text(error),
    )
