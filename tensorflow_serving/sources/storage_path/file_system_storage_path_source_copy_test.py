"""Tests that a version is never reported before its copy has ended."""

import os

from absl.testing import absltest, parameterized

from tensorflow_serving.sources.storage_path import (
    file_system_storage_path_source as source_lib,
)
from tensorflow_serving.test_util import fake_clock, shared_data, tiny_versions

_V2 = tiny_versions.export(num_shards=3, is_v2=True)


def _read(path: str) -> dict[str, bytes]:
    """Returns the files of a version."""
    files = {}
    for folder, _, names in os.walk(path):
        for name in names:
            file_path = os.path.join(folder, name)
            with open(file_path, "rb") as file:
                files[os.path.relpath(file_path, path)] = file.read()
    return files


class SlowCopyTest(parameterized.TestCase):
    """A copy that goes on after every poll."""

    def _copy(self, files: dict[str, bytes], names: list[str]) -> None:
        """Copies version 2 in, file by file and in halves, and polls."""
        base = self.create_tempdir().full_path
        tiny_versions.write(os.path.join(base, "1"), tiny_versions.export())
        clock = fake_clock.FakeClock()
        reports: list[list[tuple[int, bool]]] = []
        source = source_lib.FileSystemStoragePathSource(
            source_lib.Config((source_lib.ServableToMonitor("a", base),), -1),
            clock=clock,
        )

        def poll() -> list[tuple[int, bool]]:
            clock.advance_micros(300_000)
            source.poll_once()
            return reports[-1]

        with source:
            source.set_aspired_versions_callback(
                lambda name, versions: reports.append(
                    [(each.id.version, each.error is None) for each in versions]
                )
            )
            poll()
            self.assertEqual(poll(), [(1, True)])
            os.mkdir(os.path.join(base, "2"))
            self.assertEqual(poll(), [(1, True), (2, False)])
            for name in names:
                content = files[name]
                for end in (len(content) // 2, len(content)):
                    tiny_versions.write(
                        os.path.join(base, "2"), {name: content[:end]}
                    )
                    self.assertIn((1, True), poll(), (name, end))
                    self.assertNotIn((2, True), reports[-1], (name, end))
            self.assertEqual(poll(), [(2, True)])

    @parameterized.named_parameters(
        ("v1", tiny_versions.export(num_shards=7)),
        ("v2", _V2),
        ("saved_model", tiny_versions.saved_model(num_shards=7)),
        ("saved_model_without_variables", tiny_versions.saved_model("")),
    )
    def test_half_copied_version_is_not_reported(
        self, files: dict[str, bytes]
    ) -> None:
        """A version in any order of copying is reported when it is whole."""
        self._copy(files, list(files))
        self._copy(files, sorted(files))
        self._copy(files, sorted(files, reverse=True))

    @parameterized.parameters(
        ("exports", "half_plus_two"),
        ("saved_models", "saved_model_half_plus_three"),
        ("saved_models", "saved_model_half_plus_two_cpu"),
    )
    def test_half_copied_real_version_is_not_reported(
        self, *parts: str
    ) -> None:
        """A half copied version of 2016 or of today is not reported."""
        files = _read(shared_data.path_or_skip(self, *parts, "00000123"))
        self._copy(files, sorted(files))
        self._copy(files, sorted(files, reverse=True))


if __name__ == "__main__":
    absltest.main()
