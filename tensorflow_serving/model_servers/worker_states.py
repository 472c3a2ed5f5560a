"""The states of versions in several workers, as those of one server."""

from collections.abc import Mapping, Sequence
from typing import Final

from tensorflow_serving.apis import get_model_status_pb2
from tensorflow_serving.core import servable
from tensorflow_serving.model_servers import get_model_status
from tensorflow_serving.util import errors

States = Mapping[int, servable.ServableState]

_State = servable.ManagerState
# From the one that is furthest from answering requests. A version that goes
# away was available before: it is on its way out of all workers.
_ORDER: Final = (_State.START, _State.LOADING, _State.UNLOADING, _State.END)
_COMING: Final = {_State.START, _State.LOADING, _State.AVAILABLE}


def merged(name: str, by_worker: Sequence[States | None]) -> States:
    """Returns the states of a model in all workers taken together.

    A version is AVAILABLE if it is in every worker. If not, its state is the
    least advanced one, and its error is that of a worker that failed.

    Args:
      name: The name of the model.
      by_worker: The states in each worker; None for one that does not run.
    """
    versions = {version for states in by_worker if states for version in states}
    return {
        version: _merged_version(
            servable.ServableId(name, version),
            [states.get(version) if states else None for states in by_worker],
            [states is not None for states in by_worker],
        )
        for version in sorted(versions)
    }


def _merged_version(
    servable_id: servable.ServableId,
    by_worker: Sequence[servable.ServableState | None],
    runs: Sequence[bool],
) -> servable.ServableState:
    known = [each.manager_state for each in by_worker if each]
    is_everywhere = len(known) == len(by_worker)
    if is_everywhere and set(known) == {_State.AVAILABLE}:
        return servable.ServableState(
            servable_id,
            _State.AVAILABLE,
            _error(by_worker),
            # Nearly always that of all: they have the same files.
            max(each.warning for each in by_worker if each),
        )
    is_coming = bool(_COMING & set(known))
    error = _error(by_worker)
    if error is None and is_coming and not all(runs):
        error = errors.UnavailableError(
            f"worker {runs.index(False)} is about to be started"
        )
    if is_coming and not is_everywhere:
        return servable.ServableState(servable_id, _State.START, error)
    least = min(
        (state for state in known if state is not _State.AVAILABLE),
        key=_ORDER.index,
    )
    if least is _State.END and error is None and is_coming:
        least = _State.UNLOADING  # the others follow
    return servable.ServableState(servable_id, least, error)


def _error(
    by_worker: Sequence[servable.ServableState | None],
) -> errors.ServingError | None:
    """Returns the first error, with its worker unless all have the same."""
    found = [each.error if each else None for each in by_worker]
    if len({str(each) for each in found}) == 1:
        return found[0]
    for worker, error in enumerate(found):
        if error is not None:
            return errors.from_code(error.code, f"worker {worker}: {error}")
    return None


def is_behind(own: States, by_worker: Sequence[States | None]) -> bool:
    """Returns whether a worker still has to load what another one serves."""
    for states in by_worker:
        for version, state in (states or {}).items():
            if state.is_available:
                mine = own.get(version)
                if mine is None or not (mine.is_available or mine.has_failed):
                    return True
    return False


def pack(states: States) -> bytes:
    """Returns the states of a model for other processes."""
    return get_model_status.response(states).SerializeToString()


def unpack(name: str, data: bytes) -> States:
    """Returns the states that were packed."""
    response = get_model_status_pb2.GetModelStatusResponse.FromString(data)
    return {
        each.version: servable.ServableState(
            servable.ServableId(name, each.version),
            get_model_status.MANAGER_STATES[each.state],
            errors.from_code(each.status.error_code, each.status.error_message)
            if each.status.error_code
            else None,
            "" if each.status.error_code else each.status.error_message,
        )
        for each in response.model_version_status
    }
