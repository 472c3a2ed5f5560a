"""Tests of file_system_storage_path_source with storage that hangs."""

import os
import threading
from collections.abc import Sequence

from absl.testing import absltest

from tensorflow_serving.core import servable
from tensorflow_serving.sources.storage_path import (
    file_system_storage_path_source as source_lib,
)
from tensorflow_serving.sources.storage_path import (
    stall_guard,
    version_check,
    version_folder,
)
from tensorflow_serving.test_util import fake_clock, tiny_versions
from tensorflow_serving.util import errors


class StallTest(absltest.TestCase):
    """One servable whose look does not end, and one that is well."""

    def setUp(self) -> None:
        """Makes a source of both."""
        super().setUp()
        self._base = self.create_tempdir().full_path
        self._clock = fake_clock.FakeClock()
        self._stall_clock = fake_clock.FakeClock()
        self._hangs = threading.Event()
        self._go_on = threading.Event()
        self.addCleanup(self._go_on.set)
        self._reported: list[str] = []
        for name in ("hung", "well"):
            tiny_versions.write(
                os.path.join(self._base, name, "1"), tiny_versions.export()
            )
        self._source = source_lib.FileSystemStoragePathSource(
            self._config("hung", "well"),
            clock=self._clock,
            stall_clock=self._stall_clock,
        )
        self.addCleanup(self._source.close)
        self._source.set_aspired_versions_callback(self._take)

    def _config(self, *folders: str) -> source_lib.Config:
        return source_lib.Config(
            tuple(
                source_lib.ServableToMonitor(
                    name,
                    os.path.join(self._base, folder),
                    version_check=version_check.VersionCheck(self._check),
                )
                for name, folder in zip(("a", "b"), folders, strict=True)
            ),
            -1,
        )

    def _check(self, path: str, contents: version_folder.Contents) -> None:
        if "hung" in path:
            self._hangs.set()
            self._go_on.wait()

    def _take(
        self, name: str, versions: Sequence[servable.ServableData[str]]
    ) -> None:
        numbers = "".join(f" {each.id.version}" for each in versions)
        self._reported.append(f"{name}:{numbers}")

    def _poll(self) -> list[str]:
        self._clock.advance_micros(1_000_000)
        self._reported.clear()
        self._problems = self._source.poll_once()
        return self._reported

    def _poll_while_one_hangs(self) -> None:
        thread = threading.Thread(target=self._poll)
        thread.start()
        self._hangs.wait()
        self._stall_clock.settle(threads=1)
        self._stall_clock.advance_micros(
            round(stall_guard.PATIENCE_SECONDS * 1e6)
        )
        thread.join()

    def test_others_are_reported(self) -> None:
        """The one that hangs stays as it is, and costs no time from then on."""
        with self.assertLogs(level="WARNING") as logs:
            self._poll_while_one_hangs()
            self.assertEqual(self._reported, ["b:"])
            self.assertEqual(self._poll(), ["b: 1"])
        self.assertIsInstance(self._problems["a"], errors.UnavailableError)
        self.assertEqual(len(logs.records), 1)
        self.assertIn("does not answer", logs.records[0].getMessage())

    def test_storage_that_answers_again_is_looked_at_again(self) -> None:
        """Storage that answers is looked at from the next poll on."""
        self._poll_while_one_hangs()
        self._go_on.set()
        for thread in threading.enumerate():
            if thread.name == "stall_guard":
                thread.join()
        with self.assertLogs(level="INFO") as logs:
            self.assertEqual(self._poll(), ["a:", "b: 1"])
        self.assertIn(
            "Storage of servable a answers again",
            [record.getMessage() for record in logs.records],
        )
        self.assertEqual(self._poll(), ["a: 1", "b: 1"])

    def test_other_base_path_is_looked_at_at_once(self) -> None:
        """It is the way out for somebody whose storage is gone."""
        self._poll_while_one_hangs()
        self._source.update_config(self._config("well", "well"))
        self.assertEqual(self._poll(), ["a: 1", "b: 1"])

    def test_close_does_not_wait_for_storage(self) -> None:
        """A poll that waits for it ends at once, and reports nothing."""
        thread = threading.Thread(target=self._poll)
        thread.start()
        self._hangs.wait()
        self._source.close()
        thread.join()
        self.assertEqual(self._reported, [])


if __name__ == "__main__":
    absltest.main()
