"""Tests for version_reports: tables of versions and what is reported."""

from collections.abc import Mapping

from absl.testing import absltest, parameterized

from tensorflow_serving.core import servable
from tensorflow_serving.sources.storage_path import (
    poll_schedule,
    storage_path_config,
    tracked_version,
    version_folder,
    version_reports,
)
from tensorflow_serving.util import errors

_Outcome = tracked_version.Outcome
_Stage = tracked_version.Stage
_Version = tracked_version.TrackedVersion
_ID = servable.ServableId("a", 1)
_MUST_STAY = "they must stay as they are for 0.25 s: /1"


def _version(
    stage: _Stage,
    problem: str | None = None,
    *,
    outcome: _Outcome = _Outcome.NONE,
    is_reported: bool = True,
    has_changed: bool = False,
) -> _Version:
    """Returns a version in /1 that is as it is since the time 1."""
    return _Version(
        stage,
        "/1",
        content="token",
        problem=problem,
        since=1.0,
        outcome=outcome,
        is_reported=is_reported,
        has_changed=has_changed,
    )


class ReportTest(parameterized.TestCase):
    """The report on one version."""

    @parameterized.parameters((True, "token"), (False, None))
    def test_whole_version_is_reported_with_its_path(
        self, reloads: bool, content: str | None
    ) -> None:
        """The content is known if other content should be loaded."""
        data = version_reports.report(
            _ID, _version(_Stage.WHOLE), reloads=reloads
        )
        self.assertEqual(data, servable.ServableData.ok(_ID, "/1", content))

    @parameterized.named_parameters(
        ("incomplete", _version(_Stage.INCOMPLETE, "half"), "half"),
        (
            "unsettled_after_an_error",
            _version(_Stage.UNSETTLED),
            "version must be complete; got one whose files were changing "
            "until now: /1",
        ),
        (
            "damaged",
            _version(_Stage.DAMAGED, "half"),
            "files are changing: half",
        ),
        (
            "damaged_while_it_serves",
            _version(_Stage.DAMAGED, "half", outcome=_Outcome.AVAILABLE),
            "its files were replaced; the version that was loaded serves until "
            "the new files are whole: half",
        ),
        (
            "changing",
            _version(_Stage.CHANGING),
            f"files are changing: {_MUST_STAY}",
        ),
        (
            "changing_after_a_failure",
            _version(_Stage.CHANGING, outcome=_Outcome.FAILED),
            f"files are changing: {_MUST_STAY}",
        ),
        (
            "changing_while_it_serves",
            _version(_Stage.CHANGING, outcome=_Outcome.AVAILABLE),
            "its files were replaced; the version that was loaded serves until "
            f"the new files are whole: {_MUST_STAY}",
        ),
        (
            "held",
            _version(_Stage.HELD),
            "version is gone from its base path and serves on until another "
            "one is whole: /1",
        ),
    )
    def test_other_version_is_reported_with_a_reason(
        self, version: _Version, reason: str
    ) -> None:
        """The text says what is wrong and what serves."""
        data = version_reports.report(_ID, version, reloads=True)
        assert data is not None
        self.assertIsInstance(data.error, errors.UnavailableError)
        self.assertEqual(str(data.error), reason)

    def test_new_version_is_not_reported_before_it_settles(self) -> None:
        """An error would be noise: the next look will know."""
        version = _version(_Stage.UNSETTLED, is_reported=False)
        self.assertIsNone(version_reports.report(_ID, version, reloads=True))

    def test_reason_says_that_other_files_are_not_loaded(self) -> None:
        """The loaded version serves whatever comes if nothing is reloaded."""
        version = _version(_Stage.CHANGING, outcome=_Outcome.AVAILABLE)
        data = version_reports.report(_ID, version, reloads=False)
        assert data is not None
        self.assertRegex(str(data.error), "serves all the same: they must")


