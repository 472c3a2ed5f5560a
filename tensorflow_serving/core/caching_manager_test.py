"""Tests for caching_manager."""

import collections
import concurrent.futures
import threading
from collections.abc import Callable

from absl.testing import absltest, parameterized
from typing_extensions import override

from tensorflow_serving.core import (
    basic_manager,
    caching_manager,
    servable,
    servable_state_monitor,
)
from tensorflow_serving.core import loader as loader_lib
from tensorflow_serving.resources import resource_tracker
from tensorflow_serving.test_util import fake_clock
from tensorflow_serving.util import errors, event_bus

_ID = servable.ServableId("name", 2)
_REQUEST = servable.ServableRequest.from_id(_ID)
_LATEST = servable.ServableRequest.latest("name")
_NO_RETRIES = basic_manager.Options(max_num_load_retries=0)


class _Factory:
    """Makes loaders of servables that are the text "name:version".

    Each takes 10 bytes.
    """

    def __init__(self, create: Callable[[], None] = lambda: None) -> None:
        """Takes what runs, and may raise, while a version is loaded."""
        self._create = create
        # The number of calls of create_loader(), and of close().
        self.num_created = collections.Counter[servable.ServableId]()
        self.closed: list[str] = []
        self.latest = 2

    def create_loader(
        self, servable_id: servable.ServableId
    ) -> loader_lib.Loader:
        """See LoaderFactory; knows the names that begin with "name"."""
        self.num_created[servable_id] += 1
        if servable_id.name == "bug":
            raise ValueError("secret")
        if not servable_id.name.startswith("name"):
            raise errors.NotFoundError(f"no {servable_id}")

        def create() -> str:
            self._create()
            return f"{servable_id.name}:{servable_id.version}"

        return loader_lib.SimpleLoader(create, lambda: 10, self.closed.append)

    def latest_version(self, name: str) -> int:
        """See LoaderFactory."""
        if name == "name":
            return self.latest
        raise errors.NotFoundError(f"no {name}")


class _Failing:
    """Raises errors one after the other, and then succeeds."""

    def __init__(self, *failures: Exception) -> None:
        self._failures = list(failures)

    def __call__(self) -> None:
        """Raises the next one."""
        if self._failures:
            raise self._failures.pop(0)


