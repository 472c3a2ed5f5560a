"""Tests for config_poller, with a core whose models have no versions."""

import itertools
import queue

from absl.testing import absltest

from tensorflow_serving.model_servers import (
    config_poller,
    model_configs,
    server_core,
)
from tensorflow_serving.util import errors


class ConfigPollerTest(absltest.TestCase):
    """Tests of single polls, and of the thread."""

    def setUp(self) -> None:
        """Makes a core that serves nothing yet."""
        super().setUp()
        self.folder = self.create_tempdir().full_path
        self.core = server_core.ServerCore(server_core.Options(), ())
        self.addCleanup(self.core.close)
        # The next reads return or raise these.
        self.reads: queue.SimpleQueue[
            model_configs.Models | errors.ServingError
        ] = queue.SimpleQueue()

    def _read(self) -> model_configs.Models:
        read = self.reads.get()
        if isinstance(read, errors.ServingError):
            raise read
        return read

    def _models(self, *names: str) -> model_configs.Models:
        return tuple(
            model_configs.ModelConfig(name, f"{self.folder}/{name}")
            for name in names
        )

    def _num_warnings(self, *texts: str, is_asked: bool = False) -> int:
        """Returns how many warnings polls with these errors cause; "": none."""
        with (
            config_poller.ConfigPoller(self.core, self._read, 0) as poller,
            self.assertLogs("absl", "WARNING") as logs,
        ):
            for text in texts:
                self.reads.put(
                    errors.InvalidArgumentError(text)
                    if text
                    else self.core.models
                )
                poller.poll_once(is_asked=is_asked)
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

    def test_whoever_asks_is_told_each_time(self) -> None:
        """The same error is logged again for a poll that was asked for."""
        self.assertEqual(self._num_warnings("a", "a", is_asked=True), 2)

    def test_models_are_served_until_others_can_be_read(self) -> None:
        """An error changes nothing, and neither does the same configuration."""
        first, second = self._models("one"), self._models("one", "two")
        with config_poller.ConfigPoller(self.core, self._read, 0) as poller:
            for read, expected in (
                (first, first),
                (errors.InvalidArgumentError("broken"), first),
                (first, first),
                (second, second),
            ):
                self.reads.put(read)
                poller.poll_once()
                self.assertEqual(self.core.models, expected)

    def test_poll_that_is_asked_for_does_not_wait_for_its_time(self) -> None:
        """There is no period here."""
        models = self._models("one")
        with config_poller.ConfigPoller(self.core, self._read, 0) as poller:
            poller.poll_soon()
            self.reads.put(models)
            self.core.news.wait_until(lambda: self.core.models == models, 0)

    def test_thread_polls_every_so_often(self) -> None:
        """A second configuration is found after a first one."""
        first, second = self._models("one"), self._models("two")
        reads = itertools.chain([first], itertools.repeat(second))
        with config_poller.ConfigPoller(self.core, reads.__next__, 0.001):
            self.core.news.wait_until(lambda: self.core.models == second, 0)


if __name__ == "__main__":
    absltest.main()
