"""The counts of a server, and who gets the ends of calls to count them."""

from typing import Final

from tensorflow_serving.model_servers import (
    call_events,
    prometheus_metrics,
    request_metrics,
    server_core,
)


class Monitoring:
    """Metrics of a process, and the listeners of its calls. Thread-safe."""

    def __init__(
        self, core: server_core.ServerCore, *, counts_calls: bool
    ) -> None:
        """Starts with no calls.

        Args:
          core: The models.
          counts_calls: Whether anybody can ask for counts of calls.
        """
        requests = request_metrics.RequestMetrics()
        self.listeners: Final = call_events.Listeners(
            [requests] if counts_calls else ()
        )
        self.metrics: Final = prometheus_metrics.PrometheusMetrics(
            requests, core.loads, core.statistics
        )
