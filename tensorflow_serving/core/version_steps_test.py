"""Tests for version_steps: a table of what there is and what is wanted."""

from collections.abc import Hashable

from absl.testing import absltest, parameterized

from tensorflow_serving.core import (
    loader,
    loader_harness,
    servable,
    version_steps,
)
from tensorflow_serving.test_util import fake_loader
from tensorflow_serving.util import errors

_State = loader_harness.State
_Step = version_steps.Step
_Data = servable.ServableData[loader.Loader]
_ID = servable.ServableId("a", 1)
_HALF = errors.UnavailableError("files must be whole")
_BROKEN = errors.DataLossError("broken")
_GONE = errors.NotFoundError("gone")


def _wanted(
    content: Hashable = None, *, has_changed: bool = False, due_time: float = 0
) -> version_steps.Aspired:
    """Returns a version that its source reports whole."""
    data = _Data.ok(_ID, fake_loader.FakeLoader(), content)
    return version_steps.Aspired(data, has_changed, due_time)


def _half(due_time: float = 0) -> version_steps.Aspired:
    """Returns a version that its source reports with an error."""
    return version_steps.Aspired(_Data.failed(_ID, _HALF), True, due_time)


def _is(
    state: _State,
    content: Hashable = None,
    *,
    error: errors.ServingError | None = None,
    is_cancelled: bool = False,
    replacement: loader_harness.Snapshot | None = None,
) -> loader_harness.Snapshot:
    """Returns what there is."""
    return loader_harness.Snapshot(
        _ID, state, error, content, is_cancelled, replacement
    )


def _failed(
    error: errors.ServingError,
    content: Hashable = None,
    *,
    is_cancelled: bool = False,
) -> loader_harness.Snapshot:
    """Returns a version that has failed."""
    return _is(_State.ERROR, content, error=error, is_cancelled=is_cancelled)


class NextStepTest(parameterized.TestCase):
    """The steps for a version at the time 10."""

    @parameterized.named_parameters(
        ("unknown and unwanted", None, None, None),
        ("unknown and wanted", _wanted(), None, _Step.MANAGE),
        ("unknown and not whole", _half(), None, _Step.MANAGE),
        ("new and wanted", _wanted(), _is(_State.NEW), None),
        ("new and unwanted", None, _is(_State.NEW), _Step.FORGET),
        ("new, not whole", _half(), _is(_State.NEW), _Step.MANAGE_ANEW),
        ("new, other", _wanted("y"), _is(_State.NEW, "x"), _Step.MANAGE_ANEW),
        ("queued, unwanted", None, _is(_State.LOAD_REQUESTED), _Step.CANCEL),
        ("loads, wanted", _wanted("x"), _is(_State.LOADING, "x"), None),
        ("loads, unwanted", None, _is(_State.LOADING), _Step.CANCEL),
        ("loads, not whole", _half(), _is(_State.LOADING), _Step.CANCEL),
        (
            "loads, other content",
            _wanted("y"),
            _is(_State.LOADING, "x"),
            _Step.CANCEL,
        ),
        (
            "loads, was not whole meanwhile",
            _wanted("x", has_changed=True),
            _is(_State.LOADING, "x"),
            _Step.CANCEL,
        ),
        (
            "cancelled, unwanted",
            None,
            _is(_State.LOADING, is_cancelled=True),
            None,
        ),
        (
            "cancelled, wanted again",
            _wanted(),
            _is(_State.LOADING, is_cancelled=True),
            _Step.UNCANCEL,
        ),
        (
            "other content loads, unwanted",
            None,
            _is(_State.READY, "x", replacement=_is(_State.LOADING, "y")),
            _Step.CANCEL,
        ),
        (
            "other content loads, wanted",
            _wanted("y"),
            _is(_State.READY, "x", replacement=_is(_State.LOADING, "y")),
            None,
        ),
        ("ready, wanted", _wanted(), _is(_State.READY), None),
        ("ready, not whole", _half(), _is(_State.READY), None),
        ("ready, unwanted", None, _is(_State.READY), None),
        ("unloading, wanted", _wanted(), _is(_State.UNLOADING), None),
        ("failed, unwanted", None, _failed(_BROKEN), _Step.FORGET),
        ("broken", _wanted(), _failed(_BROKEN), None),
        ("broken, same content", _wanted("x"), _failed(_BROKEN, "x"), None),
        (
            "broken, same content as before",
            _wanted("x", has_changed=True),
            _failed(_BROKEN, "x"),
            None,
        ),
        (
            "broken, other content",
            _wanted("y"),
            _failed(_BROKEN, "x"),
            _Step.MANAGE_ANEW,
        ),
        (
            "broken, was not whole meanwhile",
            _wanted(has_changed=True),
            _failed(_BROKEN),
            _Step.MANAGE_ANEW,
        ),
        (
            "transient, before its time",
            _wanted("x", due_time=10.1),
            _failed(_HALF, "x"),
            None,
        ),
        (
            "transient, at its time",
            _wanted("x", due_time=10.0),
            _failed(_HALF, "x"),
            _Step.MANAGE_ANEW,
        ),
        ("gone, due", _wanted(due_time=9), _failed(_GONE), _Step.MANAGE_ANEW),
        (
            "was cancelled, wanted",
            _wanted("x", due_time=99),
            _failed(errors.CancelledError("x"), "x", is_cancelled=True),
            _Step.MANAGE_ANEW,
        ),
        ("same reason", _half(), _failed(_HALF), None),
        ("other reason", _half(), _failed(_GONE), _Step.MANAGE_ANEW),
        ("other reason, early", _half(due_time=11), _failed(_GONE), None),
    )
    def test_next_step(
        self,
        aspired: version_steps.Aspired | None,
        managed: loader_harness.Snapshot | None,
        step: version_steps.Step | None,
    ) -> None:
        """The step follows from what is aspired and what is managed."""
        self.assertIs(version_steps.next_step(aspired, managed, 10.0), step)


