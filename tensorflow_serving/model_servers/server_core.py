"""The models of a server: configuration in, handles out.

    base paths -> storage path manager -> handles

Example:
    with ServerCore(options, configs) as core:
        with core.handle(model_spec) as handle:
            handle.servable.signature_defs
"""

import contextlib
import dataclasses
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from absl import logging

from tensorflow_serving.apis import model_pb2
from tensorflow_serving.batching import run_size
from tensorflow_serving.core import (
    aspired_version_policy,
    aspired_versions_manager,
    basic_manager,
    servable,
    servable_handle,
)
from tensorflow_serving.model_servers import (
    call_limits,
    call_recording,
    load_metrics,
    model_batching,
    model_configs,
    model_news,
    reload_config,
    served_models,
    version_labels,
    warm_up_metrics,
)
from tensorflow_serving.resources import resource_tracker
from tensorflow_serving.rpc import call
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

_AVAILABLE = servable.ManagerState.AVAILABLE

_Handle = servable_handle.ServableHandle[served_model.ServedModel]


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of a ServerCore.

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
    # How long reload() waits for new models; 0 for as long as it takes.
    model_load_timeout_seconds: float = 0.0
    # Whether labels may point at versions that are not available yet.
    allows_labels_for_unavailable_models: bool = False
    # How versions are warmed up before they serve; None: not at all.
    warm_up: model_warm_up.Options | None = model_warm_up.Options()
    # Which calls are recorded, beside those of models that have a log.
    recording: call_recording.Options = call_recording.Options()


