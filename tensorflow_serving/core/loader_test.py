"""Tests for loader."""

from absl.testing import absltest

from tensorflow_serving.core import loader
from tensorflow_serving.resources import resource_tracker
from tensorflow_serving.util import errors


class SimpleLoaderTest(absltest.TestCase):
    """A loader made of functions."""

    def setUp(self) -> None:
        """Makes a list of the calls."""
        super().setUp()
        self.calls: list[str] = []

    def _create(self) -> list[str]:
        self.calls.append("create")
        return ["servable"]

    def _estimate(self) -> int:
        self.calls.append("estimate")
        return 7

    def _close(self, servable: list[str]) -> None:
        self.calls.append(f"close {servable[0]}")

    def test_servable_is_created_and_closed(self) -> None:
        """Each of the two functions of a loader is called at its time."""
        simple = loader.SimpleLoader(self._create, self._estimate, self._close)
        self.assertEqual(self.calls, [])
        simple.load()
        self.assertEqual(simple.servable(), ["servable"])
        self.assertIs(simple.servable(), simple.servable())
        simple.unload()
        self.assertEqual(self.calls, ["create", "close servable"])

    def test_estimate_is_made_once(self) -> None:
        """It may take long, as that of a large folder does."""
        simple = loader.SimpleLoader(self._create, self._estimate)
        for _ in range(2):
            self.assertEqual(
                simple.estimate_resources(),
                resource_tracker.ResourceAllocation(ram_in_bytes=7),
            )
        self.assertEqual(self.calls, ["estimate"])

    def test_estimate_that_fails_is_made_again(self) -> None:
        """Only what is known is kept."""
        estimates = iter([-1, 3])
        simple = loader.SimpleLoader(self._create, lambda: next(estimates))
        with self.assertRaises(errors.InvalidArgumentError):
            simple.estimate_resources()
        self.assertEqual(simple.estimate_resources().ram_in_bytes, 3)

    def test_warning_is_about_the_servable(self) -> None:
        """A loader warns of what it has loaded, and by default of nothing."""
        for simple, warning in (
            (loader.SimpleLoader(self._create, self._estimate), ""),
            (
                loader.SimpleLoader(
                    self._create,
                    self._estimate,
                    warning=lambda servable: f"{servable[0]} is cold",
                ),
                "servable is cold",
            ),
        ):
            simple.load()
            self.assertEqual(simple.warning(), warning)

    def test_servable_can_do_without_close(self) -> None:
        """A servable without close() is just forgotten."""
        simple = loader.SimpleLoader(self._create, self._estimate)
        simple.load()
        simple.unload()
        with self.assertRaises(AssertionError):
            simple.servable()

    def test_failed_load_leaves_nothing(self) -> None:
        """A load that failed can be tried again."""

        def create() -> list[str]:
            self.calls.append("create")
            if self.calls == ["create"]:
                raise errors.UnavailableError("not now")
            return ["servable"]

        simple = loader.SimpleLoader(create, self._estimate, self._close)
        with self.assertRaisesRegex(errors.UnavailableError, "not now"):
            simple.load()
        with self.assertRaises(AssertionError):
            simple.servable()
        simple.load()
        self.assertEqual(simple.servable(), ["servable"])

    def test_no_servable_is_an_error(self) -> None:
        """None is what a function returns that forgot to return."""
        simple = loader.SimpleLoader(lambda: None, self._estimate)
        with self.assertRaisesRegex(
            errors.InternalError, "^a servable must be created; got None$"
        ):
            simple.load()

    def test_servable_is_closed_once(self) -> None:
        """A servable is closed once, even if closing it fails."""

        def close(servable: list[str]) -> None:
            self._close(servable)
            raise errors.InternalError("stuck")

        simple = loader.SimpleLoader(self._create, self._estimate, close)
        simple.load()
        with self.assertRaisesRegex(errors.InternalError, "stuck"):
            simple.unload()
        simple.unload()
        self.assertEqual(self.calls, ["create", "close servable"])


if __name__ == "__main__":
    absltest.main()
