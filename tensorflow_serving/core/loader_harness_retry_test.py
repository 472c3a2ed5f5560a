"""Tests for loader_harness: loads that are tried again."""

from collections.abc import Sequence
from concurrent import futures

from absl.testing import absltest, parameterized

from tensorflow_serving.core import loader_harness, servable
from tensorflow_serving.test_util import fake_clock, fake_loader
from tensorflow_serving.util import errors

_State = loader_harness.State
_OPTIONS = loader_harness.Options(
    max_num_load_retries=2, load_retry_interval_micros=10
)


class OptionsTest(parameterized.TestCase):
    """Values out of range are refused."""

    @parameterized.parameters(
        "max_num_load_retries", "load_retry_interval_micros"
    )
    def test_value_below_0_is_refused(self, name: str) -> None:
        """The error names the option."""
        with self.assertRaisesRegex(
            errors.InvalidArgumentError, f"^{name} must be at least 0; got -1$"
        ):
            loader_harness.Options(**{name: -1})


class RetryTest(parameterized.TestCase):
    """A load that fails is tried twice more, each time after 10 us."""

    def setUp(self) -> None:
        """Stops the clock."""
        super().setUp()
        self.clock = fake_clock.FakeClock()
        self.executor = futures.ThreadPoolExecutor(1)
        self.addCleanup(self.executor.shutdown)

    def _make(
        self,
        load_errors: Sequence[Exception],
        options: loader_harness.Options = _OPTIONS,
    ) -> loader_harness.LoaderHarness:
        """Returns a harness that is about to load."""
        self.loader = fake_loader.FakeLoader(errors=load_errors)
        harness = loader_harness.LoaderHarness(
            servable.ServableId("a", 1), self.loader, options, self.clock
        )
        harness.load_requested()
        harness.load_approved()
        return harness

    def test_load_is_tried_again_when_it_is_time(self) -> None:
        """Not a microsecond before; meanwhile the version is LOADING."""
        harness = self._make([errors.UnavailableError("not now")])
        load = self.executor.submit(harness.load)
        self.clock.settle(threads=1)
        self.clock.advance_micros(9)
        self.clock.settle(threads=1)
        self.assertEqual(self.loader.calls, ["load"])
        self.assertIs(harness.state, _State.LOADING)
        self.clock.advance_micros(1)
        load.result()
        self.assertEqual(self.loader.calls, ["load", "load"])
        self.assertIs(harness.state, _State.READY)
        self.assertIsNone(harness.error)

    def test_last_try_may_succeed(self) -> None:
        """Two retries are three tries; each failure is in the log."""
        harness = self._make([errors.AbortedError(str(n)) for n in range(2)])
        with self.assertLogs(level="WARNING") as log:
            load = self.executor.submit(harness.load)
            for _ in range(2):
                self.clock.settle(threads=1)
                self.clock.advance_micros(10)
            load.result()
        self.assertEqual(self.loader.calls, ["load"] * 3)
        self.assertIs(harness.state, _State.READY)
        self.assertEqual(len(log.output), 2)
        self.assertRegex(
            log.output[1],
            "Loading {name: a version: 1} failed: 1. Retry 2 of 2 follows in "
            "1e-05 s$",
        )

    def test_retries_run_out(self) -> None:
        """The error is the last one."""
        harness = self._make([errors.AbortedError(str(n)) for n in range(4)])
        load = self.executor.submit(harness.load)
        for _ in range(2):
            self.clock.settle(threads=1)
            self.clock.advance_micros(10)
        with self.assertRaisesRegex(errors.AbortedError, "^2$"):
            load.result()
        self.assertEqual(self.loader.calls, ["load"] * 3)
        self.assertIs(harness.state, _State.ERROR)
        self.assertEqual(str(harness.error), "2")

    def test_default_is_one_try(self) -> None:
        """A manager asks for more."""
        harness = self._make(
            [errors.UnavailableError("not now")], loader_harness.Options()
        )
        with self.assertRaisesRegex(errors.UnavailableError, "^not now$"):
            harness.load()
        self.assertEqual(self.loader.calls, ["load"])

    def test_interval_may_be_0(self) -> None:
        """Then nothing waits for the clock."""
        harness = self._make(
            [errors.UnavailableError("not now")],
            loader_harness.Options(max_num_load_retries=1),
        )
        harness.load()
        self.assertEqual(self.loader.calls, ["load", "load"])

    @parameterized.named_parameters(
        ("not_found", errors.NotFoundError("gone"), errors.NotFoundError),
        ("data_loss", errors.DataLossError("gone"), errors.DataLossError),
        ("bug", KeyError("gone"), errors.InternalError),
    )
    def test_permanent_error_is_not_tried_again(
        self, error: Exception, wanted: type[errors.ServingError]
    ) -> None:
        """It would come again; so it is with a bug of the loader."""
        harness = self._make([error])
        with self.assertRaises(wanted):
            harness.load()
        self.assertEqual(self.loader.calls, ["load"])
        self.assertIs(harness.state, _State.ERROR)

    def test_permanent_error_ends_the_retries(self) -> None:
        """Even if more were left."""
        harness = self._make(
            [errors.UnavailableError("not now"), errors.NotFoundError("gone")]
        )
        load = self.executor.submit(harness.load)
        self.clock.settle(threads=1)
        self.clock.advance_micros(10)
        with self.assertRaisesRegex(errors.NotFoundError, "^gone$"):
            load.result()
        self.assertEqual(self.loader.calls, ["load", "load"])

    def test_cancelling_ends_the_wait_at_once(self) -> None:
        """The clock stands still; the error says why the last try failed."""
        harness = self._make([errors.UnavailableError("not now")])
        load = self.executor.submit(harness.load)
        self.clock.settle(threads=1)
        harness.cancel_load_retry()
        with self.assertRaisesRegex(errors.CancelledError, ": not now$"):
            load.result()
        self.assertEqual(self.loader.calls, ["load"])
        self.assertIs(harness.state, _State.ERROR)
        self.assertIsInstance(harness.error, errors.CancelledError)

    def test_try_that_runs_is_not_cancelled(self) -> None:
        """It may still succeed."""
        harness = self._make([])
        self.loader.may_load.clear()
        load = self.executor.submit(harness.load)
        self.loader.load_started.wait()
        harness.cancel_load_retry()
        self.loader.may_load.set()
        load.result()
        self.assertIs(harness.state, _State.READY)

    def test_try_that_ran_when_cancelled_is_the_last(self) -> None:
        """If it fails."""
        harness = self._make([errors.UnavailableError("not now")])
        self.loader.may_load.clear()
        load = self.executor.submit(harness.load)
        self.loader.load_started.wait()
        harness.cancel_load_retry()
        self.loader.may_load.set()
        with self.assertRaises(errors.CancelledError):
            load.result()
        self.assertEqual(self.loader.calls, ["load"])

    def test_cancelling_before_the_load_leaves_one_try(self) -> None:
        """And cancelling twice is the same as once."""
        harness = self._make([errors.UnavailableError("not now")])
        harness.cancel_load_retry()
        harness.cancel_load_retry()
        with self.assertRaises(errors.CancelledError):
            harness.load()
        self.assertEqual(self.loader.calls, ["load"])


if __name__ == "__main__":
    absltest.main()
