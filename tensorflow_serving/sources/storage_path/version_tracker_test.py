"""Tests for version_tracker."""

from collections.abc import Mapping

from absl.testing import absltest, parameterized

from tensorflow_serving.core import servable
from tensorflow_serving.sources.storage_path import (
    storage_path_config,
    tracker_fixture,
    version_tracker,
)

_State = servable.ManagerState
_LATEST = storage_path_config.Latest()
_ALL = storage_path_config.All()
_Policy = storage_path_config.VersionPolicy


class SettleTest(parameterized.TestCase):
    """When a version counts as whole."""

    def test_version_is_reported_when_it_stayed_the_same(self) -> None:
        """The first look says nothing; nor does one that comes too soon."""
        fixture = tracker_fixture.TrackerFixture()
        self.assertEqual(fixture.look(0.0, {1: 2}), "")
        self.assertEqual(fixture.decision.outlook.settle_time, 0.25)
        self.assertEqual(fixture.look(0.2, {1: 2}), "")
        self.assertEqual(fixture.look(0.25, {1: 2}), "1")
        self.assertEqual(
            fixture.decision.outlook, version_tracker.Decision(None).outlook
        )

    def test_change_starts_the_time_anew(self) -> None:
        """A change starts the time anew, however slow the looks are."""
        fixture = tracker_fixture.TrackerFixture()
        for now in range(5):
            self.assertEqual(fixture.look(now, {1: 2 * now}), "")
            self.assertTrue(fixture.decision.outlook.has_changed)
        self.assertEqual(fixture.look(5, {1: 8}), "1")

    def test_incomplete_version_is_reported_with_the_reason(self) -> None:
        """The reason stays until the version is whole and settled."""
        fixture = tracker_fixture.TrackerFixture()
        self.assertEqual(fixture.look(0, {1: 1}), "1!")
        self.assertEqual(
            fixture.reason(1), "version must be complete; got half"
        )
        self.assertEqual(len(fixture.decision.outlook.incomplete), 1)
        self.assertEqual(fixture.look(1, {1: 1}), "1!")
        self.assertFalse(fixture.decision.outlook.has_changed)
        self.assertEqual(fixture.look(2, {1: 2}), "1!")
        self.assertEqual(len(fixture.decision.outlook.unsettled), 1)
        self.assertEqual(fixture.look(3, {1: 2}), "1")

    @parameterized.named_parameters(
        ("other_files", 4, "files are changing: they must stay"),
        ("incomplete", 3, "files are changing: .*got half"),
        ("unreadable", -1, "files are changing: .*got smoke"),
    )
    def test_whole_version_that_changes_is_reported_with_an_error(
        self, size: int, reason: str
    ) -> None:
        """A version that changes has an error until it is whole and settled."""
        fixture = tracker_fixture.TrackerFixture()
        fixture.look(0, {1: 2})
        self.assertEqual(fixture.look(1, {1: 2}), "1")
        self.assertEqual(fixture.look(2, {1: size}), "1!")
        self.assertRegex(fixture.reason(1), reason)
        self.assertEqual(fixture.look(3, {1: 6}), "1!")
        self.assertEqual(fixture.look(4, {1: 6}), "1")

    def test_unreadable_version_is_reported_with_the_reason(self) -> None:
        """An unreadable version is reported from the first look on."""
        fixture = tracker_fixture.TrackerFixture()
        self.assertEqual(fixture.look(0, {1: -1}), "1!")
        self.assertRegex(fixture.reason(1), "got smoke")
        self.assertEqual(fixture.look(1, {1: 2}), "1!")
        self.assertEqual(fixture.look(2, {1: 2}), "1")


