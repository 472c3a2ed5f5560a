"""Tests for fake_loader."""

import threading
from concurrent import futures

from absl.testing import absltest

from tensorflow_serving.resources import resource_tracker
from tensorflow_serving.test_util import fake_loader
from tensorflow_serving.util import errors


class FakeLoaderTest(absltest.TestCase):
    """Tests of a loader that records calls, and fails or blocks on demand."""

    def test_calls_are_recorded_in_order(self) -> None:
        """Each call is recorded with the thread that made it."""
        loader = fake_loader.FakeLoader("servable", ram_in_bytes=7)
        with futures.ThreadPoolExecutor(1) as executor:
            other = executor.submit(threading.current_thread).result()
            self.assertEqual(
                executor.submit(loader.estimate_resources).result(),
                resource_tracker.ResourceAllocation(7),
            )
        loader.load()
        self.assertTrue(loader.is_loaded)
        self.assertEqual(loader.servable(), "servable")
        loader.unload()
        self.assertFalse(loader.is_loaded)
        self.assertEqual(loader.calls, ["estimate", "load", "unload"])
        here = threading.current_thread()
        self.assertEqual(loader.threads, [other, here, here])

    def test_each_loader_has_a_servable_of_its_own(self) -> None:
        """A loader has a servable of its own unless it is given one."""
        loaders = [fake_loader.FakeLoader() for _ in range(2)]
        for loader in loaders:
            loader.load()
        self.assertIsNot(loaders[0].servable(), loaders[1].servable())

    def test_first_loads_raise_the_errors(self) -> None:
        """Errors are raised in turn; the load after the last one succeeds."""
        wanted = [errors.UnavailableError("one"), KeyError("two")]
        loader = fake_loader.FakeLoader(errors=wanted)
        for error in wanted:
            with self.assertRaises(type(error)) as raised:
                loader.load()
            self.assertIs(raised.exception, error)
            self.assertFalse(loader.is_loaded)
        loader.load()
        self.assertTrue(loader.is_loaded)

    def test_estimate_and_unload_raise_their_errors(self) -> None:
        """Estimates and unloads raise their errors; an unload still unloads."""
        loader = fake_loader.FakeLoader(
            estimate_error=errors.NotFoundError("estimate"),
            unload_error=errors.InternalError("unload"),
        )
        for _ in range(2):
            with self.assertRaisesRegex(errors.NotFoundError, "estimate"):
                loader.estimate_resources()
        loader.load()
        with self.assertRaisesRegex(errors.InternalError, "unload"):
            loader.unload()
        self.assertFalse(loader.is_loaded)

    def test_estimate_can_change(self) -> None:
        """An estimate may fall, as for a servable that is loaded."""
        loader = fake_loader.FakeLoader(ram_in_bytes=7)
        loader.ram_in_bytes = 3
        self.assertEqual(loader.estimate_resources().ram_in_bytes, 3)

    def test_load_and_unload_block_while_they_may_not_go_on(self) -> None:
        """They say when they have begun."""
        loader = fake_loader.FakeLoader()
        loader.may_load.clear()
        loader.may_unload.clear()
        with futures.ThreadPoolExecutor(1) as executor:
            load = executor.submit(loader.load)
            loader.load_started.wait()
            self.assertFalse(load.done())
            self.assertFalse(loader.is_loaded)
            loader.may_load.set()
            load.result()
            self.assertFalse(loader.unload_started.is_set())
            unload = executor.submit(loader.unload)
            loader.unload_started.wait()
            self.assertFalse(unload.done())
            self.assertTrue(loader.is_loaded)
            loader.may_unload.set()
            unload.result()
        self.assertFalse(loader.is_loaded)

    def test_calls_out_of_order_are_refused(self) -> None:
        """A test notices a manager that unloads or loads twice."""
        loader = fake_loader.FakeLoader()
        with self.assertRaisesRegex(AssertionError, "not loaded"):
            loader.unload()
        with self.assertRaisesRegex(AssertionError, "must be loaded"):
            loader.servable()
        loader.load()
        with self.assertRaisesRegex(AssertionError, "loaded already"):
            loader.load()


if __name__ == "__main__":
    absltest.main()
