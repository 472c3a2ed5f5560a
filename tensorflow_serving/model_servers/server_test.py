"""Tests for server; its life is tested by tensorflow_model_server_test."""

from collections.abc import Iterator

from absl.testing import absltest

from tensorflow_serving.model_servers import server
from tensorflow_serving.util import errors


class ConfigPollerTest(absltest.TestCase):
    """Tests of single polls, without a thread."""

    def _num_warnings(self, *texts: str) -> int:
        """Returns how many warnings polls with these errors cause; "": none."""
        remaining: Iterator[str] = iter(texts)

        def read() -> None:
            if text := next(remaining):
                raise errors.InvalidArgumentError(text)

        with (
            server.ConfigPoller(read, 0) as poller,
            self.assertLogs("absl", "WARNING") as logs,
        ):
            for _ in texts:
                poller.poll_once()
        return len(logs.records)

    def test_error_that_stays_is_logged_once(self) -> None:
        """A broken file does not fill the log, however often it is read."""
        self.assertEqual(self._num_warnings("a", "a", "a"), 1)

    def test_each_new_error_is_logged(self) -> None:
        """A file that is broken in another way causes another warning."""
        self.assertEqual(self._num_warnings("a", "b"), 2)

    def test_error_that_comes_back_is_logged_again(self) -> None:
        """A success in between makes an error news."""
        self.assertEqual(self._num_warnings("a", "", "a"), 2)


if __name__ == "__main__":
    absltest.main()