class _WatchedClock(fake_clock.FakeClock):
    """Signals when somebody waits for a certain time."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds
        self.is_awaited = threading.Event()

    @override
    def wait_until(
        self, condition: threading.Condition, deadline: float | None
    ) -> None:
        if deadline == self._seconds:
            self.is_awaited.set()
        super().wait_until(condition, deadline)


class _Slow:
    """Holds a load until it may go on, and may let it fail then."""

    def __init__(self, error: Exception | None = None) -> None:
        self.started, self.go_on = threading.Event(), threading.Event()
        self._error = error

    def __call__(self) -> None:
        """Holds the thread."""
        self.started.set()
        self.go_on.wait()
        if self._error is not None:
            raise self._error

    def __enter__(self) -> None:
        """Does nothing."""

    def __exit__(self, *exc_info: object) -> None:
        """Lets loads go on, however a test ends."""
        self.go_on.set()


class CachingManagerTest(parameterized.TestCase):
    """Loads on demand."""

    def _get(
        self,
        manager: caching_manager.CachingManager,
        request: servable.ServableRequest = _REQUEST,
    ) -> str:
        """Returns the servable, without keeping it."""
        with manager.get_servable_handle(request, str) as handle:
            return handle.servable

    def test_nothing_is_loaded_before_it_is_asked_for(self) -> None:
        """The factory is not called either."""
        factory = _Factory()
        with caching_manager.CachingManager(factory) as manager:
            self.assertEqual(manager.list_available_servable_ids(), [])
        self.assertEqual(factory.num_created, {})

    def test_version_is_loaded_once(self) -> None:
        """Later requests find it."""
        factory = _Factory()
        with caching_manager.CachingManager(factory) as manager:
            for _ in range(3):
                self.assertEqual(self._get(manager), "name:2")
            self.assertEqual(manager.list_available_servable_ids(), [_ID])
            self.assertEqual(manager.num_loads_in_progress, 0)
        self.assertEqual(factory.num_created, {_ID: 1})

    def test_factory_says_what_the_latest_is(self) -> None:
        """The factory is asked each time; older versions stay loaded."""
        factory = _Factory()
        with caching_manager.CachingManager(factory) as manager:
            self.assertEqual(self._get(manager, _LATEST), "name:2")
            factory.latest = 1
            self.assertEqual(self._get(manager, _LATEST), "name:1")
            factory.latest = 3
            self.assertEqual(self._get(manager, _LATEST), "name:3")
            self.assertEqual(
                [
                    each.version
                    for each in manager.list_available_servable_ids()
                ],
                [1, 2, 3],
            )

    @parameterized.parameters(
        servable.ServableRequest.latest("other"),
        servable.ServableRequest.specific("other", 1),
    )
    def test_error_of_the_factory_is_raised(
        self, request: servable.ServableRequest
    ) -> None:
        """An error of the factory is raised with its own code."""
        with caching_manager.CachingManager(_Factory()) as manager:
            with self.assertRaisesRegex(errors.NotFoundError, "^no .*other"):
                self._get(manager, request)
            self.assertEqual(manager.num_loads_in_progress, 0)

    def test_bug_of_the_factory_is_logged_and_not_shown(self) -> None:
        """The caller gets an INTERNAL error that does not show the bug."""
        with caching_manager.CachingManager(_Factory()) as manager:
            with (
                self.assertLogs(level="ERROR") as logs,
                self.assertRaisesRegex(
                    errors.InternalError, "ValueError; see the log$"
                ),
            ):
                self._get(manager, servable.ServableRequest.specific("bug", 1))
            self.assertEqual(manager.num_loads_in_progress, 0)
        self.assertIn("secret", "".join(logs.output))

    def test_failed_version_is_forgotten(self) -> None:
        """Each request tries anew, until one succeeds."""
        factory = _Factory(
            _Failing(errors.DataLossError("half"), errors.UnavailableError("-"))
        )
        with caching_manager.CachingManager(factory, _NO_RETRIES) as manager:
            with self.assertRaisesRegex(errors.DataLossError, "^half$"):
                self._get(manager)
            self.assertEqual(manager.num_loads_in_progress, 0)
            with self.assertRaises(errors.UnavailableError):
                self._get(manager)
            self.assertEqual(self._get(manager), "name:2")
        self.assertEqual(factory.num_created, {_ID: 3})

    def test_servable_of_another_class_is_refused(self) -> None:
        """A servable of another class stays loaded."""
        with caching_manager.CachingManager(_Factory()) as manager:
            with self.assertRaises(errors.InvalidArgumentError):
                manager.get_servable_handle(_REQUEST, int)
            self.assertEqual(self._get(manager), "name:2")

    def test_versions_must_fit_into_the_budget(self) -> None:
        """A version beyond the budget fails; the loaded ones stay."""
        tracker = resource_tracker.ResourceTracker(
            resource_tracker.ResourceAllocation(20)
        )
        factory = _Factory(_Failing(errors.DataLossError("half")))
        with caching_manager.CachingManager(
            factory, resource_tracker=tracker
        ) as manager:
            with self.assertRaises(errors.DataLossError):
                self._get(manager)
            for version in (1, 2):
                self._get(
                    manager, servable.ServableRequest.specific("name", version)
                )
            with self.assertRaises(errors.ResourceExhaustedError):
                self._get(manager, servable.ServableRequest.specific("name", 3))
            self.assertEqual(self._get(manager), "name:2")

    def test_transient_error_is_tried_again_while_the_caller_waits(
        self,
    ) -> None:
        """Tries are as many and as far apart as the options say."""
        clock = _WatchedClock(5e-6)
        factory = _Factory(_Failing(errors.UnavailableError("not yet")))
        options = basic_manager.Options(load_retry_interval_micros=5)
        with (
            concurrent.futures.ThreadPoolExecutor() as threads,
            caching_manager.CachingManager(
                factory, options, clock=clock
            ) as manager,
        ):
            request = threads.submit(self._get, manager)
            clock.is_awaited.wait()
            clock.settle(threads=1)
            self.assertFalse(request.done())
            self.assertEqual(manager.num_loads_in_progress, 1)
            clock.advance_micros(5)
            self.assertEqual(request.result(timeout=60), "name:2")
        self.assertEqual(factory.num_created, {_ID: 1})

    def test_states_are_published(self) -> None:
        """A version that is loaded and unloaded passes all states."""
        bus = event_bus.EventBus[servable.ServableState]()
        with servable_state_monitor.ServableStateMonitor(
            bus, max_count_log_events=100
        ) as monitor:
            with caching_manager.CachingManager(
                _Factory(), event_bus=bus
            ) as manager:
                self._get(manager)
            self.assertEqual(
                [each.event.manager_state for each in monitor.log()],
                list(servable.ManagerState),
            )

    def test_close_unloads_everything(self) -> None:
        """A closed manager has unloaded everything and returns no handle."""
        factory = _Factory()
        with caching_manager.CachingManager(factory) as manager:
            self._get(manager)
        self.assertEqual(factory.closed, ["name:2"])
        self.assertEqual(manager.list_available_servable_ids(), [])
        with self.assertRaisesRegex(
            errors.FailedPreconditionError, "The manager is closed"
        ):
            self._get(manager)
        self.assertEqual(manager.num_loads_in_progress, 0)
        manager.close()  # idempotent


class ConcurrentRequestsTest(parameterized.TestCase):
    """Several threads ask at the same time."""

    def test_requests_for_one_version_load_it_once(self) -> None:
        """They all get the same object."""
        slow = _Slow()
        factory = _Factory(slow)
        with (
            concurrent.futures.ThreadPoolExecutor(8) as threads,
            caching_manager.CachingManager(factory) as manager,
            slow,
        ):
            requests = [
                threads.submit(manager.get_untyped_servable_handle, request)
                for request in (_REQUEST, _LATEST) * 4
            ]
            self.assertTrue(slow.started.wait(60))
            self.assertEqual(manager.num_loads_in_progress, 1)
            slow.go_on.set()
            handles = [request.result(timeout=60) for request in requests]
            self.assertEqual(len({id(each.servable) for each in handles}), 1)
            self.assertEqual(manager.num_loads_in_progress, 0)
            for handle in handles:
                handle.close()
        self.assertEqual(factory.num_created, {_ID: 1})

    def test_other_versions_do_not_wait(self) -> None:
        """One that is loaded is served while another one is loading."""
        slow = _Slow()
        factory = _Factory(slow)
        with (
            concurrent.futures.ThreadPoolExecutor() as threads,
            caching_manager.CachingManager(
                factory, basic_manager.Options(num_load_threads=2)
            ) as manager,
            slow,
        ):
            requests = [
                threads.submit(
                    manager.get_untyped_servable_handle,
                    servable.ServableRequest.specific(name, 1),
                )
                for name in ("name_a", "name_b")
            ]
            self.assertTrue(slow.started.wait(60))
            slow.go_on.set()
            for request in requests:
                request.result(timeout=60).close()
            slow.started.clear()
            slow.go_on.clear()
            waiting = threads.submit(
                manager.get_untyped_servable_handle, _REQUEST
            )
            self.assertTrue(slow.started.wait(60))
            manager.get_untyped_servable_handle(
                servable.ServableRequest.specific("name_a", 1)
            ).close()
            self.assertFalse(waiting.done())
            slow.go_on.set()
            waiting.result(timeout=60).close()

    def test_each_request_gets_the_error(self) -> None:
        """Each request gets the code of a failed load, which then is over."""
        slow = _Slow(errors.DataLossError("half"))
        with (
            concurrent.futures.ThreadPoolExecutor(4) as threads,
            caching_manager.CachingManager(_Factory(slow)) as manager,
            slow,
        ):
            requests = [
                threads.submit(manager.get_untyped_servable_handle, _REQUEST)
                for _ in range(4)
            ]
            self.assertTrue(slow.started.wait(60))
            slow.go_on.set()
            raised = [request.exception(timeout=60) for request in requests]
            self.assertEqual(manager.num_loads_in_progress, 0)
        for error in raised:
            self.assertIsInstance(error, errors.DataLossError)
        self.assertEqual(len({id(error) for error in raised}), 4)

    def test_close_finishes_loads_that_have_begun(self) -> None:
        """Whoever waits for one gets an answer, and no version stays."""
        slow = _Slow(errors.DataLossError("half"))
        factory = _Factory(slow)
        manager = caching_manager.CachingManager(factory)
        with concurrent.futures.ThreadPoolExecutor() as threads, slow:
            request = threads.submit(
                manager.get_untyped_servable_handle, _REQUEST
            )
            self.assertTrue(slow.started.wait(60))
            close = threads.submit(manager.close)
            self.assertFalse(close.done())
            slow.go_on.set()
            close.result(timeout=60)
            with self.assertRaises(errors.DataLossError):
                request.result(timeout=60)
        self.assertEqual(manager.num_loads_in_progress, 0)

    def test_version_is_not_loaded_again_while_it_is_unloaded(self) -> None:
        """A close that waits for a handle refuses requests, each of them."""
        clock = fake_clock.FakeClock()
        manager = caching_manager.CachingManager(_Factory(), clock=clock)
        with (
            concurrent.futures.ThreadPoolExecutor() as threads,
            manager.get_servable_handle(_REQUEST, str) as handle,
        ):
            close = threads.submit(manager.close)
            clock.settle(threads=1)
            for _ in range(2):
                with self.assertRaises(errors.FailedPreconditionError):
                    manager.get_servable_handle(_REQUEST, str)
            self.assertEqual(manager.num_loads_in_progress, 0)
            self.assertEqual(handle.servable, "name:2")
            handle.close()
            close.result(timeout=60)


if __name__ == "__main__":
    absltest.main()
