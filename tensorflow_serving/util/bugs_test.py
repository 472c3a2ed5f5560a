"""Tests for bugs."""

from absl.testing import absltest

from tensorflow_serving.util import bugs, errors


class AsServingErrorTest(absltest.TestCase):
    """Tests of the errors that clients get for unexpected exceptions."""

    def test_serving_error_is_returned_as_it_is(self) -> None:
        """An error of the family is neither copied nor logged."""
        error = errors.NotFoundError("no such version")
        with self.assertNoLogs():
            self.assertIs(bugs.as_serving_error("loading a", error), error)

    def test_bug_is_logged_and_not_shown(self) -> None:
        """The log has the text and the stack of a bug; the client its class."""
        with self.assertLogs() as log:
            error = bugs.as_serving_error("loading a", KeyError("secret"))
        self.assertIsInstance(error, errors.InternalError)
        self.assertEqual(
            str(error), "loading a failed with a KeyError; see the log"
        )
        self.assertIn("Loading a failed", log.output[0])
        self.assertIn("secret", log.output[0])

    def test_lack_of_memory_is_no_bug(self) -> None:
        """Less at a time may succeed, and the log has the stack."""
        with self.assertLogs() as log:
            error = bugs.as_serving_error("running a batch", MemoryError("9 B"))
        self.assertIsInstance(error, errors.ResourceExhaustedError)
        self.assertEqual(
            str(error), "There is not enough memory for running a batch."
        )
        self.assertIn("9 B", log.output[0])


if __name__ == "__main__":
    absltest.main()