class AspiredTest(absltest.TestCase):
    """Each event gives another value."""

    def test_error_is_remembered_until_the_manager_gets_data(self) -> None:
        """Files that were not whole for a moment may be others."""
        version = _wanted("x").report(_half().data).report(_wanted("x").data)
        self.assertTrue(version.has_changed)
        self.assertFalse(version.begin().has_changed)
        self.assertTrue(_half().begin().has_changed)

    def test_failure_counts_once_until_the_manager_begins_anew(self) -> None:
        """A manager that looks again must not put off the next try."""
        failed = _wanted().fail(10.0)
        self.assertEqual((failed.num_failures, failed.due_time), (1, 15.0))
        self.assertIs(failed.fail(11.0), failed)
        again = failed.begin().fail(20.0)
        self.assertEqual((again.num_failures, again.due_time), (2, 30.0))

    def test_reasons_of_a_source_are_no_failures(self) -> None:
        """They only keep the next reason away for a second."""
        failed = _half().fail(10.0)
        self.assertEqual((failed.num_failures, failed.due_time), (0, 11.0))

    def test_failures_are_forgotten_with_other_content_or_success(self) -> None:
        """Other content deserves a quick second try, as a first one does."""
        failed = _wanted("x").fail(10.0)
        self.assertEqual(failed.report(_wanted("x").data).num_failures, 1)
        self.assertEqual(failed.report(_half().data).num_failures, 1)
        self.assertEqual(failed.report(_wanted("y").data).num_failures, 0)
        self.assertEqual(failed.succeed().num_failures, 0)

    def test_next_try_is_hastened_and_never_put_off(self) -> None:
        """A try that was due before is still due."""
        failed = _wanted().fail(10.0)
        self.assertEqual(failed.hasten(12.0).due_time, 12.0)
        self.assertEqual(failed.hasten(99.0).due_time, 15.0)


class IsStaleTest(parameterized.TestCase):
    """Whether a version that serves has other content by now."""

    @parameterized.named_parameters(
        ("same", _wanted("x"), _is(_State.READY, "x"), False),
        ("other", _wanted("y"), _is(_State.READY, "x"), True),
        ("unknown now", _wanted(None), _is(_State.READY, "x"), False),
        ("unknown before", _wanted("y"), _is(_State.READY), False),
        ("not whole", _half(), _is(_State.READY, "x"), False),
        ("unwanted", None, _is(_State.READY, "x"), False),
        ("loads", _wanted("y"), _is(_State.LOADING, "x"), False),
        (
            "loads beside",
            _wanted("y"),
            _is(_State.READY, "x", replacement=_is(_State.LOADING, "y")),
            False,
        ),
        (
            "broken",
            _wanted("y"),
            _is(_State.READY, "x", replacement=_failed(_BROKEN, "y")),
            False,
        ),
        (
            "broken, and replaced once more",
            _wanted("z"),
            _is(_State.READY, "x", replacement=_failed(_BROKEN, "y")),
            True,
        ),
        (
            "failed for the moment",
            _wanted("y"),
            _is(_State.READY, "x", replacement=_failed(_HALF, "y")),
            True,
        ),
    )
    def test_is_stale(
        self,
        aspired: version_steps.Aspired | None,
        managed: loader_harness.Snapshot,
        is_stale: bool,
    ) -> None:
        """Only known and different content, which may load, is a reason."""
        self.assertIs(version_steps.is_stale(aspired, managed, 10.0), is_stale)


class BackoffTest(parameterized.TestCase):
    """How long a version waits for the next try."""

    @parameterized.parameters((1, 5), (2, 10), (3, 20), (7, 300), (10**6, 300))
    def test_backoff_grows_from_seconds_to_minutes(
        self, num_failures: int, seconds: float
    ) -> None:
        """It doubles until it has reached its limit."""
        self.assertEqual(version_steps.backoff_seconds(num_failures), seconds)


if __name__ == "__main__":
    absltest.main()
