"""Models that are loaded, warmed up and ready to be called.

    base paths -> storage path manager -> source adapter -> handles

Example:
    with LoadedModels(Options(), models, bus, look_for_stuck) as loaded:
        with loaded.handle(servable.ServableRequest.latest("m")) as handle:
            handle.servable.signature_defs
"""

import contextlib
import dataclasses
from collections.abc import Callable, Mapping, Sequence, Set
from typing import Final

from typing_extensions import Self

from tensorflow_serving.batching import run_size
from tensorflow_serving.core import (
    aspired_version_policy,
    aspired_versions_manager,
    basic_manager,
    servable,
    servable_handle,
)
from tensorflow_serving.model_servers import (
    model_batching,
    model_configs,
    served_models,
    warm_up_metrics,
)
from tensorflow_serving.resources import resource_tracker
from tensorflow_serving.servables.tensorflow import (
    model_bundle_factory,
    model_warm_up,
    served_model,
    session_bundle_config_pb2,
    session_bundle_source_adapter,
)
from tensorflow_serving.session_bundle import session as session_lib
from tensorflow_serving.session_bundle import session_bundle
from tensorflow_serving.sources.storage_path import (
    file_system_storage_path_source,
    storage_path_manager,
)
from tensorflow_serving.util import errors, event_bus

Handle = servable_handle.ServableHandle[served_model.ServedModel]


@dataclasses.dataclass(frozen=True)
class Options:
    """How models are loaded.

    Raises:
      InvalidArgumentError: A value is out of range.
    """

    # How sessions are opened; without batching parameters.
    session: session_bundle_config_pb2.SessionBundleConfig = dataclasses.field(
        default_factory=session_bundle_config_pb2.SessionBundleConfig
    )
    # The tags of the graph of a SavedModel.
    tags: tuple[str, ...] = ("serve",)
    batching: model_batching.Options = model_batching.Options()
    manager: basic_manager.Options = basic_manager.Options()
    # How often to look for versions; 0: only at the start.
    file_system_poll_wait_seconds: float = 1.0
    # The bytes that all models may take together; None for no limit.
    max_memory_bytes: int | None = None
    # How versions are warmed up before they serve; None: not at all.
    warm_up: model_warm_up.Options | None = model_warm_up.Options()


class LoadedModels:
    """Keeps versions of models loaded, as a configuration says.

    A context manager that closes itself. Thread-safe.
    """

    def __init__(
        self,
        options: Options,
        models: model_configs.Models,
        states: event_bus.EventBus[servable.ServableState],
        on_stuck: Callable[[], None],
    ) -> None:
        """Starts to look for versions and to load them.

        Args:
          options: See Options.
          models: Which models to load.
          states: Gets each state that a version enters.
          on_stuck: Called when stuck_versions() may have changed.
        """
        self._options = options
        self.warm_ups: Final = warm_up_metrics.WarmUpMetrics()
        # Closed from the last one to the first.
        with contextlib.ExitStack() as stack:
            self._batching = stack.enter_context(
                model_batching.ModelBatching(options.batching, on_stuck)
            )
            factory = stack.enter_context(
                model_bundle_factory.ModelBundleFactory(
                    options.session, options.tags
                )
            )
            adapter = stack.enter_context(
                session_bundle_source_adapter.SessionBundleSourceAdapter(
                    factory, self._served, lambda model: model.warning
                )
            )
            self._versions = stack.enter_context(
                storage_path_manager.StoragePathManager(
                    self._source_config(models),
                    adapter,
                    aspired_versions_manager.Options(
                        aspired_version_policy.availability_preserving_policy,
                        manager=options.manager,
                    ),
                    event_bus=states,
                    resource_tracker=_tracker(options.max_memory_bytes),
                )
            )
            if models:
                # After the threads of the search, which would wait for it.
                factory.preload()
            self._stack = stack.pop_all()

    def update(
        self,
        models: model_configs.Models,
        new: Sequence[model_configs.ModelConfig],
    ) -> None:
        """Loads other models from now on, and unloads those left out.

        Args:
          models: The models of the configuration.
          new: The models among them that were left out before.
        """
        for model in new:
            # It may have been served before, and may be whole by now.
            self._versions.monitor.forget_failures(model.name)
        self._versions.update_config(self._source_config(models))

    def states(self, name: str) -> Mapping[int, servable.ServableState]:
        """Returns the states of the versions of a model, by version."""
        return self._versions.monitor.version_states(name)

    def is_available(self, name: str, version: int) -> bool:
        """Returns whether a version of a model answers requests."""
        state = self._versions.monitor.state(servable.ServableId(name, version))
        return state is not None and state.is_available

    def handle(self, request: servable.ServableRequest) -> Handle:
        """Returns a handle on a version.

        Raises:
          NotFoundError: It is not available. Permanent.
        """
        return self._versions.manager.get_servable_handle(
            request, served_model.ServedModel
        )

    def statistics(self) -> served_models.Statistics:
        """Returns the counts of the queues of versions, by signature."""
        found = {}
        for each in self._versions.manager.list_available_servable_ids():
            # Else it has been unloaded in between.
            with (
                contextlib.suppress(errors.NotFoundError),
                self.handle(servable.ServableRequest.from_id(each)) as handle,
            ):
                found[each] = handle.servable.statistics()
        return found

    def stuck_versions(self, name: str) -> Set[int]:
        """See ServedModels."""
        found = set()
        for version in self.states(name):
            request = servable.ServableRequest.specific(name, version)
            # Else it is not available.
            with (
                contextlib.suppress(errors.NotFoundError),
                self.handle(request) as handle,
            ):
                if handle.servable.is_stuck:
                    found.add(version)
        return found

    def num_runs(self) -> Mapping[run_size.RunSize, int]:
        """Returns how many runs of all versions there ever were."""
        return self._batching.num_runs()

    def close(self) -> None:
        """Unloads everything; waits for open handles. Idempotent."""
        self._stack.close()

    def __enter__(self) -> Self:
        """Returns itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Closes itself."""
        self.close()

    def _served(
        self, bundle: session_bundle.SessionBundle[session_lib.Session]
    ) -> served_model.ServedModel:
        """Makes of a loaded bundle what is served."""
        model = self._batching.served(bundle)
        if self._options.warm_up is not None:
            with self.warm_ups.measuring(bundle.path) as ended:
                ended(
                    model_warm_up.warm_up(model, bundle, self._options.warm_up)
                )
        return model

    def _source_config(
        self, models: Sequence[model_configs.ModelConfig]
    ) -> file_system_storage_path_source.Config:
        return file_system_storage_path_source.Config(
            tuple(model.monitored for model in models),
            self._options.file_system_poll_wait_seconds,
        )


def _tracker(
    max_bytes: int | None,
) -> resource_tracker.ResourceTracker | None:
    if max_bytes is None:
        return None
    return resource_tracker.ResourceTracker(
        resource_tracker.ResourceAllocation(max_bytes)
    )
