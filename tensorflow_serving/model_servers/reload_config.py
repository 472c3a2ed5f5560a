"""Other models for a server that runs, and the wait for those that are new."""

import os
from collections.abc import Mapping

from tensorflow_serving.core import servable
from tensorflow_serving.model_servers import model_configs, served_models
from tensorflow_serving.rpc import call
from tensorflow_serving.util import errors, version_name

_AVAILABLE = servable.ManagerState.AVAILABLE

_States = Mapping[int, servable.ServableState]


def reload(
    served: served_models.ServedModels,
    models: model_configs.Models,
    timeout_seconds: float,
    unwanted: call.Unwanted | None = None,
) -> None:
    """Serves other models from now on, and waits for those that are new.

    Args:
      served: Serves them.
      models: All models to serve.
      timeout_seconds: How long new models may take; 0 for any time.
      unwanted: Ends with an error once nobody waits any longer; None: somebody
        always does.

    Raises:
      FailedPreconditionError: See ServedModels.update(). Or a new model could
        not be loaded; the others are served, and it is tried again. Permanent.
      DeadlineExceededError: A new model took longer; it is still being loaded.
        Transient.
      CancelledError: The server stops, or another call has taken a new model
        out.
      UnavailableError: See ServedModels.update(). Transient.

    An error that unwanted ends with is raised as well; the models are served
    all the same.
    """
    new = served.update(models)
    for model in new:
        _require_version(model)
    names = model_configs.names(new)
    unsettled = list(names)

    def are_settled() -> bool:
        # Looks at one model for each event, not at all of them.
        while unsettled and _is_settled(served, unsettled[-1]):
            unsettled.pop()
        return not unsettled

    served.wait_until(are_settled, timeout_seconds, unwanted)
    if unsettled and unwanted is not None and unwanted.done():
        unwanted.result()
    for name in names:
        _require_available(served, name, timeout_seconds)


def _is_settled(served: served_models.ServedModels, name: str) -> bool:
    """Returns whether nobody needs to wait for a model any longer."""
    states = _states(served, name)
    return (
        name not in served.model_names
        or _are_available(states)
        # It may become available by itself, as half a copy does; but whoever
        # asked for the model wants to know that it failed now.
        or (bool(states) and states[max(states)].has_failed)
    )


def _require_available(
    served: served_models.ServedModels, name: str, timeout_seconds: float
) -> None:
    """Raises what reload() says of a model that has no version to serve."""
    states = _states(served, name)
    if _are_available(states):
        return
    newest = states[max(states)] if states else None
    if name in served.model_names and newest and newest.has_failed:
        raise errors.FailedPreconditionError(
            f"model {name} must be AVAILABLE; got {newest}. The other models "
            "are served"
        )
    if name in served.model_names and timeout_seconds:
        raise errors.DeadlineExceededError(
            f"model {name} must be AVAILABLE within {timeout_seconds:g} s; its "
            f"newest version is {newest or 'unknown'}"
        )
    raise errors.CancelledError(f"model {name} is not to be served any longer")


def _states(served: served_models.ServedModels, name: str) -> _States:
    try:
        return served.states(name)
    except errors.NotFoundError:
        return {}


def _are_available(states: _States) -> bool:
    return any(each.manager_state is _AVAILABLE for each in states.values())


def _require_version(model: model_configs.ModelConfig) -> None:
    """Checks that somebody who waits for a model does so for something.

    Raises:
      FailedPreconditionError: The model has no version. Transient: it is loaded
        once there is one.
    """
    try:
        names = os.listdir(model.base_path)
    except OSError as error:
        cause = errors.reason(error)
    else:
        if any(version_name.parse(name) is not None for name in names):
            return
        cause = "it holds no version, a folder such as 00000001"
    raise errors.FailedPreconditionError(
        f"base path of model {model.name} must hold a version; got "
        f"{model.base_path}: {cause}. The other models are served, and this "
        "one is once it has a version"
    )
