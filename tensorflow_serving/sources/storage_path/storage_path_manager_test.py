"""Tests for storage_path_manager, with servables that are paths."""

import os
import signal
import threading
from collections.abc import Callable

from absl.testing import absltest, parameterized

from tensorflow_serving.core import servable, simple_loader_source_adapter
from tensorflow_serving.sources.storage_path import (
    storage_path_config,
    storage_path_manager,
    version_check,
)
from tensorflow_serving.test_util import tiny_versions
from tensorflow_serving.util import errors, signals


def _load(path: str) -> str:
    return path


class StoragePathManagerTest(parameterized.TestCase):
    """From folders of versions to handles."""

    def setUp(self) -> None:
        """Takes over the signals, for the time of the test."""
        super().setUp()
        self.termination = signals.Termination()
        self.addCleanup(self.termination.close)
        self.folder = self.create_tempdir().full_path

    def _write(self, name: str, version: int) -> str:
        """Puts a version below the base path of a servable; returns it."""
        path = os.path.join(self.folder, name, f"{version:08d}")
        tiny_versions.write(f"{path}-tmp", {"any": b"content"})
        os.rename(f"{path}-tmp", path)
        return path

    def _config(
        self, *names: str, poll_wait_seconds: float = 0.05
    ) -> storage_path_config.Config:
        return storage_path_config.Config(
            tuple(
                storage_path_config.ServableToMonitor(
                    name,
                    os.path.join(self.folder, name),
                    version_check=version_check.any_content,
                )
                for name in names
            ),
            poll_wait_seconds,
            fail_if_zero_versions_at_startup=not poll_wait_seconds,
        )

    def _serve(
        self,
        config: storage_path_config.Config,
        load: Callable[[str], str] = _load,
    ) -> storage_path_manager.StoragePathManager:
        adapter = simple_loader_source_adapter.SimpleLoaderSourceAdapter[
            str, str
        ](load, lambda path: 0)
        self.enter_context(adapter)
        versions = storage_path_manager.StoragePathManager(config, adapter)
        self.addCleanup(versions.close)
        return versions

    def _newest(
        self, versions: storage_path_manager.StoragePathManager, name: str
    ) -> str:
        request = servable.ServableRequest.latest(name)
        with versions.manager.get_servable_handle(request, str) as handle:
            return handle.servable

    @parameterized.parameters(0.0, 0.05)
    def test_newest_version_of_each_servable_is_there(
        self, poll_wait_seconds: float
    ) -> None:
        """There is one newest version, however often folders are read."""
        path = self._write("one", 1)
        self._write("two", 2)
        newest = self._write("two", 3)
        versions = self._serve(
            self._config("one", "two", poll_wait_seconds=poll_wait_seconds)
        )
        self.assertIsNone(versions.wait_until_available(self.termination))
        self.assertFalse(versions.is_loading)
        self.assertEqual(self._newest(versions, "one"), path)
        self.assertEqual(self._newest(versions, "two"), newest)

    def test_first_version_may_come_later(self) -> None:
        """It is waited for, and the log says so."""
        with self.assertLogs(level="INFO") as logs:
            versions = self._serve(self._config("one"))
            thread = threading.Thread(target=self._write, args=["one", 1])
            thread.start()
            self.assertIsNone(versions.wait_until_available(self.termination))
            thread.join()
        self.assertRegex(
            "\n".join(logs.output),
            f"Waiting for a version of one in {self.folder}/one, .*; known so "
            "far: ",
        )

    def test_signal_ends_the_wait(self) -> None:
        """Its name is returned."""
        versions = self._serve(self._config("one"))
        os.kill(os.getpid(), signal.SIGTERM)
        self.assertEqual(
            versions.wait_until_available(self.termination), "SIGTERM"
        )

    def test_load_that_runs_is_known(self) -> None:
        """A caller can tell that close() would wait for it."""
        begun, may_end = threading.Event(), threading.Event()

        def load(path: str) -> str:
            begun.set()
            may_end.wait()
            return path

        self._write("one", 1)
        versions = self._serve(self._config("one"), load)
        begun.wait()
        self.assertTrue(versions.is_loading)
        may_end.set()
        self.assertIsNone(versions.wait_until_available(self.termination))

    def test_version_that_nobody_looks_for_is_not_waited_for(self) -> None:
        """If it is not there at the start, that is an error."""
        os.mkdir(os.path.join(self.folder, "one"))
        with self.assertRaisesRegex(errors.NotFoundError, "must have a vers"):
            self._serve(self._config("one", poll_wait_seconds=0))

    def test_other_servables_take_over(self) -> None:
        """Those that a new configuration leaves out are not waited for."""
        path = self._write("two", 1)
        versions = self._serve(self._config("one"))
        versions.update_config(self._config("two"))
        self.assertIsNone(versions.wait_until_available(self.termination))
        self.assertEqual(self._newest(versions, "two"), path)

    def test_everything_is_unloaded_at_the_end(self) -> None:
        """Everything is unloaded once, however often it is closed."""
        self._write("one", 1)
        versions = self._serve(self._config("one"))
        self.assertIsNone(versions.wait_until_available(self.termination))
        versions.close()
        versions.close()
        self.assertEqual(versions.manager.list_available_servable_ids(), [])


if __name__ == "__main__":
    absltest.main()
