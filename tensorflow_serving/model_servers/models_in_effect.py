"""The configuration that a server follows, and how far its start is."""

import dataclasses
from collections.abc import KeysView

from typing_extensions import Self

from tensorflow_serving.core import servable
from tensorflow_serving.model_servers import model_configs, version_labels


@dataclasses.dataclass(frozen=True)
class ModelsInEffect:
    """The models of a configuration, and those of the first that are open.

    The start is over once each of the first models has been loaded, has failed
    or is no longer configured, here and in all that serve the same models.
    """

    models: model_configs.Models
    # Their names, in order. They are asked for at each event.
    names: KeysView[str]
    labels: version_labels.Labels
    # The names of first models that have neither been loaded nor failed.
    starting: frozenset[str]
    # Whether the start of others that serve the same models is not over.
    are_others_starting: bool = False

    @classmethod
    def first(
        cls,
        models: model_configs.Models,
        labels: version_labels.Labels,
        *,
        is_one_of_several: bool,
    ) -> Self:
        """Returns the state in which a server starts."""
        names = model_configs.name_keys(models)
        return cls(models, names, labels, frozenset(names), is_one_of_several)

    @property
    def is_starting(self) -> bool:
        """Whether the start is not over, here or in others."""
        return bool(self.starting) or self.are_others_starting

    def replaced(
        self, models: model_configs.Models, labels: version_labels.Labels
    ) -> Self:
        """Returns the state with another configuration."""
        names = model_configs.name_keys(models)
        return dataclasses.replace(
            self,
            models=models,
            names=names,
            labels=labels,
            starting=self.starting.intersection(names),
        )

    def recorded(self, state: servable.ServableState) -> Self:
        """Returns the state after a version has entered a state."""
        is_known = state.is_available or state.has_failed
        if not is_known or state.id.name not in self.starting:
            return self
        return dataclasses.replace(
            self, starting=self.starting - {state.id.name}
        )

    def others_started(self) -> Self:
        """Returns the state after the start of all others is over."""
        return dataclasses.replace(self, are_others_starting=False)
