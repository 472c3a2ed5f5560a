"""The metrics of several processes as those of one server.

Example:
    merged = merged_metrics.MergedMetrics()
    merged.put(0, families_of_worker_0)
    merged.put(1, families_of_worker_1)
    merged.end(0)
    merged.families(fresh={1})

What a worker had counted when it ended still counts: a sum that loses a part is
a counter that goes backwards, which Prometheus takes for one that began again
at zero, so that all the rest of the sum would look like new calls. It counts as
long as another worker has the same series; then the series ends, and may begin
again, which Prometheus understands.
"""

import itertools
import operator
from collections.abc import Collection, Iterable, Sequence
from typing import Final

from tensorflow_serving.model_servers import metric_families

_WORKER: Final = "worker"

_Series = dict[metric_families.Labels, metric_families.Values]


class MergedMetrics:
    """Sums up what workers have counted. Not thread-safe."""

    def __init__(self) -> None:
        """Starts without workers."""
        # All families that there ever were, without their series.
        self._families: dict[str, metric_families.Family] = {}
        # The last of each worker that runs, by worker and name.
        self._last: dict[str | int, dict[str, metric_families.Family]] = {}
        # By name, the counts of workers that have ended, and of others in
        # series that they no longer have.
        self._lost: dict[str, _Series] = {}

    def put(
        self, worker: str | int, families: Iterable[metric_families.Family]
    ) -> None:
        """Takes the metrics of a worker in place of those before."""
        found = {each.name: each for each in families}
        for name, before in self._last.get(worker, {}).items():
            self._keep_lost(before, found.get(name))
        for each in found.values():
            if each.name not in self._families:
                self._families[each.name] = each.empty_copy()
        self._last[worker] = found

    def end(self, worker: str | int) -> None:
        """Keeps what a worker has counted that has ended, if it was known."""
        self.put(worker, ())
        del self._last[worker]

    def families(
        self, fresh: Collection[str | int]
    ) -> Sequence[metric_families.Family]:
        """Returns the metrics of all workers.

        Args:
          fresh: The workers that have just sent theirs. Of the others, only
            counts are shown.
        """
        return [self._merged(each, fresh) for each in self._families.values()]

    def _keep_lost(
        self,
        before: metric_families.Family,
        after: metric_families.Family | None,
    ) -> None:
        """Keeps what a worker no longer has of what it has counted."""
        if not _is_count(before):
            return
        series = after.series if after else {}
        for labels, values in before.series.items():
            found = series.get(labels)
            if found is None or any(map(operator.lt, found, values)):
                lost = self._lost.setdefault(before.name, {})
                lost[labels] = metric_families.summed(lost.get(labels), values)

    def _merged(
        self, family: metric_families.Family, fresh: Collection[str | int]
    ) -> metric_families.Family:
        is_count = _is_count(family)
        by_worker = {
            worker: families[family.name].series
            for worker, families in self._last.items()
            if family.name in families and (is_count or worker in fresh)
        }
        merged = family.empty_copy()
        if family.combine is metric_families.Combine.APART:
            merged.labels = (*family.labels, _WORKER)
            for worker, series in by_worker.items():
                for labels, values in series.items():
                    merged.series[(*labels, str(worker))] = values
            return merged
        for labels, values in itertools.chain.from_iterable(
            series.items() for series in by_worker.values()
        ):
            merged.series[labels] = _combined(
                family.combine, merged.series.get(labels), values
            )
        if is_count:
            self._add_lost(merged)
        return merged

    def _add_lost(self, merged: metric_families.Family) -> None:
        """Adds what was lost in series that a worker has."""
        lost = {
            labels: values
            for labels, values in self._lost.pop(merged.name, {}).items()
            if labels in merged.series
        }
        if lost:
            self._lost[merged.name] = lost
        for labels, values in lost.items():
            merged.series[labels] = metric_families.summed(
                values, merged.series[labels]
            )


def _is_count(family: metric_families.Family) -> bool:
    """Returns whether a family only ever grows, over all workers."""
    return (
        family.kind != "gauge" and family.combine is metric_families.Combine.SUM
    )


def _combined(
    combine: metric_families.Combine,
    one: metric_families.Values | None,
    other: metric_families.Values,
) -> metric_families.Values:
    if one is None:
        return other
    if combine is metric_families.Combine.MAX:
        return [*map(max, one, other)]
    return metric_families.summed(one, other)
