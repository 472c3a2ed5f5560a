"""Tests for tracked_version: values before and after."""

from absl.testing import absltest, parameterized

from tensorflow_serving.core import servable
from tensorflow_serving.sources.storage_path import (
    tracked_version,
    version_folder,
)
from tensorflow_serving.util import errors

_Kind = servable.ManagerState
_Outcome = tracked_version.Outcome
_Stage = tracked_version.Stage
_Version = tracked_version.TrackedVersion
_BROKEN = errors.DataLossError("broken")


def _contents(size: int, inode: int = 0) -> version_folder.Contents:
    return {"file": version_folder.FileState(size, 0, inode)}


def _require_even(path: str, contents: version_folder.Contents) -> None:
    if contents["file"].size_bytes % 2:
        raise errors.UnavailableError(f"half: {path}")


def _see(
    version: _Version,
    contents: version_folder.Contents | None,
    time: float = 0.0,
    path: str = "/1",
) -> _Version:
    """Returns a version after a look that took no time."""
    problem = "smoke" if contents is None else None
    return version.see(
        tracked_version.Sighting(path, contents, time, time, problem),
        _require_even,
    )


class NextStageTest(parameterized.TestCase):
    """The stage follows from the one before and from what a look shows."""

    @parameterized.named_parameters(
        # Before, then: fails the check; passes it; passes it and has settled.
        ("unseen", _Stage.UNSEEN, "INCOMPLETE", "UNSETTLED", "WHOLE"),
        ("incomplete", _Stage.INCOMPLETE, "INCOMPLETE", "UNSETTLED", "WHOLE"),
        ("unsettled", _Stage.UNSETTLED, "INCOMPLETE", "UNSETTLED", "WHOLE"),
        ("whole", _Stage.WHOLE, "DAMAGED", "CHANGING", "WHOLE"),
        ("damaged", _Stage.DAMAGED, "DAMAGED", "CHANGING", "WHOLE"),
        ("changing", _Stage.CHANGING, "DAMAGED", "CHANGING", "WHOLE"),
        ("held", _Stage.HELD, "DAMAGED", "CHANGING", "WHOLE"),
    )
    def test_next_stage(
        self, before: _Stage, fails: str, passes: str, settled: str
    ) -> None:
        """A version that was whole once is never taken for a new one."""
        after = [
            tracked_version.next_stage(before, passes=passes, is_settled=late)
            for passes, late in ((False, True), (True, False), (True, True))
        ]
        self.assertEqual(
            [stage.name for stage in after], [fails, passes, settled]
        )


class SeeTest(absltest.TestCase):
    """A look at the files of a version."""

    def test_first_look_is_a_change(self) -> None:
        """The first look at a version is a change; an equal one is not."""
        version = _see(_Version(), _contents(2))
        self.assertTrue(version.has_changed)
        self.assertFalse(_see(version, _contents(2)).has_changed)
        self.assertTrue(_see(version, _contents(2), path="/01").has_changed)
        self.assertTrue(_see(version, _contents(4)).has_changed)

    def test_version_settles_from_the_end_of_the_look_that_found_it(
        self,
    ) -> None:
        """The time that a look takes does not count."""
        sighting = tracked_version.Sighting("/1", _contents(2), 0.0, 5.0)
        version = _Version().see(sighting, _require_even)
        self.assertEqual(version.settle_time, 5.25)
        self.assertIs(_see(version, _contents(2), 5.2).stage, _Stage.UNSETTLED)
        self.assertIs(_see(version, _contents(2), 5.25).stage, _Stage.WHOLE)

    def test_incomplete_version_has_the_text_of_the_check(self) -> None:
        """The check, or else what hid the files, says what is wrong."""
        version = _see(_Version(), _contents(1))
        self.assertIs(version.stage, _Stage.INCOMPLETE)
        self.assertEqual(version.problem, "half: /1")
        self.assertEqual(_see(version, None).problem, "smoke")
        self.assertIsNone(_see(version, _contents(2)).problem)

    def test_check_runs_again_only_for_others_or_incomplete_files(self) -> None:
        """A check reads files, which costs time."""
        checked = []

        def check(path: str, contents: version_folder.Contents) -> None:
            checked.append(contents["file"].size_bytes)
            _require_even(path, contents)

        version = _Version()
        for size in (1, 1, 2, 2, 2, 4):
            version = version.see(
                tracked_version.Sighting("/1", _contents(size), 0.0, 0.0),
                check,
            )
        self.assertEqual(checked, [1, 1, 2, 4])

    def test_content_stays_while_files_cannot_be_read(self) -> None:
        """Files that come back as they were need no other load."""
        version = _see(_Version(), _contents(2))
        unreadable = _see(version, None)
        self.assertEqual(unreadable.content, version.content)
        back = _see(unreadable, _contents(2))
        self.assertEqual(back.content, version.content)

    def test_changes_of_inodes_alone_are_counted(self) -> None:
        """Only changes of nothing but inodes are counted."""
        version = _see(_Version(), _contents(2, inode=1))
        version = _see(version, _contents(2, inode=2))
        version = _see(version, _contents(4, inode=3))
        self.assertEqual(version.num_inode_changes, 1)

    def test_failure_is_over_with_other_files(self) -> None:
        """Files that cannot be read for a moment may still be the same."""
        failed = _Version(
            _Stage.WHOLE,
            "/1",
            _contents(2),
            frozenset(_contents(2).items()),
            outcome=_Outcome.FAILED,
        )
        for contents, outcome in (
            (_contents(2), _Outcome.FAILED),
            (None, _Outcome.FAILED),
            (_contents(4), _Outcome.NONE),
        ):
            self.assertIs(_see(failed, contents).outcome, outcome)

    def test_failure_while_it_was_lost_is_forgotten(self) -> None:
        """The files of a version that was lost count as others, once."""
        version = _see(_Version(), _contents(2)).lose()
        self.assertFalse(_see(version, _contents(2)).has_changed)
        failed = _see(version, _contents(2), 1.0)
        failed = failed.reported(True).record(
            servable.ServableState(
                servable.ServableId("a", 1), _Kind.END, _BROKEN
            )
        )
        self.assertIs(failed.outcome, _Outcome.FAILED)
        again = _see(failed, _contents(2), 2.0)
        self.assertTrue(again.has_changed)
        self.assertIs(again.outcome, _Outcome.NONE)
        self.assertIs(again.stage, _Stage.CHANGING)
        self.assertFalse(_see(again, _contents(2), 3.0).has_changed)