class HeldTest(parameterized.TestCase):
    """Versions that are kept because their successor is on its way."""

    @parameterized.named_parameters(
        ("nothing", {}, []),
        ("new", {2: _version(_Stage.UNSETTLED)}, [1]),
        ("incomplete", {2: _version(_Stage.INCOMPLETE, "half")}, [1]),
        ("whole", {2: _version(_Stage.WHOLE)}, []),
        (
            "only_failed",
            {2: _version(_Stage.WHOLE, outcome=_Outcome.FAILED)},
            [],
        ),
        (
            "failed_and_new",
            {
                2: _version(_Stage.WHOLE, outcome=_Outcome.FAILED),
                3: _version(_Stage.UNSETTLED),
            },
            [1],
        ),
        (
            "serves_and_changes",
            {2: _version(_Stage.CHANGING, outcome=_Outcome.AVAILABLE)},
            [],
        ),
    )
    def test_held(self, seen: Mapping[int, _Version], held: list[int]) -> None:
        """A reported version is held while none that was seen is good."""
        known = {
            0: _version(_Stage.WHOLE, is_reported=False),
            1: _version(_Stage.WHOLE),
            **seen,
        }
        self.assertEqual(list(version_reports.held(seen, known)), held)


class OutlookTest(absltest.TestCase):
    """The reasons to look again soon."""

    def test_whole_versions_need_no_other_look(self) -> None:
        """A whole version has nothing that another look could tell."""
        self.assertEqual(
            version_reports.outlook(
                "a", {1: _version(_Stage.WHOLE, has_changed=True)}
            ),
            poll_schedule.Outlook(),
        )

    def test_others_are_told_apart_by_their_check(self) -> None:
        """Time settles those that pass; the others need other files."""
        versions = {
            1: _version(_Stage.UNSETTLED),
            2: _version(_Stage.CHANGING, has_changed=True),
            3: _version(_Stage.INCOMPLETE, "half"),
            4: _version(_Stage.DAMAGED, "half"),
        }
        ids = [servable.ServableId("a", number) for number in range(1, 5)]
        self.assertEqual(
            version_reports.outlook("a", versions),
            poll_schedule.Outlook(
                frozenset(ids[:2]), frozenset(ids[2:]), 1.25, True
            ),
        )


class WarningsTest(parameterized.TestCase):
    """Lines for whoever cares for the base path."""

    def _warnings(
        self,
        policy: storage_path_config.VersionPolicy,
        found: version_folder.Versions,
        **options: bool,
    ) -> list[str]:
        return [
            *version_reports.warnings(
                storage_path_config.ServableToMonitor("a", "/base", policy),
                found,
                **{
                    "has_more_incomplete": False,
                    "trusts_inodes": True,
                    **options,
                },
            )
        ]

    @parameterized.named_parameters(
        (
            "absent",
            storage_path_config.Specific((1, 3, 2)),
            r"\[2, 3\] .*/base",
        ),
        ("none", storage_path_config.Specific(()), "got a policy without"),
    )
    def test_policy_that_asks_for_what_is_not_there(
        self, policy: storage_path_config.VersionPolicy, text: str
    ) -> None:
        """A typing error in a configuration shows."""
        found = version_folder.Versions({1: "/base/1"})
        (warning,) = self._warnings(policy, found)
        self.assertRegex(warning, text)

    def test_base_path_in_order_needs_no_warning(self) -> None:
        """There is nothing to say about one version that is whole."""
        found = version_folder.Versions({1: "/base/1"})
        self.assertEqual(
            self._warnings(storage_path_config.Latest(), found), []
        )

    def test_trouble_with_folders_is_named(self) -> None:
        """Each trouble has a line of its own."""
        found = version_folder.Versions({1: "/base/01"}, {1: ["/base/1"]})
        lines = self._warnings(
            storage_path_config.Latest(),
            found,
            has_more_incomplete=True,
            trusts_inodes=False,
        )
        texts = ("ignoring 1 in /base", "more versions", "Inodes of files")
        for line, text in zip(lines, texts, strict=True):
            self.assertIn(text, line)


if __name__ == "__main__":
    absltest.main()
