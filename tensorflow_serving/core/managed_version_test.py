"""Tests for managed_version: tables of what may follow, and is published."""

from absl.testing import absltest, parameterized

from tensorflow_serving.core import (
    loader,
    loader_harness,
    managed_version,
    servable,
)
from tensorflow_serving.test_util import fake_loader
from tensorflow_serving.util import errors

_Data = servable.ServableData[loader.Loader]
_Event = managed_version.Event
_ManagerState = servable.ManagerState
_Snapshot = loader_harness.Snapshot
_State = loader_harness.State
_Version = managed_version.ManagedVersion
_ID = servable.ServableId("a", 1)
_BROKEN = errors.DataLossError("broken")
_CANCELLED = errors.CancelledError("given up")
_ON_THE_WAY = (
    _State.LOAD_REQUESTED,
    _State.LOAD_APPROVED,
    _State.LOADING,
    _State.UNLOAD_REQUESTED,
    _State.QUIESCING,
    _State.QUIESCED,
    _State.UNLOADING,
)


def _harness(
    number: int = 1, state: _State = _State.NEW, name: str = "a"
) -> loader_harness.LoaderHarness:
    """Returns a harness that is NEW, LOAD_REQUESTED, READY or ERROR."""
    harness = loader_harness.LoaderHarness(
        _Data.ok(servable.ServableId(name, number), fake_loader.FakeLoader())
    )
    if state in (_State.LOAD_REQUESTED, _State.READY):
        harness.load_requested()
    if state is _State.READY:
        harness.load_approved()
        harness.load()
    if state is _State.ERROR:
        harness.fail(_BROKEN)
    return harness


class PublishedStateTest(parameterized.TestCase):
    """The states that events are published as."""

    @parameterized.named_parameters(
        ("managed", _Event.MANAGED, _ManagerState.START, None),
        ("refused", _Event.REFUSED, _ManagerState.END, None),
        ("forgotten", _Event.FORGOTTEN, _ManagerState.END, None),
        ("load began", _Event.LOAD_BEGAN, _ManagerState.LOADING, None),
        (
            "loaded",
            _Event.LOADED,
            _ManagerState.AVAILABLE,
            _ManagerState.AVAILABLE,
        ),
        ("given up", _Event.LOAD_GIVEN_UP, _ManagerState.END, None),
        (
            "load failed",
            _Event.LOAD_FAILED,
            _ManagerState.END,
            _ManagerState.AVAILABLE,
        ),
        ("unload began", _Event.UNLOAD_BEGAN, _ManagerState.UNLOADING, None),
        ("unloaded", _Event.UNLOADED, _ManagerState.END, None),
        ("unload failed", _Event.UNLOAD_FAILED, _ManagerState.END, None),
    )
    def test_event_is_published_by_what_it_happens_to(
        self, event: _Event, serves: _ManagerState, beside: _ManagerState | None
    ) -> None:
        """An event of content beside what serves may be nobody's business."""
        self.assertIs(managed_version.published_state(event), serves)
        self.assertIs(
            managed_version.published_state(event, is_beside=True), beside
        )


class FailureOfLoadTest(parameterized.TestCase):
    """The events that the end of a load without success may be."""

    @parameterized.named_parameters(
        ("error", _BROKEN, False, None, _Event.LOAD_FAILED),
        ("error, cancelled", _BROKEN, True, None, _Event.LOAD_FAILED),
        ("cancelled", _CANCELLED, True, None, _Event.LOAD_GIVEN_UP),
        ("loader's own", _CANCELLED, False, None, _Event.LOAD_FAILED),
        ("beside", _BROKEN, False, _State.READY, _Event.LOAD_FAILED),
        (
            "beside, cancelled",
            _CANCELLED,
            True,
            _State.READY,
            _Event.LOAD_GIVEN_UP,
        ),
        (
            "beside what goes",
            _BROKEN,
            False,
            _State.QUIESCING,
            _Event.LOAD_GIVEN_UP,
        ),
        (
            "beside what is gone",
            _BROKEN,
            False,
            _State.DISABLED,
            _Event.LOAD_GIVEN_UP,
        ),
    )
    def test_load_has_failed_if_anybody_wanted_it(
        self,
        error: errors.ServingError,
        is_cancelled: bool,
        replaced: _State | None,
        event: _Event,
    ) -> None:
        """A load that nobody wants any longer was given up, and not failed."""
        loaded = _Snapshot(_ID, _State.LOADING, is_cancelled=is_cancelled)
        self.assertIs(
            managed_version.failure_of_load(error, loaded, replaced), event
        )


class RequirementTest(parameterized.TestCase):
    """The states in which a version may be forgotten or loaded anew."""

    @parameterized.parameters(_State.NEW, _State.DISABLED, _State.ERROR)
    def test_version_that_is_not_loaded_may_be_forgotten(
        self, state: _State
    ) -> None:
        """A version without a servable, now or soon, is forgettable."""
        managed_version.require_forgettable(_Snapshot(_ID, state))

    @parameterized.parameters(*_ON_THE_WAY, _State.READY)
    def test_version_that_is_loaded_is_not_forgotten(
        self, state: _State
    ) -> None:
        """A version on its way to or from its servable stays, and says why."""
        with self.assertRaisesRegex(
            errors.FailedPreconditionError,
            f"must not be loaded to be forgotten; got state {state.name}",
        ):
            managed_version.require_forgettable(_Snapshot(_ID, state))

    @parameterized.named_parameters(
        ("nothing beside it", None),
        ("other content that failed", _State.ERROR),
    )
    def test_version_that_serves_may_be_loaded_anew(
        self, other: _State | None
    ) -> None:
        """Other content may be loaded if none is being loaded."""
        replacement = None if other is None else _Snapshot(_ID, other)
        managed_version.require_reloadable(
            _Snapshot(_ID, _State.READY, replacement=replacement)
        )

    @parameterized.parameters(
        _State.NEW, *_ON_THE_WAY, _State.DISABLED, _State.ERROR
    )
    def test_version_that_does_not_serve_is_not_loaded_anew(
        self, state: _State
    ) -> None:
        """A version that is not READY has nothing to be replaced."""
        with self.assertRaisesRegex(
            errors.FailedPreconditionError, f"must be READY.*got {state.name}"
        ):
            managed_version.require_reloadable(_Snapshot(_ID, state))

    @parameterized.parameters(
        _State.LOAD_REQUESTED, _State.LOAD_APPROVED, _State.LOADING
    )
    def test_version_is_loaded_anew_once_at_a_time(self, state: _State) -> None:
        """Other content has to wait for other content that is being loaded."""
        with self.assertRaisesRegex(
            errors.FailedPreconditionError, "not be loaded anew already"
        ):
            managed_version.require_reloadable(
                _Snapshot(_ID, _State.READY, replacement=_Snapshot(_ID, state))
            )


