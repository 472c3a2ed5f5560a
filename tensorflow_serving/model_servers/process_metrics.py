"""The metrics of this process and its interpreter: memory, time, files.

Example:
    metric_families.text(process_metrics.families())
"""

from collections.abc import Sequence

from tensorflow_serving.model_servers import metric_families


def families() -> Sequence[metric_families.Family]:
    """Returns what Prometheus' client collects of any process."""
    # Most servers are never asked, and start sooner without it.
    import prometheus_client

    registry = prometheus_client.CollectorRegistry()
    prometheus_client.ProcessCollector(registry=registry)
    prometheus_client.GCCollector(registry=registry)
    found: dict[str, metric_families.Family] = {}
    for metric in registry.collect():
        for sample in metric.samples:
            family = found.setdefault(
                sample.name,
                metric_families.Family(
                    sample.name,
                    metric.type,
                    metric.documentation,
                    tuple(sample.labels),
                    metric_families.Combine.APART,
                ),
            )
            family.add(tuple(sample.labels.values()), sample.value)
    return [*found.values()]
