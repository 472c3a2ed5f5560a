"""Other models for a server that runs, and the wait for those that are new."""

import collections
from collections.abc import Mapping, Sequence
from typing import Final

from tensorflow_serving.core import servable
from tensorflow_serving.model_servers import model_configs, served_models
from tensorflow_serving.rpc import call
from tensorflow_serving.sources.storage_path import version_folder
from tensorflow_serving.util import errors

# How many versions that do not help an error shows, the newest ones.
_MAX_SHOWN: Final = 5


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
    wait = _Wait(served, model_configs.names(new))
    with served.news.subscribe(wait.follow):
        served.news.wait_until(wait.is_over, timeout_seconds, unwanted)
    if wait.error is not None:
        raise wait.error
    if wait.open_names and unwanted is not None and unwanted.done():
        unwanted.result()
    for name in wait.open_names:
        _require_available(served, name, timeout_seconds)


class _Wait:
    """The wait for new models, until all are available or one is not to be.

    A model is looked at when there is news of it, so that a thousand models
    that load do not cost a million looks. What is seen then counts: one that
    has failed may be tried again at once.
    """

    def __init__(
        self, served: served_models.ServedModels, names: Sequence[str]
    ) -> None:
        """Takes the names of the models, none of which was looked at."""
        self._served = served
        # Those that are neither available nor have failed, in order.
        self.open_names = dict.fromkeys(names)
        # Why one of them is not to be.
        self.error: errors.ServingError | None = None
        self._news = collections.deque(names)

    def follow(self, name: str) -> None:
        """Takes news of a model, on any thread."""
        self._news.append(name)

    def is_over(self) -> bool:
        """Returns whether nobody needs to wait any longer."""
        while self._news and self.error is None:
            name = self._news.popleft()
            if name in self.open_names:
                self._look_at(name)
        return self.error is not None or not self.open_names

    def _look_at(self, name: str) -> None:
        states = _states(self._served, name)
        if _are_available(states):
            del self.open_names[name]
        # It may become available by itself, as half a copy does; but whoever
        # asked for the model wants to know that it failed now.
        elif name in self._served.model_names:
            self.error = _failure(name, states)
        else:
            self.error = _taken_out_error(name)


def _require_available(
    served: served_models.ServedModels, name: str, timeout_seconds: float
) -> None:
    """Raises what reload() says of a model that was waited for in vain."""
    states = _states(served, name)
    if _are_available(states):
        return
    if timeout_seconds and name in served.model_names:
        newest = states[max(states)] if states else "unknown"
        raise errors.DeadlineExceededError(
            f"model {name} must be AVAILABLE within {timeout_seconds:g} s; its "
            f"newest version is {newest}"
        )
    raise _taken_out_error(name)


def _failure(name: str, states: _States) -> errors.ServingError | None:
    """Returns why a model cannot be loaded; None if that may still be."""
    newest = states[max(states)] if states else None
    if newest is None or not newest.has_failed:
        return None
    return errors.FailedPreconditionError(
        f"model {name} must be AVAILABLE; got {newest}. The other models "
        "are served"
    )


def _taken_out_error(name: str) -> errors.ServingError:
    return errors.CancelledError(f"model {name} is not to be served any longer")


def _states(served: served_models.ServedModels, name: str) -> _States:
    try:
        return served.states(name)
    except errors.NotFoundError:
        return {}


def _are_available(states: _States) -> bool:
    return any(each.is_available for each in states.values())


def _require_version(model: model_configs.ModelConfig) -> None:
    """Checks that somebody who waits for a model does so for something.

    Raises:
      FailedPreconditionError: The model has no version that it is to serve.
        Transient: it is loaded once there is one.
    """
    try:
        found = version_folder.find_versions(model.base_path).paths
    except errors.ServingError as error:
        cause = str(error)
    else:
        wanted = model_configs.wanted_versions(model.version_policy, found)
        if not found.keys().isdisjoint(wanted):
            return
        cause = (
            f"got {sorted(found)[-_MAX_SHOWN:]} in {model.base_path}"
            if found
            else f"got none: {model.base_path}"
        )
    raise errors.FailedPreconditionError(
        f"base path of model {model.name} must hold a version that its policy "
        f"chooses; {cause}. The other models are served, and this one is once "
        "it has such a version"
    )
