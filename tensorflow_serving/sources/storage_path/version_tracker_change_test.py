"""Tests of version_tracker: versions that change, are lost, or are many."""

from absl.testing import absltest, parameterized

from tensorflow_serving.core import servable
from tensorflow_serving.sources.storage_path import (
    storage_path_config,
    tracker_fixture,
    version_folder,
    version_tracker,
)

_State = servable.ManagerState


class ContentTest(parameterized.TestCase):
    """New files under an old number."""

    def _content(self, fixture: tracker_fixture.TrackerFixture) -> object:
        """Returns the token of the one version that is reported."""
        assert fixture.decision.versions is not None
        (data,) = fixture.decision.versions
        self.assertIsNone(data.error)
        self.assertIsNotNone(data.content)
        return data.content

    def test_content_is_another_when_files_are_others(self) -> None:
        """The content changes when files do, and is the same until then."""
        fixture = tracker_fixture.TrackerFixture()
        fixture.look(0, {1: 2})
        fixture.look(1, {1: 2})
        first = self._content(fixture)
        fixture.look(2, {1: 2})
        self.assertEqual(self._content(fixture), first)
        self.assertEqual(fixture.look(3, {1: 4}), "1!")
        self.assertEqual(fixture.look(4, {1: 4}), "1")
        self.assertNotEqual(self._content(fixture), first)

    def test_file_of_equal_size_and_time_is_other_content(self) -> None:
        """The inode of a file tells it from one of equal size and time."""
        fixture = tracker_fixture.TrackerFixture()
        fixture.look(0, {1: 2})
        fixture.look(1, {1: 2})
        first = self._content(fixture)
        fixture.inode = 7
        self.assertEqual(fixture.look(2, {1: 2}), "1!")
        self.assertEqual(fixture.look(3, {1: 2}), "1")
        self.assertNotEqual(self._content(fixture), first)

    def test_inodes_that_change_by_themselves_are_ignored(self) -> None:
        """A file system that makes them up cannot keep a version away."""
        fixture = tracker_fixture.TrackerFixture()
        for now in range(9):
            fixture.inode = now
            fixture.look(now, {1: 2})
        fixture.inode = 10
        self.assertEqual(fixture.look(10, {1: 2}), "1")
        self.assertRegex(fixture.decision.warnings[0], "Inodes .* /base")

    def test_content_is_unknown_if_nothing_is_to_be_reloaded(self) -> None:
        """The version is reported as before."""
        fixture = tracker_fixture.TrackerFixture()
        for now in range(2):
            fixture.look(now, {1: 2}, reload_changed_versions=False)
        assert fixture.decision.versions is not None
        self.assertIsNone(fixture.decision.versions[0].content)
        self.assertIsNotNone(fixture.decision.versions[0].data)

    @parameterized.parameters(
        (True, "serves until the new files are whole: they must stay"),
        (False, "serves all the same: they must stay"),
    )
    def test_reason_says_what_is_served_meanwhile(
        self, reloads: bool, reason: str
    ) -> None:
        """The reason in the log says which version serves."""
        fixture = tracker_fixture.TrackerFixture()
        fixture.look(0, {1: 2})
        fixture.look(1, {1: 2})
        fixture.publish(1, _State.AVAILABLE)
        fixture.look(2, {1: 4}, reload_changed_versions=reloads)
        self.assertRegex(
            fixture.reason(1), f"its files were replaced; .* {reason}"
        )


class LossTest(absltest.TestCase):
    """Versions that were out of sight while they were loaded."""

    def test_load_that_failed_meanwhile_is_tried_again(self) -> None:
        """An error in between makes the manager try again."""
        for fails_first in (True, False):
            fixture = tracker_fixture.TrackerFixture()
            fixture.look(0, {1: 2})
            self.assertEqual(fixture.look(1, {1: 2}), "1")
            fixture.publish(1, _State.LOADING)
            self.assertEqual(fixture.look(2, {}), "nothing")
            if fails_first:
                fixture.fail(1)
            else:
                self.assertEqual(fixture.look(3, {1: 2}), "1")
                fixture.fail(1)
            self.assertEqual(fixture.look(4, {1: 2}), "1!")
            self.assertEqual(fixture.look(5, {1: 2}), "1")
            fixture.fail(1)
            self.assertEqual(fixture.look(6, {1: 2}), "1")

    def test_version_that_serves_stays(self) -> None:
        """It needs no other try."""
        fixture = tracker_fixture.TrackerFixture()
        fixture.look(0, {1: 2})
        fixture.look(1, {1: 2})
        fixture.publish(1, _State.AVAILABLE)
        fixture.look(2, {})
        self.assertEqual(fixture.look(3, {1: 2}), "1")


class ManyIncompleteTest(absltest.TestCase):
    """Thousands of versions that are not whole."""

    def test_only_the_newest_are_reported(self) -> None:
        """The newest are seen at each look and reported; others take turns."""
        fixture = tracker_fixture.TrackerFixture()
        sizes = {1: 2, **dict.fromkeys(range(2, 1602), 1)}
        self.assertNotIn("1 ", fixture.look(0, sizes))
        reported = fixture.look(1, sizes).split()
        self.assertEqual(reported[0], "1")
        self.assertLess(len(reported), 20)
        self.assertIn("more versions", fixture.decision.warnings[0])
        before = fixture.num_scans
        self.assertEqual(fixture.look(2, sizes).split(), reported)
        self.assertLess(fixture.num_scans - before, 150)

    def test_warning_of_more_versions_stays_while_they_are_there(self) -> None:
        """The warning stays, so that it is logged once."""
        fixture = tracker_fixture.TrackerFixture()
        sizes = dict.fromkeys(range(1, 13), 1)
        for now in range(20):
            fixture.look(now, sizes)
            self.assertEqual(len(fixture.decision.warnings), 1, now)

    def test_one_that_becomes_whole_is_found(self) -> None:
        """A version among many incomplete ones has its turn."""
        fixture = tracker_fixture.TrackerFixture()
        sizes = {1: 2, **dict.fromkeys(range(2, 102), 1)}
        for now in range(2):
            fixture.look(now, sizes)
        sizes[50] = 2
        for now in range(2, 40):
            reported = fixture.look(now, sizes).split()
        self.assertEqual(reported[0], "50")


class SlowLookTest(absltest.TestCase):
    """Storage that takes its time."""

    def test_time_between_looks_counts_not_that_of_a_look(self) -> None:
        """A look that takes seconds says nothing about what comes after."""
        times = iter([0.0, 5.0, 5.1, 5.2, 5.3, 5.4])
        tracker = version_tracker.VersionTracker(
            lambda path, parts: {"file": version_folder.FileState(2, 0)}
        )
        reports = []
        for _ in range(3):
            decision = tracker.decide(
                storage_path_config.ServableToMonitor(
                    "name", "/base", version_check=tracker_fixture.CHECK
                ),
                version_folder.Versions({1: "/base/1"}),
                lambda: next(times),
            )
            reports.append(len(decision.versions or ()))
        self.assertEqual(reports, [0, 0, 1])


if __name__ == "__main__":
    absltest.main()
