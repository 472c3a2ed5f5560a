"""The models of a server: configuration in, handles out.

    configuration -> loaded models -> handles

Example:
    with ServerCore(options, configs) as core:
        with core.handle(model_spec) as handle:
            handle.servable.signature_defs
"""

import contextlib
import dataclasses
import threading
from collections.abc import Callable, Collection, Mapping, Sequence, Set
from typing import Final

from absl import logging
from typing_extensions import Self

from tensorflow_serving.apis import model_pb2
from tensorflow_serving.batching import run_size
from tensorflow_serving.core import servable
from tensorflow_serving.model_servers import (
    call_limits,
    call_recording,
    load_metrics,
    loaded_models,
    model_configs,
    model_news,
    models_in_effect,
    reload_config,
    requested_version,
    served_models,
    version_labels,
)
from tensorflow_serving.rpc import call
from tensorflow_serving.util import errors, event_bus

_StateAndTime = event_bus.EventAndTime[servable.ServableState]


@dataclasses.dataclass(frozen=True)
class Options(loaded_models.Options):
    """Options of a ServerCore: how models are loaded, and what follows.

    Raises:
      InvalidArgumentError: A value is out of range.
    """

    # How long reload() waits for new models; 0 for as long as it takes.
    model_load_timeout_seconds: float = 0.0
    # Whether labels may point at versions that are not available yet.
    allows_labels_for_unavailable_models: bool = False
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
        self._is_one_of_several = is_one_of_several
        self._lock = threading.RLock()
        # See ServedModels.
        self.news: Final = model_news.ModelNews(self._lock)
        # The models that had a stuck version when that last changed; replaced
        # under _lock.
        self._stuck: Set[str] = frozenset()
        # Held while a configuration is put into effect.
        self._update_lock = threading.Lock()
        # A value, so that reading it needs no lock; replaced under _lock.
        self._in_effect = models_in_effect.ModelsInEffect.first(
            models,
            self._assigned(models, {}, lambda *_: is_one_of_several),
            is_one_of_several=is_one_of_several,
        )
        bus = event_bus.EventBus[servable.ServableState]()
        # Counts loads and unloads.
        self.loads: Final = load_metrics.LoadMetrics(bus)
        # Limits the calls of each model.
        self.call_limits: Final = call_limits.CallLimits(models)
        # Records calls, for those who ask it for recorders.
        self.recording: Final = call_recording.CallRecording(
            options.recording, options.tags
        )
        self.recording.update(models)
        bus.subscribe(self.recording.follow)
        self._start(bus)
        # Counts how warm-ups ended.
        self.warm_ups: Final = self._loaded.warm_ups

    @property
    def models(self) -> model_configs.Models:
        """The models of the configuration."""
        return self._in_effect.models

    @property
    def model_names(self) -> Collection[str]:
        """The names of the models of the configuration."""
        return self._in_effect.names

    @property
    def is_starting(self) -> bool:
        """Whether one of its first models has neither been loaded nor failed.

        The first models of others do not count.
        """
        return bool(self._in_effect.starting)

    @property
    def thread_pool_name(self) -> str:
        """The name of the threads that run calls."""
        return self._options.batching.batching.threads.thread_pool_name

    def others_started(self) -> None:
        """Says that all others have tried to load their first models."""
        with self._lock:
            self._in_effect = self._in_effect.others_started()

    def states(self, name: str) -> Mapping[int, servable.ServableState]:
        """See ServedModels."""
        states = self._loaded.states(name)
        if not states and name not in self.model_names:
            raise errors.NotFoundError(
                f"Could not find any versions of model {name}"
            )
        return states

    def handle(self, spec: model_pb2.ModelSpec) -> loaded_models.Handle:
        """Returns a handle on the version that a request names.

        Raises:
          InvalidArgumentError: See requested_version.find(). Permanent.
          UnavailableError: There is no such version yet, and the first models
            are still being loaded. Transient.
          NotFoundError: There is no such version. Permanent.
        """
        request = requested_version.find(
            spec, self._in_effect.labels, self._loaded.is_available
        )
        try:
            return self._loaded.handle(request)
        except errors.NotFoundError:
            if self._in_effect.is_starting:
                # Without the word that clients take for the end of the start.
                raise errors.UnavailableError(
                    "The server loads its first models; try again later"
                ) from None
            raise requested_version.not_found(request) from None

    def statistics(self) -> served_models.Statistics:
        """Returns the counts of the queues of versions, by signature."""
        return self._loaded.statistics()

    def stuck_versions(self, name: str) -> Set[int]:
        """See ServedModels."""
        # There is no need to look at most models.
        if name not in self._stuck:
            return frozenset()
        return self._loaded.stuck_versions(name)

    def num_runs(self) -> Mapping[run_size.RunSize, int]:
        """Returns how many runs of all versions there ever were."""
        return self._loaded.num_runs()

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
        self._assigned(models, self._in_effect.labels, is_available)

    def update(
        self, models: model_configs.Models
    ) -> Sequence[model_configs.ModelConfig]:
        """See ServedModels; never raises UnavailableError."""
        with self._update_lock:
            labels = self._assigned(
                models, self._in_effect.labels, self._may_have_label
            )
            with self._lock:
                known = set(self._in_effect.names)
                self._in_effect = self._in_effect.replaced(models, labels)
            new = [model for model in models if model.name not in known]
            self.call_limits.update(models)
            self.recording.update(models)
            self._loaded.update(models, new)
            self.news.publish(
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

    def close(self) -> None:
        """Unloads everything; waits for open handles. Idempotent."""
        self.news.close()
        self._stack.close()

    def __enter__(self) -> Self:
        """Returns itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Closes itself."""
        self.close()

    def _start(self, bus: event_bus.EventBus[servable.ServableState]) -> None:
        """Starts everything that close() ends."""
        # Closed from the last one to the first.
        with contextlib.ExitStack() as stack:
            stack.enter_context(bus.subscribe(self._record))
            self._loaded = stack.enter_context(
                loaded_models.LoadedModels(
                    self._options,
                    self._in_effect.models,
                    bus,
                    self._publish_stuck,
                )
            )
            # After what shows the states, and then has the new ones.
            stack.enter_context(bus.subscribe(self._publish))
            # Closed before models are unloaded, which may take long.
            stack.enter_context(self.recording)
            self._stack = stack.pop_all()

    def _assigned(
        self,
        models: model_configs.Models,
        before: version_labels.Labels,
        is_available: Callable[[str, int], bool],
    ) -> version_labels.Labels:
        return version_labels.assigned(
            models,
            before,
            is_available,
            allows_unavailable=(
                self._options.allows_labels_for_unavailable_models
            ),
        )

    def _may_have_label(self, name: str, version: int) -> bool:
        return self._is_one_of_several or self._loaded.is_available(
            name, version
        )

    def _publish(self, event: _StateAndTime) -> None:
        self.news.publish([event.event.id.name])

    def _publish_stuck(self) -> None:
        """Publishes which models are stuck, or are no longer."""
        stuck = {
            name
            for name in self.model_names
            if self._loaded.stuck_versions(name)
        }
        with self._lock:
            before, self._stuck = self._stuck, stuck
        self.news.publish(stuck | before)

    def _record(self, event: _StateAndTime) -> None:
        """Records which of the first models have been loaded or have failed."""
        with self._lock:
            before = self._in_effect
            self._in_effect = before.recorded(event.event)
            if before.starting and not self._in_effect.starting:
                logging.info("All models have been loaded, or have failed")