class ManagedVersionTest(absltest.TestCase):
    """The values that follow each other."""

    def test_load_of_other_content_is_the_last_one(self) -> None:
        """A cancellation means other content if that is loaded, or failed."""
        old, new = _harness(state=_State.READY), _harness()
        version = _Version(old)
        self.assertIs(version.last_to_load, old)
        self.assertIs(version.reload(new).last_to_load, new)

    def test_other_content_is_beside_what_serves_until_the_swap(self) -> None:
        """After the swap other content is all that there is."""
        old, new = _harness(state=_State.READY), _harness()
        version = _Version(old).reload(new)
        self.assertEqual(version, _Version(old, new))
        self.assertEqual(version.swap(), _Version(new))

    def test_other_content_may_follow_what_failed_to_load(self) -> None:
        """The next other content takes the place of the one that failed."""
        old, new = _harness(state=_State.READY), _harness()
        version = _Version(old).reload(_harness(state=_State.ERROR))
        self.assertEqual(version.reload(new), _Version(old, new))

    def test_version_that_is_loaded_anew_stays_as_it_is(self) -> None:
        """A refused reload says why, and the value is the same as before."""
        new = _harness(state=_State.LOAD_REQUESTED)
        version = _Version(_harness(state=_State.READY), new)
        with self.assertRaises(errors.FailedPreconditionError):
            version.reload(_harness())
        self.assertIs(version.replacement, new)

    def test_reload_is_given_up(self) -> None:
        """A version that is unloaded does not have other content."""
        old = _harness(state=_State.READY)
        version = _Version(old, _harness())
        self.assertEqual(version.give_up_reload(), _Version(old))

    def test_snapshot_has_both(self) -> None:
        """A snapshot has the state of other content inside."""
        version = _Version(_harness(state=_State.READY))
        self.assertIsNone(version.snapshot().replacement)
        version = version.reload(_harness(state=_State.LOAD_REQUESTED))
        snapshot = version.snapshot()
        assert snapshot.replacement is not None
        self.assertEqual(
            (snapshot.state, snapshot.replacement.state),
            (_State.READY, _State.LOAD_REQUESTED),
        )


class ManagedVersionsTest(absltest.TestCase):
    """The versions of a manager."""

    def setUp(self) -> None:
        """Starts without versions."""
        super().setUp()
        self.versions = managed_version.ManagedVersions()

    def test_version_is_found_by_its_id(self) -> None:
        """A version is there from put() on, and in no other name."""
        version = _Version(_harness())
        self.versions.put(version)
        self.assertTrue(self.versions.has(_ID))
        self.assertFalse(self.versions.has(servable.ServableId("b", 1)))
        self.assertFalse(self.versions.has(servable.ServableId("a", 2)))
        self.assertIs(self.versions.get(_ID), version)

    def test_version_that_is_not_there_is_not_found(self) -> None:
        """The error names the version."""
        with self.assertRaisesRegex(
            errors.NotFoundError, "a version: 1.*is not being managed"
        ):
            self.versions.get(_ID)

    def test_versions_are_sorted(self) -> None:
        """Names and versions are in order, however they came."""
        for name, number in (("b", 1), ("a", 3), ("a", 1), ("a", 2)):
            self.versions.put(_Version(_harness(number, name=name)))
        self.assertEqual(self.versions.names(), ["a", "b"])
        self.assertEqual(
            [each.id.version for each in self.versions.snapshots("a")],
            [1, 2, 3],
        )
        self.assertEqual(self.versions.snapshots("c"), [])

    def test_name_goes_with_its_last_version(self) -> None:
        """A servable without versions has no name in the list."""
        harnesses = [_harness(number) for number in (1, 2)]
        for harness in harnesses:
            self.versions.put(_Version(harness))
        self.versions.forget(harnesses[0])
        self.assertEqual(self.versions.names(), ["a"])
        self.versions.forget(harnesses[1])
        self.assertEqual(self.versions.names(), [])

    def test_version_in_the_place_of_another_stays(self) -> None:
        """A harness that was swapped out is not the version any longer."""
        old, new = _harness(), _harness()
        self.versions.put(_Version(old, new))
        self.versions.put(self.versions.get(_ID).swap())
        self.versions.forget(old)
        self.assertIs(self.versions.get(_ID).harness, new)

    def test_version_that_was_forgotten_may_be_forgotten_again(self) -> None:
        """Nothing happens the second time."""
        harness = _harness()
        self.versions.put(_Version(harness))
        self.versions.forget(harness)
        self.versions.forget(harness)
        self.assertFalse(self.versions.has(_ID))


if __name__ == "__main__":
    absltest.main()
