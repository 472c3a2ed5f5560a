"""Tests for loader_harness: loads that are tried again."""

from concurrent import futures

from absl.testing import absltest

from tensorflow_serving.core import loader_harness, servable
from tensorflow_serving.test_util import fake_loader
from tensorflow_serving.util import errors

_State = loader_harness.State
_OPTIONS = loader_harness.Options(max_num_load_retries=2)


class OptionsTest(absltest.TestCase):
    """Values out of range are refused."""

    def test_value_below_0_is_refused(self) -> None:
        """The error names the option."""
        with self.assertRaisesRegex(
            errors.InvalidArgumentError,
            "^max_num_load_retries must be at least 0; got -1$",
        ):
            loader_harness.Options(max_num_load_retries=-1)


class RetryTest(absltest.TestCase):
    """A load that fails is tried twice more."""

    def _make(
        self, options: loader_harness.Options = _OPTIONS
    ) -> loader_harness.LoaderHarness:
        """Returns a harness that is about to load."""
        self.loader = fake_loader.FakeLoader(
            errors=[errors.UnavailableError("not now")] * 3
        )
        harness = loader_harness.LoaderHarness(
            servable.ServableData.ok(servable.ServableId("a", 1), self.loader),
            options,
        )
        harness.load_requested()
        harness.load_approved()
        return harness

    def test_harness_waits_for_its_next_try_without_resources(self) -> None:
        """It is LOAD_REQUESTED once more, and needs another approval."""
        harness = self._make()
        for number in (1, 2):
            with self.assertRaises(errors.UnavailableError) as raised:
                harness.load()
            self.assertTrue(harness.should_retry(raised.exception))
            self.assertIs(harness.state, _State.LOAD_REQUESTED)
            self.assertEqual(harness.num_retries, number)
            harness.load_approved()
        with self.assertRaises(errors.UnavailableError) as raised:
            harness.load()
        self.assertFalse(harness.should_retry(raised.exception))
        self.assertEqual(self.loader.calls, ["load"] * 3)

    def test_default_is_one_try(self) -> None:
        """A harness tries once unless its manager asks for more."""
        harness = self._make(loader_harness.Options())
        self.assertFalse(harness.should_retry(errors.UnavailableError("x")))

    def test_permanent_error_is_not_tried_again(self) -> None:
        """A permanent error would come again, so there is one try."""
        harness = self._make()
        self.assertFalse(harness.should_retry(errors.DataLossError("x")))

    def test_cancelled_load_does_not_begin(self) -> None:
        """The loader is not called, and the snapshot says why."""
        harness = self._make()
        harness.cancel_load()
        with self.assertRaises(errors.CancelledError):
            harness.load()
        self.assertEqual(self.loader.calls, [])
        self.assertTrue(harness.snapshot().is_cancelled)
        self.assertFalse(harness.should_retry(errors.UnavailableError("x")))

    def test_load_that_is_cancelled_while_it_runs_is_unloaded(self) -> None:
        """It was never ready."""
        harness = self._make()
        loader = fake_loader.FakeLoader()
        harness = loader_harness.LoaderHarness(
            servable.ServableData.ok(harness.id, loader)
        )
        harness.load_requested()
        harness.load_approved()
        loader.may_load.clear()
        with futures.ThreadPoolExecutor(1) as executor:
            load = executor.submit(harness.load, self.fail)
            loader.load_started.wait()
            harness.cancel_load()
            loader.may_load.set()
            with self.assertRaises(errors.CancelledError):
                load.result()
        self.assertEqual(loader.calls, ["load", "unload"])

    def test_load_that_is_wanted_again_in_time_goes_on(self) -> None:
        """Cancelling counts when a load begins and when it has ended."""
        harness = self._make()
        harness.cancel_load()
        harness.uncancel_load()
        harness.require_wanted()
        self.assertFalse(harness.snapshot().is_cancelled)

    def test_load_that_was_given_up_stays_so(self) -> None:
        """It is too late to want it again."""
        harness = self._make()
        harness.cancel_load()
        with self.assertRaises(errors.CancelledError):
            harness.require_wanted()
        harness.uncancel_load()
        self.assertTrue(harness.snapshot().is_cancelled)


if __name__ == "__main__":
    absltest.main()
