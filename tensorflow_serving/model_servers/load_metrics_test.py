"""Tests for load_metrics."""

from absl.testing import absltest

from tensorflow_serving.core import servable
from tensorflow_serving.model_servers import load_metrics
from tensorflow_serving.test_util import fake_clock
from tensorflow_serving.util import errors, event_bus

_State = servable.ManagerState
_VERSION = servable.ServableId("m", 1)


class LoadMetricsTest(absltest.TestCase):
    """A bus whose clock the test moves."""

    def setUp(self) -> None:
        """Makes the bus."""
        super().setUp()
        self.clock = fake_clock.FakeClock()
        self.bus = event_bus.EventBus[servable.ServableState](self.clock)
        self.metrics = load_metrics.LoadMetrics(self.bus)

    def _publish(
        self,
        state: servable.ManagerState,
        error: errors.ServingError | None = None,
        after_seconds: float = 0.0,
    ) -> None:
        self.clock.advance_micros(round(after_seconds * 1e6))
        self.bus.publish(servable.ServableState(_VERSION, state, error))

    def test_phases_of_a_life_have_their_times(self) -> None:
        """The queue, the load and the unload are counted, each with its end."""
        self._publish(_State.START)
        self._publish(_State.LOADING, after_seconds=1)
        self._publish(_State.AVAILABLE, after_seconds=2)
        self._publish(_State.UNLOADING, after_seconds=100)
        self._publish(_State.END, after_seconds=4)
        found = self.metrics.snapshot()
        self.assertEqual(
            {
                (phase.model, phase.name, phase.outcome): each.total
                for phase, each in found.items()
            },
            {
                ("m", "queue", "OK"): 1,
                ("m", "load", "OK"): 2,
                ("m", "unload", "OK"): 4,
            },
        )

    def test_failed_load_has_the_status_of_its_error(self) -> None:
        """A load that fails is a load too."""
        self._publish(_State.LOADING)
        self._publish(
            _State.END, errors.DataLossError("no model"), after_seconds=3
        )
        ((phase, histogram),) = self.metrics.snapshot().items()
        self.assertEqual((phase.name, phase.outcome), ("load", "DATA_LOSS"))
        self.assertEqual(histogram.total, 3)

    def test_counts_of_models_that_are_gone_go(self) -> None:
        """Counts of other models stay."""
        self._publish(_State.LOADING)
        self._publish(_State.AVAILABLE)
        self.metrics.forget_others(["m"])
        self.assertEqual(len(self.metrics.snapshot()), 1)
        self.metrics.forget_others(["other"])
        self.assertEqual(self.metrics.snapshot(), {})

    def test_version_that_was_never_loaded_has_no_phases(self) -> None:
        """Half a copy is not a load."""
        self._publish(_State.END, errors.UnavailableError("half a copy"))
        self.assertEqual(self.metrics.snapshot(), {})


if __name__ == "__main__":
    absltest.main()
