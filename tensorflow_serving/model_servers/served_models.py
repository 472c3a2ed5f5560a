"""The models of a server, for all that shows what became of them."""

import contextlib
from collections.abc import Collection, Mapping, Sequence, Set
from typing import Protocol

from tensorflow_serving.batching import batching_session
from tensorflow_serving.core import servable
from tensorflow_serving.model_servers import model_configs, model_news
from tensorflow_serving.rpc import call
from tensorflow_serving.util import errors

# The counts of the queues of versions, by the name of the signature.
Statistics = Mapping[
    servable.ServableId, Mapping[str, batching_session.Statistics]
]


class ServedModels(Protocol):
    """The models of one process, or those that several processes serve alike.

    Implementations are thread-safe.
    """

    @property
    def models(self) -> model_configs.Models:
        """The models of the configuration."""

    @property
    def model_names(self) -> Collection[str]:
        """The names of the models of the configuration, in order.

        Whether a name is one of them is asked at each event and each error.
        """

    @property
    def news(self) -> model_news.ModelNews:
        """Where to wait for changes, and to subscribe to them.

        There is news of a model when the state of a version has changed, or
        whether it is stuck, or when the configuration has the model from now
        on, or no longer.
        """

    def states(self, name: str) -> Mapping[int, servable.ServableState]:
        """Returns the states of the versions of a model, by version.

        Raises:
          NotFoundError: Nothing is known of such a model. Permanent.
        """

    def stuck_versions(self, name: str) -> Set[int]:
        """Returns the versions of a model whose calls no thread will run.

        They are AVAILABLE all the same. See batch_scheduler.Statistics.
        """

    def update(
        self, models: model_configs.Models
    ) -> Sequence[model_configs.ModelConfig]:
        """Serves other models from now on; returns those that are new.

        Models that are no longer named are unloaded.

        Raises:
          FailedPreconditionError: A label points at a version that is not
            available; nothing has changed. Permanent.
          UnavailableError: A process did not take the models. Transient.
        """

    def reload(
        self,
        models: model_configs.Models,
        unwanted: call.Unwanted | None = None,
    ) -> None:
        """See reload_config.reload()."""


def all_states(
    served: ServedModels,
) -> Mapping[str, Mapping[int, servable.ServableState]]:
    """Returns the states of the versions of all models, by name and version.

    A model that leaves the configuration meanwhile may be missing.
    """
    found = {}
    for name in served.model_names:
        with contextlib.suppress(errors.NotFoundError):
            found[name] = served.states(name)
    return found
