"""The models that all workers serve alike, as a value."""

import dataclasses
from collections.abc import KeysView, Mapping

from typing_extensions import Self

from tensorflow_serving.model_servers import worker_notes, worker_states


@dataclasses.dataclass(frozen=True)
class ModelsInWorkers:
    """The notes of all workers, taken together."""

    config: worker_notes.Config = worker_notes.Config()
    # Each model that is in the configuration, or was in it before.
    by_name: Mapping[str, worker_notes.ModelInWorkers] = dataclasses.field(
        default_factory=dict
    )

    @property
    def names(self) -> KeysView[str]:
        """The names of the models of the configuration."""
        return self.config.names

    @property
    def known_names(self) -> frozenset[str]:
        """The names of all models."""
        return frozenset(self.by_name).union(self.names)

    @property
    def is_level(self) -> bool:
        """Whether this worker has what others serve."""
        return not any(model.is_behind for model in self.by_name.values())

    def states(self, name: str) -> worker_states.States:
        """Returns the states of a model; empty if nothing is known of it."""
        model = self.by_name.get(name)
        return {} if model is None else model.states

    def is_available(self, name: str, version: int) -> bool:
        """Returns whether a version answers requests in every worker."""
        state = self.states(name).get(version)
        return state is not None and state.is_available

    def updated(
        self,
        config: worker_notes.Config,
        models: Mapping[str, worker_notes.ModelInWorkers],
    ) -> Self:
        """Returns the value with another configuration, and some models."""
        return dataclasses.replace(
            self, config=config, by_name={**self.by_name, **models}
        )
