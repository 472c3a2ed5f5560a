"""The counts of a server, and who gets the ends of calls to count them."""

from collections.abc import Iterator, Sequence
from typing import Final

from tensorflow_serving.core import servable
from tensorflow_serving.model_servers import (
    access_log,
    call_events,
    call_log,
    call_observers,
    metric_families,
    other_calls,
    page_state,
    prometheus_metrics,
    recent_errors,
    request_metrics,
    served_models,
    server_core,
)


class Monitoring:
    """Metrics of a process, and the listeners of its calls. Thread-safe."""

    def __init__(
        self,
        core: server_core.ServerCore,
        served: served_models.ServedModels,
        *,
        counts_calls: bool,
        keeps_errors: bool = False,
        log: access_log.AccessLog | None = None,
    ) -> None:
        """Starts with no calls.

        Args:
          core: The models of this process.
          served: The models of all processes.
          counts_calls: Whether anybody can ask for counts of calls.
          keeps_errors: Whether anybody can ask for the newest errors.
          log: Has a line for each call; None: there is no such log.
        """
        self._core = core
        self._served = served
        self._log = log
        self._requests = request_metrics.RequestMetrics()
        self._errors = recent_errors.RecentErrors()
        self._other_calls = other_calls.OtherCalls()
        listeners: list[call_events.Listener] = []
        observers: list[call_observers.Observer] = []
        if counts_calls:
            listeners.append(self._requests)
            observers.append(self._other_calls)
        if keeps_errors:
            listeners.append(self._errors)
        if log is not None:
            listeners.append(lines := call_log.CallLog(log))
            observers.append(lines)
        self.listeners: Final = call_events.Listeners(listeners)
        self.observer: Final = call_observers.Observers(observers)
        self._metrics = prometheus_metrics.PrometheusMetrics(
            prometheus_metrics.Sources(
                self._requests,
                self._other_calls,
                core.loads,
                core.warm_ups,
                core.statistics,
                core.num_runs,
                self._states,
                core.thread_pool_name,
                core.recording.num_logged,
            )
        )

    def families(self) -> Sequence[metric_families.Family]:
        """Returns the metrics; counts of models that are gone go with them."""
        found = [*self._metrics.families()]
        if self._log is not None:
            found.append(self._log.family())
        names = {*self._core.model_names}
        self._requests.forget_others(names)
        self._core.loads.forget_others(names)
        self._core.recording.forget_others(names)
        return found

    def page_state(self, num_processes: int) -> page_state.PageState:
        """Returns the state that a web page shows.

        Args:
          num_processes: How many processes serve the models.
        """
        return page_state.PageState(
            self._served,
            self._requests,
            self._core.statistics,
            self._errors,
            num_processes=num_processes,
        )

    def _states(self) -> Iterator[servable.ServableState]:
        for states in served_models.all_states(self._served).values():
            yield from states.values()