class PolicyTest(parameterized.TestCase):
    """Which of several versions are reported."""

    @parameterized.named_parameters(
        ("latest", _LATEST, {1: 2, 2: 2, 3: 2}, "3"),
        ("number_not_name", _LATEST, {17: 2, 42: 2, 9: 2}, "42"),
        ("latest_2", storage_path_config.Latest(2), {1: 2, 2: 2, 3: 2}, "2 3"),
        ("more_than_there_are", storage_path_config.Latest(9), {1: 2}, "1"),
        ("newest_half", _LATEST, {1: 2, 2: 2, 3: 1}, "2 3!"),
        ("newest_two_half", _LATEST, {1: 2, 2: 1, 3: 1}, "1 2! 3!"),
        ("older_half", _LATEST, {1: 1, 2: 2}, "2"),
        ("newest_unreadable", _LATEST, {1: 2, 2: -1}, "1 2!"),
        ("newest_gone", _LATEST, {1: 2, 2: -2}, "1"),
        ("all", _ALL, {1: 2, 2: 1, 3: 2}, "1 2! 3"),
        ("specific", storage_path_config.Specific((1, 3)), {1: 2, 2: 2}, "1"),
        ("none", storage_path_config.Specific(()), {1: 2, 2: 2}, ""),
    )
    def test_reports(
        self, policy: _Policy, sizes: Mapping[int, int], reported: str
    ) -> None:
        """A policy chooses from versions that are settled."""
        fixture = tracker_fixture.TrackerFixture()
        fixture.look(0, sizes, policy)
        self.assertEqual(fixture.look(1, sizes, policy), reported)

    def test_newer_version_takes_over_when_it_is_settled(self) -> None:
        """The older one is reported until then."""
        fixture = tracker_fixture.TrackerFixture()
        fixture.look(0, {1: 2})
        self.assertEqual(fixture.look(1, {1: 2}), "1")
        self.assertEqual(fixture.look(2, {1: 2, 2: 1}), "1 2!")
        self.assertEqual(fixture.look(3, {1: 2, 2: 2}), "1 2!")
        self.assertEqual(fixture.look(4, {1: 2, 2: 2}), "2")

    def test_roll_back_needs_no_time(self) -> None:
        """An older version that was seen before is settled already."""
        fixture = tracker_fixture.TrackerFixture()
        fixture.look(0, {1: 2, 2: 2})
        self.assertEqual(fixture.look(1, {1: 2, 2: 2}), "2")
        self.assertEqual(fixture.look(2, {1: 2}), "1")

    def test_renamed_version_is_kept_until_the_new_one_is_settled(
        self,
    ) -> None:
        """There is no moment without a version."""
        fixture = tracker_fixture.TrackerFixture()
        fixture.look(0, {1: 2})
        self.assertEqual(fixture.look(1, {1: 2}), "1")
        self.assertEqual(fixture.look(2, {2: 2}), "1!")
        self.assertEqual(fixture.look(3, {2: 2}), "2")

    def test_other_policy_keeps_a_version_until_the_new_one_is_settled(
        self,
    ) -> None:
        """The old one is still there, but not wanted."""
        fixture = tracker_fixture.TrackerFixture()
        one = storage_path_config.Specific((1,))
        two = storage_path_config.Specific((2,))
        fixture.look(0, {1: 2, 2: 2}, one)
        self.assertEqual(fixture.look(1, {1: 2, 2: 2}, one), "1")
        self.assertEqual(fixture.look(2, {1: 2, 2: 2}, two), "1!")
        self.assertEqual(fixture.look(3, {1: 2, 2: 2}, two), "2")

    def test_absent_specific_version_is_warned_of(self) -> None:
        """A specific version is warned of as long as it is absent."""
        fixture = tracker_fixture.TrackerFixture()
        policy = storage_path_config.Specific((1, 5, 4))
        fixture.look(0, {1: 2}, policy)
        self.assertRegex(fixture.decision.warnings[0], r"\[4, 5\] of servable")
        fixture.look(0, {1: 2, 4: 2, 5: 2}, policy)
        self.assertEqual(fixture.decision.warnings, ())


class NoVersionTest(absltest.TestCase):
    """A base path without a version."""

    def test_first_versions_are_awaited(self) -> None:
        """An empty list is reported, and a warning."""
        fixture = tracker_fixture.TrackerFixture()
        for now in range(2):
            self.assertEqual(fixture.look(now, {}), "")
            self.assertRegex(fixture.decision.warnings[0], "got none: /base")

    def test_lost_versions_stay(self) -> None:
        """Nothing is reported, and they need no time to come back."""
        fixture = tracker_fixture.TrackerFixture()
        fixture.look(0, {1: 2})
        self.assertEqual(fixture.look(1, {1: 2}), "1")
        for sizes in ({}, {1: -2}):
            self.assertEqual(fixture.look(2, sizes), "nothing")
            self.assertRegex(fixture.decision.warnings[0], "served stays")
        self.assertEqual(fixture.look(3, {1: 2}), "1")
        self.assertEqual(fixture.decision.warnings, ())

    def test_versions_go_if_they_need_not_be_present(self) -> None:
        """Versions may vanish if the configuration says so."""
        fixture = tracker_fixture.TrackerFixture()
        fixture.look(0, {1: 2})
        fixture.look(1, {1: 2})
        self.assertEqual(fixture.look(2, {}, always_present=False), "")

    def test_versions_go_if_none_is_wanted(self) -> None:
        """No version is reported if none is wanted, whatever is there."""
        fixture = tracker_fixture.TrackerFixture()
        fixture.look(0, {1: 2})
        fixture.look(1, {1: 2})
        self.assertEqual(
            fixture.look(2, {}, storage_path_config.Specific(())), ""
        )


