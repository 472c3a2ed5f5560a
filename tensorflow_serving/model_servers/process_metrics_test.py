"""Tests for process_metrics."""

import gc
import os
import resource

from absl.testing import absltest

from tensorflow_serving.model_servers import metric_families, process_metrics


def _families() -> dict[str, metric_families.Family]:
    return {each.name: each for each in process_metrics.families()}


class ProcessMetricsTest(absltest.TestCase):
    """This process."""

    def setUp(self) -> None:
        """Collects the metrics."""
        super().setUp()
        self.families = {each.name: each for each in process_metrics.families()}

    def test_values_are_those_of_this_process(self) -> None:
        """Memory, files and CPU time are near what the system says."""
        most = resource.getrusage(resource.RUSAGE_SELF)
        ((memory,),) = self.families[
            "process_resident_memory_bytes"
        ].series.values()
        self.assertGreater(memory, 1e6)
        self.assertLessEqual(memory, most.ru_maxrss * 1024)
        ((num_files,),) = self.families["process_open_fds"].series.values()
        self.assertAlmostEqual(
            num_files, len(os.listdir("/proc/self/fd")), delta=3
        )
        ((seconds,),) = self.families[
            "process_cpu_seconds_total"
        ].series.values()
        self.assertGreater(seconds, 0.01)
        self.assertLess(seconds, most.ru_utime + most.ru_stime + 0.02)

    def test_collections_of_garbage_are_counted(self) -> None:
        """Each generation has a count."""
        gc.collect()
        name = "python_gc_collections_total"
        self.assertGreater(
            _families()[name].series["2",], self.families[name].series["2",]
        )

    def test_each_process_has_its_own(self) -> None:
        """The sum of two start times is no time."""
        for family in self.families.values():
            self.assertIs(family.combine, metric_families.Combine.APART)


if __name__ == "__main__":
    absltest.main()