class RecordTest(parameterized.TestCase):
    """An event of the manager."""

    @parameterized.named_parameters(
        ("loads", _Outcome.NONE, _Kind.LOADING, None, _Outcome.NONE),
        ("serves", _Outcome.NONE, _Kind.AVAILABLE, None, _Outcome.AVAILABLE),
        ("unloads", _Outcome.AVAILABLE, _Kind.UNLOADING, None, _Outcome.NONE),
        ("ended", _Outcome.AVAILABLE, _Kind.END, None, _Outcome.NONE),
        ("failed", _Outcome.NONE, _Kind.END, _BROKEN, _Outcome.FAILED),
        ("tries", _Outcome.FAILED, _Kind.LOADING, None, _Outcome.FAILED),
        (
            "recovered",
            _Outcome.FAILED,
            _Kind.AVAILABLE,
            None,
            _Outcome.AVAILABLE,
        ),
    )
    def test_record(
        self,
        before: _Outcome,
        kind: _Kind,
        error: errors.ServingError | None,
        after: _Outcome,
    ) -> None:
        """A failure stays until the version serves; nothing else does."""
        version = _Version(_Stage.WHOLE, is_reported=True, outcome=before)
        state = servable.ServableState(servable.ServableId("a", 1), kind, error)
        self.assertIs(version.record(state).outcome, after)

    @parameterized.parameters(
        *((stage, True) for stage in _Stage if stage is not _Stage.WHOLE),
        (_Stage.WHOLE, False),
    )
    def test_end_of_a_version_not_reported_with_its_path_is_no_failure(
        self, stage: _Stage, is_reported: bool
    ) -> None:
        """The error of such a version is the one that was reported."""
        version = _Version(stage, is_reported=is_reported)
        state = servable.ServableState(
            servable.ServableId("a", 1), _Kind.END, _BROKEN
        )
        self.assertEqual(version.record(state), version)

    def test_only_a_version_that_does_not_serve_gets_lost(self) -> None:
        """A version that serves needs its files no longer."""
        for outcome in _Outcome:
            self.assertIs(
                _Version(outcome=outcome).lose().was_lost,
                outcome is not _Outcome.AVAILABLE,
            )


class IsGoodTest(parameterized.TestCase):
    """Whether an older version is needed."""

    @parameterized.parameters(
        *((_Stage.WHOLE, outcome) for outcome in _Outcome),
        *((_Stage.CHANGING, outcome) for outcome in _Outcome),
    )
    def test_is_good(self, stage: _Stage, outcome: _Outcome) -> None:
        """A whole version is good unless it failed; others must serve."""
        if stage is _Stage.WHOLE:
            is_good = outcome is not _Outcome.FAILED
        else:
            is_good = outcome is _Outcome.AVAILABLE
        version = _Version(stage, outcome=outcome)
        self.assertIs(version.is_good, is_good)


class HoldTest(absltest.TestCase):
    """Versions that are kept although they are gone or unwanted."""

    def test_only_reported_versions_that_were_whole_are_held(self) -> None:
        """Nothing of the others can have been loaded."""
        held = {
            stage
            for stage in _Stage
            if _Version(stage, is_reported=True).hold() is not None
        }
        self.assertEqual(
            held, {_Stage.WHOLE, _Stage.DAMAGED, _Stage.CHANGING, _Stage.HELD}
        )
        self.assertIsNone(_Version(_Stage.WHOLE, is_reported=False).hold())

    def test_held_version_that_is_back_needs_no_time(self) -> None:
        """Its files stayed as they were."""
        version = _see(_see(_Version(), _contents(2)), _contents(2), 1.0)
        held = version.reported(True).hold()
        assert held is not None
        self.assertIs(held.stage, _Stage.HELD)
        self.assertIs(_see(held, _contents(2), 2.0).stage, _Stage.WHOLE)


if __name__ == "__main__":
    absltest.main()
