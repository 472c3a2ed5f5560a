"""Tests of file_system_storage_path_source in folders as storage has them."""

import os

from absl.testing import absltest, parameterized

from tensorflow_serving.sources.storage_path import (
    file_system_storage_path_source as source_lib,
)
from tensorflow_serving.sources.storage_path import version_check
from tensorflow_serving.test_util import (
    fake_clock,
    hostile_folders,
    tiny_versions,
)

_CHECKS = {
    "export": (version_check.session_bundle, tiny_versions.export()),
    "saved_model": (version_check.saved_model, tiny_versions.saved_model()),
    "any_model": (version_check.tensorflow_model, tiny_versions.export()),
}


class _Fixture:
    """A source of one servable, of which version 1 is whole."""

    def __init__(self, base: str, check: version_check.VersionCheck) -> None:
        self.served: set[int] = set()
        self.reported: set[int] = set()
        self._clock = fake_clock.FakeClock()
        self._source = source_lib.FileSystemStoragePathSource(
            source_lib.Config(
                (source_lib.ServableToMonitor("a", base, version_check=check),),
                -1,
            ),
            clock=self._clock,
        )

    def look(self, hostile: hostile_folders.HostileFolder, path: str) -> None:
        """Polls several times, while what is odd changes."""
        with self._source:
            self._source.set_aspired_versions_callback(
                lambda name, versions: self._take(
                    {each.id.version for each in versions if not each.error},
                    {each.id.version for each in versions if each.error},
                )
            )
            for _ in range(4):
                self._source.poll_once()
                self._clock.advance_micros(1_000_000)
                hostile.change(path)

    def _take(self, served: set[int], reported: set[int]) -> None:
        self.served, self.reported = served, reported


class HostileTest(parameterized.TestCase):
    """A good version is served, whatever else is there."""

    def _write(self, files: dict[str, bytes]) -> str:
        """Returns a base path with a whole version 1."""
        base = self.create_tempdir().full_path
        os.makedirs(os.path.join(base, "1", "assets"))
        tiny_versions.write(os.path.join(base, "1"), files)
        return base

    @parameterized.named_parameters(
        (case.name, case) for case in hostile_folders.IN_BASE_PATH
    )
    def test_base_path_with(self, case: hostile_folders.HostileFolder) -> None:
        """Odd things in a base path are ignored, or versions with an error."""
        base = self._write(tiny_versions.export())
        case.build(base)
        fixture = _Fixture(base, version_check.session_bundle)
        fixture.look(case, base)
        self.assertEqual(fixture.served, case.served)
        self.assertTrue(fixture.reported >= case.reported, fixture.reported)
        self.assertEqual(bool(fixture.reported), bool(case.reported))

    @parameterized.named_parameters(
        (f"{case.name}_in_{kind}", case, *_CHECKS[kind])
        for case in hostile_folders.IN_VERSION
        for kind in _CHECKS
    )
    def test_version_with(
        self,
        case: hostile_folders.HostileFolder,
        check: version_check.VersionCheck,
        files: dict[str, bytes],
    ) -> None:
        """Files that the format does not name are no obstacle."""
        base = self._write(files)
        path = os.path.join(base, "1")
        case.build(path)
        fixture = _Fixture(base, check)
        fixture.look(case, path)
        self.assertEqual((fixture.served, fixture.reported), ({1}, set()))

    @parameterized.named_parameters(
        (f"{case.name}_for_{name.replace('/', '_')}", case, check, files, name)
        for case in hostile_folders.IN_PLACE_OF_FILE
        for check, files in list(_CHECKS.values())[:2]
        for name in files
        if not name.startswith(("checkpoint", "assets/", "variables/var"))
    )
    def test_version_with_no_file(
        self,
        case: hostile_folders.HostileFolder,
        check: version_check.VersionCheck,
        files: dict[str, bytes],
        name: str,
    ) -> None:
        """It is reported with an error, and nobody waits for it."""
        base = self._write(files)
        path = os.path.join(base, "1", name)
        os.remove(path)
        case.build(path)
        fixture = _Fixture(base, check)
        fixture.look(case, path)
        self.assertEqual((fixture.served, fixture.reported), (set(), {1}))


if __name__ == "__main__":
    absltest.main()
