"""Tests for source."""

from collections.abc import Sequence

from absl.testing import absltest
from typing_extensions import override

from tensorflow_serving.core import servable, source
from tensorflow_serving.util import errors


class _Source(source.Source[str]):
    """Tells of one version as soon as somebody listens."""

    def __init__(self) -> None:
        self._is_connected = False

    @override
    def set_aspired_versions_callback(
        self, callback: source.AspiredVersionsCallback[str]
    ) -> None:
        if self._is_connected:
            raise errors.FailedPreconditionError("connected already")
        self._is_connected = True
        callback(
            "a", [servable.ServableData.ok(servable.ServableId("a", 1), "path")]
        )


class _Target(source.Target[str]):
    """Keeps the versions of each call."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, list[str]]] = []

    @override
    def aspired_versions_callback(self) -> source.AspiredVersionsCallback[str]:
        return self._hear

    def _hear(
        self, name: str, versions: Sequence[servable.ServableData[str]]
    ) -> None:
        self.calls.append((name, [each.data_or_raise() for each in versions]))


class ConnectTest(absltest.TestCase):
    """A source that is connected tells its target."""

    def test_target_gets_versions(self) -> None:
        """A target gets the versions of the source that it is connected to."""
        target = _Target()
        source.connect_source_to_target(_Source(), target)
        self.assertEqual(target.calls, [("a", ["path"])])

    def test_target_may_have_several_sources(self) -> None:
        """A target with several sources gets the calls of all of them."""
        target = _Target()
        for _ in range(2):
            source.connect_source_to_target(_Source(), target)
        self.assertEqual(target.calls, [("a", ["path"])] * 2)

    def test_second_target_is_refused(self) -> None:
        """A second target is refused by the source, without a call to it."""
        first, second = _Target(), _Target()
        connected = _Source()
        source.connect_source_to_target(connected, first)
        with self.assertRaises(errors.FailedPreconditionError):
            source.connect_source_to_target(connected, second)
        self.assertEqual(second.calls, [])


if __name__ == "__main__":
    absltest.main()
