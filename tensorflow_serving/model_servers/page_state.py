"""The state of a server as the web page shows it: models, counts, errors.

Example:
    state = page_state.PageState(served, requests, core.statistics, errors)
    state.of_server()
    state.of_model("mnist")

All numbers of calls and batches are counts since the start, from which the page
makes rates; they are those of this process. Where there are several, the page
takes the metrics of all. Names of fields are for the page alone, which comes
with this module.
"""

import collections
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from tensorflow_serving.batching import batching_session
from tensorflow_serving.core import servable
from tensorflow_serving.model_servers import (
    histograms,
    recent_errors,
    request_metrics,
    served_models,
    server_version,
)
from tensorflow_serving.util import errors

_Values = dict[str, Any]
_NO_CALLS: Final[Mapping[str, int]] = {}


class PageState:
    """Puts together what is known of models and calls. Thread-safe."""

    def __init__(
        self,
        served: served_models.ServedModels,
        requests: request_metrics.RequestMetrics,
        statistics: Callable[[], served_models.Statistics],
        recent: recent_errors.RecentErrors,
        *,
        num_processes: int = 1,
    ) -> None:
        """Takes the sources, which are read each time anew.

        Args:
          served: The models of all processes.
          requests: Counts calls.
          statistics: Returns the statistics of the queue of each signature, by
            its version and its name.
          recent: Keeps errors of calls.
          num_processes: How many processes serve the models.
        """
        self._served = served
        self._requests = requests
        self._statistics = statistics
        self._recent = recent
        self._num_processes = num_processes
        # A page that sees another number has lost what was counted before.
        self._start_time = time.time()
        # Whether the process is about to end.
        self.is_draining = False

    def of_server(self) -> _Values:
        """Returns what there is to say of each model, and the newest errors."""
        counts = self._requests.snapshot()
        calls: dict[str, dict[str, int]] = collections.defaultdict(dict)
        for (model, status), number in counts.num_calls_by_model.items():
            calls[model][status] = number
        micros = _by_model(counts.latency)
        queues = _queues_by_model(self._statistics())
        states = served_models.all_states(self._served)
        return {
            "version": server_version.VERSION,
            "started": self._start_time,
            "processes": self._num_processes,
            "draining": self.is_draining,
            "time": time.time(),
            "bounds": request_metrics.LATENCY_BOUNDS,
            "models": [
                {
                    "name": name,
                    "versions": _versions(states[name]),
                    "calls": calls.get(name, _NO_CALLS),
                    **_counts(micros.get(name)),
                    **queues.get(name, {}),
                }
                for name in sorted(states)
            ],
            "unnamed": calls.get("", _NO_CALLS),
            "errors": self._recent.newest(),
        }

    def of_model(self, name: str) -> _Values:
        """Returns what there is to say of the signatures of a model.

        Raises:
          NotFoundError: There is no such model. Permanent.
        """
        versions = _versions(self._served.states(name))
        counts = self._requests.snapshot()
        return {
            "name": name,
            "versions": versions,
            "bounds": request_metrics.SECONDS_BOUNDS,
            "calls": [
                {
                    "version": subject.version,
                    "signature": subject.signature,
                    "method": subject.method,
                    "entrypoint": subject.entrypoint,
                    **_counts(histogram),
                }
                for subject, histogram in counts.seconds.items()
                if subject.model == name
            ],
            "queues": [
                {
                    "version": version.version,
                    "signature": signature,
                    **_queue_values(statistics),
                }
                for version, by_signature in self._statistics().items()
                if version.name == name
                for signature, statistics in by_signature.items()
            ],
        }


def _versions(
    states: Mapping[int, servable.ServableState],
) -> list[_Values]:
    """Returns the versions of a model, and why they are as they are."""
    return [
        {
            "version": number,
            "state": state.manager_state.name,
            "code": state.error.code.name if state.error else "OK",
            "text": _reason(state),
        }
        for number, state in states.items()
    ]


def _reason(state: servable.ServableState) -> str:
    if state.error is not None:
        return errors.short_text(state.error)
    return state.warning or ""


def _by_model(
    latency: Mapping[request_metrics.ModelCall, histograms.Histogram],
) -> Mapping[str, histograms.Histogram]:
    """Returns the sums of the histograms of each model."""
    found = histograms.Histograms[str](request_metrics.LATENCY_BOUNDS)
    for call, histogram in latency.items():
        found[call.model].add_all(histogram)
    return found


def _counts(histogram: histograms.Histogram | None) -> _Values:
    return {} if histogram is None else {"counts": histogram.counts}


def _queues_by_model(
    statistics: served_models.Statistics,
) -> Mapping[str, _Values]:
    """Returns how many calls of a model wait, and how long the first one."""
    found: dict[str, _Values] = {}
    for version, by_signature in statistics.items():
        for each in by_signature.values():
            if each.scheduler.num_enqueued_tasks:
                values = found.setdefault(
                    version.name, {"queued": 0, "oldest": 0.0}
                )
                values["queued"] += each.scheduler.num_enqueued_tasks
                values["oldest"] = max(
                    values["oldest"], each.scheduler.oldest_wait_seconds
                )
    return found


def _queue_values(statistics: batching_session.Statistics) -> _Values:
    queue = statistics.scheduler
    return {
        "queued": queue.num_enqueued_tasks,
        "run": queue.typical_run_seconds,
        "sizes": sorted(queue.num_batches_by_size.items()),
        "reasons": {
            reason.value: number
            for reason, number in queue.num_batches_by_reason.items()
        },
        "rows": statistics.num_rows,
        "padding": statistics.num_padding_rows,
        "dropped": {
            "refused": queue.num_refused,
            "cancelled": queue.num_cancelled,
            "deadline": queue.num_expired,
        },
    }
