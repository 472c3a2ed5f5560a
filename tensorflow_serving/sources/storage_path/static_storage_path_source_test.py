"""Tests for static_storage_path_source."""

from collections.abc import Sequence

from absl.testing import absltest

from tensorflow_serving.core import servable
from tensorflow_serving.sources.storage_path import static_storage_path_source
from tensorflow_serving.util import errors


class StaticStoragePathSourceTest(absltest.TestCase):
    """One version that never changes."""

    def test_reports_its_version_once_at_once(self) -> None:
        """A static source reports once, when its callback is set."""
        calls = []

        def take(
            name: str, versions: Sequence[servable.ServableData[str]]
        ) -> None:
            calls.append((name, list(versions)))

        source = static_storage_path_source.StaticStoragePathSource(
            "mnist", 42, "/models/mnist/42"
        )
        self.assertEqual(calls, [])
        source.set_aspired_versions_callback(take)
        data = servable.ServableData.ok(
            servable.ServableId("mnist", 42), "/models/mnist/42"
        )
        self.assertEqual(calls, [("mnist", [data])])
        with self.assertRaises(errors.FailedPreconditionError):
            source.set_aspired_versions_callback(take)
        self.assertEqual(len(calls), 1)

    def test_version_must_not_be_negative(self) -> None:
        """A version of a static source must not be negative, like any other."""
        with self.assertRaises(errors.InvalidArgumentError):
            static_storage_path_source.StaticStoragePathSource("a", -1, "/a")


if __name__ == "__main__":
    absltest.main()
