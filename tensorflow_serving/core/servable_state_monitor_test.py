"""Tests for servable_state_monitor."""

from absl.testing import absltest

from tensorflow_serving.core import servable, servable_state_monitor
from tensorflow_serving.test_util import fake_clock
from tensorflow_serving.util import errors, event_bus

_ManagerState = servable.ManagerState
_BROKEN = errors.DataLossError("variables must be whole; got half of them")


def _state(
    version: int,
    manager_state: servable.ManagerState,
    error: errors.ServingError | None = None,
    name: str = "name",
) -> servable.ServableState:
    return servable.ServableState(
        servable.ServableId(name, version), manager_state, error
    )


class ServableStateMonitorTest(absltest.TestCase):
    """Remembers the last state of each version."""

    def setUp(self) -> None:
        """Makes a bus with a clock."""
        super().setUp()
        self.clock = fake_clock.FakeClock()
        self.bus = event_bus.EventBus[servable.ServableState](self.clock)

    def _monitor(
        self, max_count_log_events: int = 0
    ) -> servable_state_monitor.ServableStateMonitor:
        monitor = servable_state_monitor.ServableStateMonitor(
            self.bus, self.clock, max_count_log_events
        )
        self.addCleanup(monitor.close)
        return monitor

    def test_nothing_is_known_at_first(self) -> None:
        """None and no entries are the answers."""
        monitor = self._monitor()
        servable_id = servable.ServableId("name", 1)
        self.assertIsNone(monitor.state(servable_id))
        self.assertIsNone(monitor.state_and_time(servable_id))
        self.assertEqual(monitor.version_states("name"), {})
        self.assertEqual(monitor.all_states(), {})
        self.assertEqual(monitor.live_states(), {})

    def test_last_state_counts(self) -> None:
        """The last state is known, with the time of its publication."""
        monitor = self._monitor()
        self.bus.publish(_state(1, _ManagerState.START))
        self.clock.advance_micros(2_000_000)
        loading = _state(1, _ManagerState.LOADING)
        self.bus.publish(loading)
        self.clock.advance_micros(1_000_000)
        self.assertEqual(monitor.state(loading.id), loading)
        self.assertEqual(
            monitor.state_and_time(loading.id),
            event_bus.EventAndTime(loading, 2.0),
        )

    def test_states_are_by_name_and_version(self) -> None:
        """The versions of one name are in ascending order."""
        monitor = self._monitor()
        two = _state(2, _ManagerState.AVAILABLE)
        one = _state(1, _ManagerState.UNLOADING)
        other = _state(1, _ManagerState.END, _BROKEN, "other")
        for state in (two, one, other):
            self.bus.publish(state)
        self.assertEqual(
            list(monitor.version_states("name").items()), [(1, one), (2, two)]
        )
        self.assertEqual(
            monitor.all_states(),
            {"name": {1: one, 2: two}, "other": {1: other}},
        )

    def test_live_states_are_all_but_end(self) -> None:
        """A name that has no others is left out."""
        monitor = self._monitor()
        live = [
            _state(number, manager_state)
            for number, manager_state in enumerate(_ManagerState)
            if manager_state is not _ManagerState.END
        ]
        for state in (
            *live,
            _state(9, _ManagerState.END),
            _state(1, _ManagerState.END, name="other"),
        ):
            self.bus.publish(state)
        self.assertEqual(
            monitor.live_states(),
            {"name": {state.id.version: state for state in live}},
        )

    def test_version_may_come_back(self) -> None:
        """A version that is back has no end any longer."""
        monitor = self._monitor()
        back = _state(1, _ManagerState.AVAILABLE)
        self.bus.publish(_state(1, _ManagerState.END, _BROKEN))
        self.bus.publish(back)
        self.assertEqual(monitor.version_states("name"), {1: back})
        self.assertEqual(monitor.live_states(), {"name": {1: back}})

    def test_only_the_last_ends_are_remembered(self) -> None:
        """The 32 last ends are known; live versions are not cut."""
        monitor = self._monitor()
        self.bus.publish(_state(0, _ManagerState.AVAILABLE))
        self.bus.publish(_state(7, _ManagerState.END, name="other"))
        for version in range(100, 0, -1):
            self.bus.publish(_state(version, _ManagerState.LOADING))
            self.bus.publish(_state(version, _ManagerState.END, _BROKEN))
        self.assertEqual(list(monitor.version_states("name")), [*range(33)])
        self.assertEqual(list(monitor.version_states("other")), [7])

    def test_last_end_of_a_version_counts(self) -> None:
        """One that ended early, came back and ended again ended late."""
        monitor = self._monitor()
        for version in range(32):
            self.bus.publish(_state(version, _ManagerState.END))
        self.bus.publish(_state(0, _ManagerState.LOADING))
        self.bus.publish(_state(0, _ManagerState.END, _BROKEN))
        self.bus.publish(_state(32, _ManagerState.END))
        self.assertEqual(
            list(monitor.version_states("name")), [0, *range(2, 33)]
        )

    def test_failures_of_a_servable_can_be_forgotten(self) -> None:
        """Versions that serve, or ended without an error, stay known."""
        monitor = self._monitor()
        for state in (
            _state(1, _ManagerState.END),
            _state(2, _ManagerState.END, _BROKEN),
            _state(3, _ManagerState.LOADING, _BROKEN),
            _state(2, _ManagerState.END, _BROKEN, name="other"),
        ):
            self.bus.publish(state)
        monitor.forget_failures("name")
        monitor.forget_failures("unknown")
        self.assertEqual([*monitor.version_states("name")], [1, 3])
        self.assertEqual([*monitor.version_states("other")], [2])

    def test_log_keeps_the_last_events(self) -> None:
        """The log keeps the last events, oldest first."""
        monitor = self._monitor(max_count_log_events=2)
        states = [
            _state(1, _ManagerState.START),
            _state(1, _ManagerState.LOADING),
            _state(1, _ManagerState.AVAILABLE),
        ]
        for state in states:
            self.clock.advance_micros(1_000_000)
            self.bus.publish(state)
        self.assertEqual(
            monitor.log(),
            (
                event_bus.EventAndTime(states[1], 2.0),
                event_bus.EventAndTime(states[2], 3.0),
            ),
        )

    def test_log_is_off_unless_asked_for(self) -> None:
        """Events are not kept."""
        monitor = self._monitor()
        self.bus.publish(_state(1, _ManagerState.START))
        self.assertEqual(monitor.log(), ())

    def test_log_of_a_negative_length_is_refused(self) -> None:
        """A log of length 0 is off, and less is refused."""
        with self.assertRaisesRegex(
            errors.InvalidArgumentError,
            "max_count_log_events must be at least 0; got -1",
        ):
            self._monitor(max_count_log_events=-1)

    def test_closed_monitor_records_nothing(self) -> None:
        """A closed monitor ignores later events and keeps the known states."""
        before = _state(1, _ManagerState.START)
        with self._monitor() as monitor:
            self.bus.publish(before)
        monitor.close()  # idempotent
        self.bus.publish(_state(1, _ManagerState.LOADING))
        self.assertEqual(monitor.state(before.id), before)


if __name__ == "__main__":
    absltest.main()
