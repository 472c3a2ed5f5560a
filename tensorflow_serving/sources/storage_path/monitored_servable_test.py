"""Tests for monitored_servable: what is logged, and how often."""

import os
import shutil

from absl.testing import absltest

from tensorflow_serving.sources.storage_path import (
    monitored_servable,
    storage_path_config,
)
from tensorflow_serving.test_util import tiny_versions
from tensorflow_serving.util import errors


class MonitoredServableTest(absltest.TestCase):
    """Each line says something new."""

    def setUp(self) -> None:
        """Makes an empty base path."""
        super().setUp()
        self._base = self.create_tempdir().full_path
        settings = storage_path_config.ServableToMonitor("a", self._base)
        self._config = storage_path_config.Config((settings,))
        self._servable = monitored_servable.MonitoredServable(settings)
        self._now = 0

    def _log(self, num_looks: int = 3) -> list[str]:
        """Looks at the versions; returns the lines that are logged."""
        with self.assertLogs(level="INFO") as logs:
            # Makes sure that there is a line.
            self._servable.log_aspired([self._now + 1000])
            for _ in range(num_looks):
                self._now += 1
                try:
                    self._servable.look(lambda: self._now, self._config)
                except errors.ServingError:
                    continue
        return [
            record.getMessage().replace(self._base, "BASE")
            for record in logs.records[1:]
        ]

    def _write(self, name: str, files: dict[str, bytes]) -> None:
        tiny_versions.write(os.path.join(self._base, name), files)

    def test_aspired_versions_are_logged_when_they_change(self) -> None:
        """Aspired versions are logged when they change, not at each look."""
        self._write("2", tiny_versions.export())
        self.assertEqual(
            self._log(),
            [
                "Aspiring versions [] of servable a",
                "Aspiring versions [2] of servable a",
            ],
        )

    def test_missing_version_is_logged_once(self) -> None:
        """The base path is in the line."""
        self.assertEqual(
            self._log(),
            [
                "Base path of servable a must hold a version; got none: BASE",
                "Aspiring versions [] of servable a",
            ],
        )

    def test_missing_base_path_is_logged_once_and_when_it_is_back(self) -> None:
        """A missing base path is logged once, however many looks there are."""
        shutil.rmtree(self._base)
        self.assertEqual(
            self._log(),
            [
                "Versions of servable a stay as they are: base path must be a "
                "folder; got none: BASE"
            ],
        )
        self._write("2", tiny_versions.export())
        self.assertEqual(
            self._log()[:1], ["Versions of servable a are found again"]
        )

    def test_incomplete_version_is_logged_once_for_each_reason(self) -> None:
        """An incomplete version is logged once for each missing thing."""
        self._write("2", {"x": b""})
        self.assertEqual(
            self._log(),
            [
                "Servable {name: a version: 2} is not ready: version must be "
                "complete; got neither export.meta nor saved_model.pb nor "
                "model.tflite: BASE/2",
                "Aspiring versions [] of servable a",
            ],
        )

    def test_duplicates_are_logged_once(self) -> None:
        """The one with more zeros is taken."""
        for name in ("1", "001"):
            self._write(name, tiny_versions.export())
        self.assertEqual(
            self._log()[:1],
            [
                "Versions of servable a must have different numbers; ignoring "
                "1 in BASE while the one with more zeros is whole"
            ],
        )

    def test_servable_without_wanted_versions_needs_no_base_path(self) -> None:
        """It is unloaded all the same."""
        settings = storage_path_config.ServableToMonitor(
            "a", self._base + "/gone", storage_path_config.Specific(())
        )
        decision = monitored_servable.MonitoredServable(settings).look(
            lambda: 0, self._config
        )
        self.assertEqual(decision.versions, ())

    def test_base_path_that_is_a_version_is_described(self) -> None:
        """Whoever gives a version in place of its parent learns of it."""
        self._write(".", tiny_versions.export())
        self.assertIn(
            "got none: BASE. It holds export.meta, so it is a version; give",
            self._log()[0],
        )


if __name__ == "__main__":
    absltest.main()
