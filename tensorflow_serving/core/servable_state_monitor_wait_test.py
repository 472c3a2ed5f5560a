"""Tests for servable_state_monitor: waiting until versions are available."""

import concurrent.futures
import re

from absl.testing import absltest, parameterized

from tensorflow_serving.core import servable, servable_state_monitor
from tensorflow_serving.test_util import fake_clock
from tensorflow_serving.util import errors, event_bus

_ManagerState = servable.ManagerState
_BROKEN = errors.DataLossError("variables must be whole; got half of them")
_ONE = servable.ServableRequest.specific("name", 1)
_LATEST = servable.ServableRequest.latest("name")


class WaitUntilAvailableTest(parameterized.TestCase):
    """Returns when everything can be served, or says why not."""

    def setUp(self) -> None:
        """Makes a monitor, and a thread to wait on."""
        super().setUp()
        self.clock = fake_clock.FakeClock()
        self.bus = event_bus.EventBus[servable.ServableState](self.clock)
        self.threads = concurrent.futures.ThreadPoolExecutor()
        self.addCleanup(self.threads.shutdown)
        self.monitor = servable_state_monitor.ServableStateMonitor(
            self.bus, self.clock
        )
        self.addCleanup(self.monitor.close)

    def _publish(
        self,
        version: int,
        manager_state: servable.ManagerState,
        error: errors.ServingError | None = None,
        name: str = "name",
    ) -> None:
        self.bus.publish(
            servable.ServableState(
                servable.ServableId(name, version), manager_state, error
            )
        )

    def _wait(
        self,
        *requests: servable.ServableRequest,
        timeout_seconds: float | None = None,
    ) -> concurrent.futures.Future[None]:
        """Starts a wait on another thread; returns once it waits."""
        wait = self.threads.submit(
            self.monitor.wait_until_available, requests, timeout_seconds
        )
        self.clock.settle(threads=1)
        return wait

    def test_nothing_to_wait_for(self) -> None:
        """A wait for no request is over at once."""
        self.monitor.wait_until_available([], None)

    def test_what_is_available_needs_no_wait(self) -> None:
        """A wait for available versions succeeds even with a timeout of 0."""
        self._publish(1, _ManagerState.AVAILABLE)
        self.monitor.wait_until_available([_ONE, _LATEST], 0)

    def test_wait_ends_when_the_last_becomes_available(self) -> None:
        """A wait ends when all are available, in whatever order."""
        other = servable.ServableRequest.latest("other")
        wait = self._wait(_ONE, other)
        for version, manager_state, name in (
            (1, _ManagerState.START, "name"),
            (3, _ManagerState.AVAILABLE, "other"),
            (1, _ManagerState.LOADING, "name"),
            (2, _ManagerState.AVAILABLE, "name"),
        ):
            self._publish(version, manager_state, name=name)
            self.clock.settle(threads=1)
            self.assertFalse(wait.done())
        self._publish(1, _ManagerState.AVAILABLE)
        wait.result(timeout=60)

    def test_any_version_does_for_the_latest(self) -> None:
        """Any available version will do, even if a newer one is broken."""
        wait = self._wait(_LATEST)
        self._publish(2, _ManagerState.END, _BROKEN)
        self.clock.settle(threads=1)
        self.assertFalse(wait.done())
        self._publish(1, _ManagerState.AVAILABLE)
        wait.result(timeout=60)

    def test_all_must_be_available_at_the_same_time(self) -> None:
        """A version that was available and is gone does not count."""
        two = servable.ServableRequest.specific("name", 2)
        wait = self._wait(_ONE, two)
        self._publish(1, _ManagerState.AVAILABLE)
        self._publish(1, _ManagerState.UNLOADING)
        self._publish(1, _ManagerState.END)
        self._publish(2, _ManagerState.AVAILABLE)
        self.clock.settle(threads=1)
        self.assertFalse(wait.done())
        self._publish(1, _ManagerState.AVAILABLE)
        wait.result(timeout=60)

    def test_timeout_says_what_is_missing_and_why(self) -> None:
        """A timeout names the servables that are missing, and only those."""
        self._publish(1, _ManagerState.LOADING)
        self._publish(1, _ManagerState.AVAILABLE, name="good")
        self._publish(4, _ManagerState.END, name="broken")
        self._publish(5, _ManagerState.END, _BROKEN, name="broken")
        wait = self._wait(
            _ONE,
            *map(servable.ServableRequest.latest, ("good", "broken", "new")),
            servable.ServableRequest.specific("new", 3),
            timeout_seconds=1.5,
        )
        self.clock.advance_micros(1_499_999)
        self.clock.settle(threads=1)
        self.assertFalse(wait.done())
        self.clock.advance_micros(1)
        with self.assertRaisesRegex(
            errors.DeadlineExceededError,
            re.escape(
                "servables must be AVAILABLE within 1.5 s; got {name: name "
                "version: 1} is LOADING; {name: broken version: 5} is END: "
                "DATA_LOSS: variables must be whole; got half of them; {name: "
                "new version: latest} is unknown; {name: new version: 3} is "
                "unknown"
            )
            + "$",
        ):
            wait.result(timeout=60)

    @parameterized.parameters(0, -1)
    def test_timeout_of_zero_looks_once(self, timeout_seconds: int) -> None:
        """A wait with a timeout of 0 returns at once."""
        with self.assertRaises(errors.DeadlineExceededError):
            self.monitor.wait_until_available([_LATEST], timeout_seconds)

    def test_without_timeout_it_waits_for_ever(self) -> None:
        """A wait without a timeout ends with the version, however late."""
        wait = self._wait(_LATEST)
        self.clock.advance_micros(10**12)
        self.clock.settle(threads=1)
        self.assertFalse(wait.done())
        self._publish(1, _ManagerState.AVAILABLE)
        wait.result(timeout=60)

    def test_version_that_does_not_fit_ends_the_wait(self) -> None:
        """Nobody knows whether memory will be freed."""
        wait = self._wait(_ONE)
        self._publish(
            1, _ManagerState.END, errors.ResourceExhaustedError("too large")
        )
        with self.assertRaisesRegex(
            errors.FailedPreconditionError, "RESOURCE_EXHAUSTED: too large"
        ):
            wait.result(timeout=60)

    @parameterized.parameters(False, True)
    def test_broken_version_ends_the_wait_at_once(
        self, is_known_before: bool
    ) -> None:
        """The text has the reason; a certain version has no substitute."""
        if is_known_before:
            self._publish(1, _ManagerState.END, _BROKEN)
            wait = self.threads.submit(
                self.monitor.wait_until_available, [_LATEST, _ONE], None
            )
        else:
            wait = self._wait(_LATEST, _ONE)
            self._publish(1, _ManagerState.END, _BROKEN)
        with self.assertRaisesRegex(
            errors.FailedPreconditionError,
            r"^servable must be AVAILABLE; got \{name: name version: 1\} is "
            "END: DATA_LOSS: variables must be whole; got half of them$",
        ):
            wait.result(timeout=60)

    @parameterized.parameters(
        (_ManagerState.END, None),
        (_ManagerState.END, errors.UnavailableError("files must be whole")),
        (_ManagerState.START, _BROKEN),
    )
    def test_version_that_may_still_come_is_waited_for(
        self,
        manager_state: servable.ManagerState,
        error: errors.ServingError | None,
    ) -> None:
        """An unloaded or incomplete version may still become available."""
        wait = self._wait(_ONE)
        self._publish(1, manager_state, error)
        self.clock.settle(threads=1)
        self.assertFalse(wait.done())
        self._publish(1, _ManagerState.AVAILABLE)
        wait.result(timeout=60)

    def test_close_ends_all_waits(self) -> None:
        """Another thread has no other way to end them."""
        waits = [self._wait(_ONE), self._wait(_LATEST, timeout_seconds=1)]
        self.clock.settle(threads=2)
        self.monitor.close()
        for wait in waits:
            with self.assertRaises(errors.CancelledError):
                wait.result(timeout=60)

    def test_closed_monitor_does_not_wait(self) -> None:
        """A wait on a closed monitor fails at once."""
        self._publish(1, _ManagerState.AVAILABLE)
        self.monitor.close()
        with self.assertRaisesRegex(
            errors.CancelledError, "The monitor is closed."
        ):
            self.monitor.wait_until_available([_ONE], None)


if __name__ == "__main__":
    absltest.main()