class FailureTest(parameterized.TestCase):
    """Versions that are whole and do not load."""

    def setUp(self) -> None:
        """Has two versions, of which the newer one fails."""
        super().setUp()
        self._fixture = tracker_fixture.TrackerFixture()
        self._fixture.look(0, {1: 2, 2: 2})
        self.assertEqual(self._fixture.look(1, {1: 2, 2: 2}), "2")
        self._fixture.fail(2)

    def test_older_version_is_reported_beside_it(self) -> None:
        """An older version is reported while the newer one does not change."""
        for now in (2, 3):
            self.assertEqual(self._fixture.look(now, {1: 2, 2: 2}), "1 2")

    def test_next_good_version_takes_the_place_of_both(self) -> None:
        """The older and the failed version go when a newer one is whole."""
        self._fixture.look(2, {1: 2, 2: 2, 3: 2})
        self.assertEqual(self._fixture.look(3, {1: 2, 2: 2, 3: 2}), "3")

    def test_new_files_get_another_try(self) -> None:
        """An error in between tells the manager that it is another version."""
        self.assertEqual(self._fixture.look(2, {1: 2, 2: 4}), "1 2!")
        self.assertEqual(self._fixture.look(3, {1: 2, 2: 4}), "2")

    def test_hiccup_does_not_forget_the_failure(self) -> None:
        """The files are the same as before."""
        self.assertEqual(self._fixture.look(2, {1: 2, 2: -1}), "1 2!")
        self.assertEqual(self._fixture.look(3, {1: 2, 2: 2}), "1 2!")
        self.assertEqual(self._fixture.look(4, {1: 2, 2: 2}), "1 2")

    def test_version_that_loads_after_all_is_good(self) -> None:
        """A manager may try again."""
        self.assertEqual(self._fixture.look(2, {1: 2, 2: 2}), "1 2")
        self._fixture.publish(2, _State.AVAILABLE)
        self.assertEqual(self._fixture.look(3, {1: 2, 2: 2}), "2")

    def test_end_of_a_version_that_was_reported_with_an_error_is_no_failure(
        self,
    ) -> None:
        """The error is the one that was reported."""
        fixture = tracker_fixture.TrackerFixture()
        fixture.look(0, {1: 2, 2: 2})
        self.assertEqual(fixture.look(1, {1: 2, 2: 2}), "2")
        self.assertEqual(fixture.look(2, {1: 2, 2: 4}), "1 2!")
        fixture.fail(2)
        self.assertEqual(fixture.look(3, {1: 2, 2: 4}), "2")

    def test_clean_end_is_no_failure(self) -> None:
        """A version may have been unloaded by hand."""
        fixture = tracker_fixture.TrackerFixture()
        fixture.look(0, {1: 2, 2: 2})
        fixture.look(1, {1: 2, 2: 2})
        fixture.publish(2, _State.END)
        self.assertEqual(fixture.look(2, {1: 2, 2: 2}), "2")

    def test_version_that_serves_needs_no_older_one_while_it_changes(
        self,
    ) -> None:
        """A version that changes needs an older one only before it serves."""
        for state, reported in (
            (_State.AVAILABLE, "2!"),
            (_State.LOADING, "1 2!"),
        ):
            fixture = tracker_fixture.TrackerFixture()
            fixture.look(0, {1: 2, 2: 2})
            fixture.look(1, {1: 2, 2: 2})
            fixture.publish(2, state)
            self.assertEqual(fixture.look(2, {1: 2, 2: 4}), reported)


if __name__ == "__main__":
    absltest.main()