class ServerCore:
    """Keeps models loaded as a configuration says, and gives handles on them.

    Until each of the first models was loaded once, or has failed, a request for
    a handle that cannot be given is refused with UNAVAILABLE, not NOT_FOUND.

    A context manager that closes itself. Thread-safe.
    """

    def __init__(
        self,
        options: Options,
        models: model_configs.Models,
        *,
        is_one_of_several: bool = False,
    ) -> None:
        """Starts to look for versions and to load them.

        Args:
          options: See Options.
          models: Which models to serve.
          is_one_of_several: Whether others serve the same models, and somebody
            has checked all labels. Then the start ends with others_started().

        Raises:
          FailedPreconditionError: A label points at a version that is not
            available. Permanent.
        """
        self._options = options
        self._event_bus = event_bus.EventBus[servable.ServableState]()
        # Counts loads and unloads.
        self.loads: Final = load_metrics.LoadMetrics(self._event_bus)
        self.warm_ups: Final = warm_up_metrics.WarmUpMetrics()
        # Limits the calls of each model.
        self.call_limits: Final = call_limits.CallLimits(models)
        # Records calls, for those who ask it for recorders.
        self.recording: Final = call_recording.CallRecording(
            options.recording, options.tags
        )
        self.recording.update(models)
        self._event_bus.subscribe(self.recording.follow)
        self._lock = threading.RLock()
        self._news = model_news.ModelNews(self._lock)
        # All guarded by _lock.
        self._models = models
        self._labels: version_labels.Labels = {}
        # The names of first models whose state is not known yet.
        self._starting = set(model_configs.names(models))
        # Whether there are others, and whether their start is not over.
        self._is_one_of_several = is_one_of_several
        self._are_others_starting = is_one_of_several
        # Held while a configuration is put into effect.
        self._update_lock = threading.Lock()
        self._start()

    @property
    def models(self) -> model_configs.Models:
        """The models of the configuration."""
        with self._lock:
            return self._models

    @property
    def is_starting(self) -> bool:
        """Whether one of its first models has neither been loaded nor failed.

        The first models of others do not count.
        """
        with self._lock:
            return bool(self._starting)

    def others_started(self) -> None:
        """Says that all others have tried to load their first models."""
        with self._lock:
            self._are_others_starting = False

    def require_labels(
        self,
        models: model_configs.Models,
        is_available: Callable[[str, int], bool],
    ) -> None:
        """Checks the labels of models that are about to be served.

        Args:
          models: The next models.
          is_available: Whether a version of a model answers requests.

        Raises:
          FailedPreconditionError: See update().
        """
        self._assigned_labels(models, is_available)

    @property
    def model_names(self) -> Sequence[str]:
        """The names of the models of the configuration."""
        with self._lock:
            return model_configs.names(self._models)

    def states(self, name: str) -> Mapping[int, servable.ServableState]:
        """See ServedModels."""
        states = self._versions.monitor.version_states(name)
        if not states and name not in self.model_names:
            raise errors.NotFoundError(
                f"Could not find any versions of model {name}"
            )
        return states

    def handle(self, spec: model_pb2.ModelSpec) -> _Handle:
        """Returns a handle on the version that a request names.

        Version 0 is the newest one as well, unless the model has a version of
        that number.

        Raises:
          InvalidArgumentError: The name is empty, or the model has no such
            label. Permanent.
          UnavailableError: There is no such version yet, and the first models
            are still being loaded. Transient.
          NotFoundError: There is no such version. Permanent.
        """
        if not spec.name:
            raise errors.InvalidArgumentError("ModelSpec has no name specified")
        request = self._request(spec)
        try:
            return self._versions.manager.get_servable_handle(
                request, served_model.ServedModel
            )
        except errors.NotFoundError:
            with self._lock:
                is_starting = self._are_others_starting or bool(self._starting)
            if is_starting:
                # Without the word that clients take for the end of the start.
                raise errors.UnavailableError(
                    "The server loads its first models; try again later"
                ) from None
            text = (
                f"Latest({request.name})"
                if request.version is None
                else f"Specific({request.name}, {request.version})"
            )
            raise errors.NotFoundError(
                f"Servable not found for request: {text}"
            ) from None

    def statistics(self) -> served_models.Statistics:
        """Returns the counts of the queues of versions, by signature."""
        manager = self._versions.manager
        found = {}
        for each in manager.list_available_servable_ids():
            request = servable.ServableRequest.specific(each.name, each.version)
            # Else it has been unloaded in between.
            with (
                contextlib.suppress(errors.NotFoundError),
                manager.get_servable_handle(
                    request, served_model.ServedModel
                ) as handle,
            ):
                found[each] = handle.servable.statistics()
        return found

    @property
    def thread_pool_name(self) -> str:
        """The name of the threads that run calls."""
        return self._options.batching.batching.threads.thread_pool_name

    def num_runs(self) -> Mapping[run_size.RunSize, int]:
        """Returns how many runs of all versions there ever were."""
        return self._batching.num_runs()

    def update(
        self, models: model_configs.Models
    ) -> Sequence[model_configs.ModelConfig]:
        """See ServedModels; never raises UnavailableError."""
        with self._update_lock:
            labels = self._assigned_labels(models, self._may_have_label)
            with self._lock:
                known = set(model_configs.names(self._models))
                self._starting.intersection_update(model_configs.names(models))
                self._models = models
                self._labels = labels
            new = [model for model in models if model.name not in known]
            for model in new:
                # It may have been served before, and may be whole by now.
                self._versions.monitor.forget_failures(model.name)
            self.call_limits.update(models)
            self.recording.update(models)
            self._versions.update_config(self._source_config(models))
            self._news.publish(
                known.symmetric_difference(model_configs.names(models))
            )
        return new

    def reload(
        self,
        models: model_configs.Models,
        unwanted: call.Unwanted | None = None,
    ) -> None:
        """See reload_config.reload(), with the time that the options allow."""
        reload_config.reload(
            self, models, self._options.model_load_timeout_seconds, unwanted
        )

    def wait_until(
        self,
        is_over: Callable[[], bool],
        timeout_seconds: float,
        unwanted: call.Unwanted | None = None,
    ) -> bool:
        """See ServedModels."""
        return self._news.wait_until(is_over, timeout_seconds, unwanted)

    def subscribe(
        self, callback: Callable[[str], None]
    ) -> event_bus.Subscription:
        """See ServedModels."""
        return self._news.subscribe(callback)

    def close(self) -> None:
        """Unloads everything; waits for open handles. Idempotent."""
        self._news.close()
        self._stack.close()

    def __enter__(self) -> "ServerCore":
        """Returns itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Closes itself."""
        self.close()

    def _start(self) -> None:
        """Starts everything that close() ends."""
        # Closed from the last one to the first.
        with contextlib.ExitStack() as stack:
            self._batching = stack.enter_context(
                model_batching.ModelBatching(self._options.batching)
            )
            self._labels = self._assigned_labels(
                self._models, lambda *_: self._is_one_of_several
            )
            stack.enter_context(self._event_bus.subscribe(self._record))
            self._versions = stack.enter_context(self._serving(stack))
            # After the monitor, which then has the new states.
            stack.enter_context(self._event_bus.subscribe(self._publish))
            # Closed before models are unloaded, which may take long.
            stack.enter_context(self.recording)
            self._stack = stack.pop_all()

    def _serving(
        self, stack: contextlib.ExitStack
    ) -> storage_path_manager.StoragePathManager:
        """Begins to load what the configuration names."""
        options = self._options
        factory = stack.enter_context(
            model_bundle_factory.ModelBundleFactory(
                options.session, options.tags
            )
        )
        if self._models:
            factory.preload()
        adapter = stack.enter_context(
            session_bundle_source_adapter.SessionBundleSourceAdapter(
                factory, self._served, lambda model: model.warning
            )
        )
        tracker = None
        if options.max_memory_bytes is not None:
            tracker = resource_tracker.ResourceTracker(
                resource_tracker.ResourceAllocation(options.max_memory_bytes)
            )
        return storage_path_manager.StoragePathManager(
            self._source_config(self._models),
            adapter,
            aspired_versions_manager.Options(
                aspired_version_policy.availability_preserving_policy,
                manager=options.manager,
            ),
            event_bus=self._event_bus,
            resource_tracker=tracker,
        )

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

    def _request(self, spec: model_pb2.ModelSpec) -> servable.ServableRequest:
        choice = spec.WhichOneof("version_choice")
        if choice == "version" and (
            spec.version.value or self._is_available(spec.name, 0)
        ):
            return servable.ServableRequest.specific(
                spec.name, spec.version.value
            )
        if choice == "version_label":
            with self._lock:
                labels = self._labels
            return servable.ServableRequest.specific(
                spec.name,
                version_labels.version(labels, spec.name, spec.version_label),
            )
        return servable.ServableRequest.latest(spec.name)

    def _assigned_labels(
        self,
        models: Sequence[model_configs.ModelConfig],
        is_available: Callable[[str, int], bool],
    ) -> version_labels.Labels:
        return version_labels.assigned(
            models,
            self._labels,
            is_available,
            allows_unavailable=(
                self._options.allows_labels_for_unavailable_models
            ),
        )

    def _may_have_label(self, name: str, version: int) -> bool:
        return self._is_one_of_several or self._is_available(name, version)

    def _is_available(self, name: str, version: int) -> bool:
        state = self._versions.monitor.state(servable.ServableId(name, version))
        return state is not None and state.manager_state is _AVAILABLE

    def _publish(
        self, event: event_bus.EventAndTime[servable.ServableState]
    ) -> None:
        self._news.publish([event.event.id.name])

    def _record(
        self, event: event_bus.EventAndTime[servable.ServableState]
    ) -> None:
        """Records which of the first models have been loaded or have failed."""
        state = event.event
        is_known = state.manager_state is _AVAILABLE or state.has_failed
        with self._lock:
            if is_known and state.id.name in self._starting:
                self._starting.remove(state.id.name)
                if not self._starting:
                    logging.info("All models have been loaded, or have failed")
