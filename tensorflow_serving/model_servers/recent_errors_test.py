"""Tests for recent_errors."""

from absl.testing import absltest

from tensorflow_serving.model_servers import call_events, recent_errors
from tensorflow_serving.util import errors

_SUBJECT = call_events.Subject("GRPC", "Predict", "m", 3, "serving_default")


class RecentErrorsTest(absltest.TestCase):
    """Tests of a few errors, and of many."""

    def setUp(self) -> None:
        """Starts without errors, at the time 100."""
        super().setUp()
        self.now = 100.0
        self.errors = recent_errors.RecentErrors(lambda: self.now)

    def _refuse(self, text: str, model: str = "m") -> None:
        self.errors.refused(
            call_events.Refused("REST", "Predict", model),
            errors.InvalidArgumentError(text),
        )

    def test_newest_error_is_the_first(self) -> None:
        """Errors say which call got them, when, and why."""
        self._refuse("old")
        self.now = 101.5
        self.errors.failed(_SUBJECT, [], errors.UnavailableError("full"))
        newest, old = self.errors.newest()
        self.assertEqual(
            newest,
            recent_errors.RecentError(
                "UNAVAILABLE", "full", "m", "Predict", "GRPC", 0, 101.5
            ),
        )
        self.assertEqual((old.text, old.entrypoint), ("old", "REST"))

    def test_error_that_comes_again_is_counted(self) -> None:
        """The same error for another model is another one."""
        self._refuse("x")
        self._refuse("y")
        self.now = 102.0
        self._refuse("x")
        self._refuse("x", model="")
        self.assertEqual(
            [
                (each.model, each.text, each.number, each.time)
                for each in self.errors.newest()
            ],
            [("", "x", 1, 102), ("m", "x", 2, 102), ("m", "y", 1, 100)],
        )

    def test_error_with_another_number_comes_again(self) -> None:
        """Rows and sizes differ from call to call; the newest text counts."""
        self._refuse("old")
        for number in range(1000):
            self._refuse(f"element: {number} has size {2 * number}")
        newest, old = self.errors.newest()
        self.assertEqual(newest.text, "element: 999 has size 1998")
        self.assertEqual((newest.number, old.text), (1000, "old"))

    def test_number_of_errors_and_their_texts_are_bounded(self) -> None:
        """Fifty errors are kept, each of a thousand letters and some."""
        for number in range(1000):
            self._refuse(f"{'a' * number}{'x' * 5000}")
        newest = self.errors.newest()
        self.assertEqual(len(newest), 50)
        self.assertRegex(newest[0].text, "^a{999}x")
        self.assertLessEqual(len(newest[0].text), 1024)


if __name__ == "__main__":
    absltest.main()
