"""Tests for aspired_versions_manager: other content under an old number."""

from absl.testing import absltest

from tensorflow_serving.core import (
    aspired_version_policy,
    loader_harness,
    servable,
)
from tensorflow_serving.test_util import fake_loader, managed_test_case
from tensorflow_serving.util import errors

_ID = servable.ServableId("a", 1)
_START = servable.ManagerState.START
_LOADING = servable.ManagerState.LOADING
_AVAILABLE = servable.ManagerState.AVAILABLE
_END = servable.ManagerState.END
_BROKEN = errors.DataLossError("broken")


class _ContentTestCase(managed_test_case.ManagedTestCase):
    """Version 1 of a servable, with content that has a name."""

    def aspire_content(
        self,
        content: str | None,
        load_errors: tuple[Exception, ...] = (),
        ram_in_bytes: int = 0,
    ) -> fake_loader.FakeLoader:
        """Reports the version whole; returns its loader."""
        loader = fake_loader.FakeLoader(
            content, errors=load_errors, ram_in_bytes=ram_in_bytes
        )
        self.aspire(servable.ServableData.ok(_ID, loader, content))
        return loader


class AvailabilityPreservingTest(_ContentTestCase):
    """With the policy that keeps versions available."""

    policy = staticmethod(aspired_version_policy.availability_preserving_policy)

    def test_other_content_takes_the_place_of_the_old(self) -> None:
        """A request gets the one or the other; the old one is unloaded."""
        old = self.aspire_content("old")
        self.settle()
        new = self.aspire_content("new")
        self.manager.manage_state_once()
        self.assertEqual(self.served(), "old")
        self.loads.run_all()
        self.assertEqual(self.served(), "new")
        self.settle()
        self.assertEqual((old.is_loaded, new.is_loaded), (False, True))
        self.assertEqual(
            self.states_of(1), [_START, _LOADING, _AVAILABLE, _AVAILABLE]
        )

    def test_old_content_lasts_until_its_handles_are_closed(self) -> None:
        """No request loses what it uses."""
        old = self.aspire_content("old")
        self.settle()
        request = servable.ServableRequest.latest("a")
        with self.manager.get_servable_handle(request, str) as handle:
            self.aspire_content("new")
            self.settle()
            self.assertEqual(self.served(), "new")
            self.assertEqual(handle.servable, "old")
            self.assertTrue(old.is_loaded)
        self.settle()
        self.assertFalse(old.is_loaded)

    def test_same_content_and_unknown_content_are_not_loaded_again(
        self,
    ) -> None:
        """A source may report the same as often as it likes."""
        self.aspire_content("old")
        self.settle()
        for content in ("old", None, "old"):
            loader = self.aspire_content(content)
            self.settle()
            self.assertEqual(loader.calls, [])

    def test_content_that_fails_leaves_the_old_one(self) -> None:
        """It is published with its reason, and not tried again as it is."""
        self.aspire_content("old")
        self.settle()
        self.aspire_content("new", load_errors=(_BROKEN,))
        self.settle()
        self.assertEqual(self.served(), "old")
        self.assertEqual(
            str(self.states[-1]),
            "{name: a version: 1} is AVAILABLE: DATA_LOSS: broken",
        )
        num_states = len(self.states)
        self.aspire(self.failed(1))
        self.settle()
        loader = self.aspire_content("new")
        self.settle()
        self.assertEqual(loader.calls, [])
        self.assertEqual(len(self.states), num_states)
        self.aspire_content("newest")
        self.settle()
        self.assertEqual(self.served(), "newest")

    def test_content_that_fails_for_the_moment_is_tried_again(self) -> None:
        """New content that fails for the moment is loaded again in seconds."""
        self.aspire_content("old", ram_in_bytes=60)
        self.aspire_content("other", ram_in_bytes=50)
        self.aspire(self.data(1, "b"), name="b")
        self.settle()
        self.aspire_content("new", load_errors=(errors.NotFoundError("no"),))
        self.settle()
        self.assertEqual(self.served(), "other")
        self.clock.advance_micros(5_000_000)
        self.settle()
        self.assertEqual(self.served(), "new")

    def test_content_that_does_not_fit_is_loaded_when_memory_is_free(
        self,
    ) -> None:
        """The old one serves on; the clock stands still."""
        self.aspire_content("old", ram_in_bytes=60)
        other = self.data(1, "b")
        self.loaders[other.id].ram_in_bytes = 40
        self.aspire(other, name="b")
        self.settle()
        self.aspire_content("new", ram_in_bytes=30)
        self.settle()
        self.assertEqual(self.served(), "old")
        self.aspire(name="b")
        self.settle()
        self.assertEqual(self.served(), "new")

    def test_content_that_is_not_wanted_any_longer_is_not_served(self) -> None:
        """The version goes, with both."""
        old = self.aspire_content("old")
        self.settle()
        new = self.aspire_content("new")
        self.manager.manage_state_once()
        self.aspire()
        self.settle()
        self.assertEqual(self.available(), [])
        self.assertFalse(old.is_loaded or new.is_loaded)
        self.assertNotIn("load", new.calls)
        self.assertEqual(self.states_of(1)[-1], _END)

    def test_broken_content_is_loaded_once_however_often_it_is_aspired(
        self,
    ) -> None:
        """A source aspires to broken versions whenever the set changes."""
        broken = self.data(2, load_errors=[_BROKEN], content="broken")
        self.aspire(1, broken)
        self.settle()
        for _ in range(3):
            self.aspire(1)
            self.settle()
            again = self.data(2, content="broken")
            self.aspire(1, again)
            self.settle()
            self.assertEqual(self.loaders[again.id].calls, [])
            self.assertEqual(str(self.states[-1].error), "broken")
        self.aspire(1, self.data(2, content="repaired"))
        self.settle()
        self.assertEqual(self.available(), ["a1", "a2"])

    def test_load_whose_files_change_is_never_available(self) -> None:
        """It may be half old and half new, so it is loaded anew."""
        first = self.aspire_content("old")
        self.manager.manage_state_once()
        first.may_load.clear()
        with self.running_loads():
            first.load_started.wait()
            self.aspire_content("new")
            self.manager.manage_state_once()
            first.may_load.set()
        self.settle()
        self.assertIn("load", first.calls)
        self.assertEqual(self.served(), "new")
        self.assertFalse(first.is_loaded)
        self.assertEqual(self.states_of(1).count(_AVAILABLE), 1)

    def test_load_during_an_error_is_never_available(self) -> None:
        """The version is loaded anew once it is whole, even if it is equal."""
        self.aspire_content("old")
        self.manager.manage_state_once()
        self.aspire(self.failed(1))
        self.manager.manage_state_once()
        self.settle()
        self.assertEqual(self.available(), [])
        loader = self.aspire_content("old")
        self.settle()
        self.assertEqual(self.available(), ["a1"])
        self.assertTrue(loader.is_loaded)

    def test_load_goes_on_if_the_version_is_wanted_again(self) -> None:
        """There is no reason to begin from the start."""
        loader = self.aspire_content("old")
        self.manager.manage_state_once()
        loader.may_load.clear()
        with self.running_loads():
            loader.load_started.wait()
            self.aspire()
            self.manager.manage_state_once()
            self.aspire_content("old")
            self.manager.manage_state_once()
            loader.may_load.set()
        self.settle()
        self.assertTrue(loader.is_loaded)
        self.assertEqual(self.states_of(1), [_START, _LOADING, _AVAILABLE])

    def test_version_withdrawn_while_it_loads_is_never_available(self) -> None:
        """It is unloaded when its load has ended."""
        loader = self.aspire_content("old")
        self.manager.manage_state_once()
        loader.may_load.clear()
        with self.running_loads():
            loader.load_started.wait()
            self.aspire()
            self.manager.manage_state_once()
            loader.may_load.set()
        self.settle()
        self.assertFalse(loader.is_loaded)
        self.assertIn("load", loader.calls)
        self.assertEqual(self.states_of(1), [_START, _LOADING, _END])
        self.assertIsNone(self.states[-1].error)


class ResourcePreservingTest(_ContentTestCase):
    """With the policy that saves memory."""

    policy = staticmethod(aspired_version_policy.resource_preserving_policy)

    def test_old_content_goes_first(self) -> None:
        """Old content goes first if both do not fit."""
        old = self.aspire_content("old", ram_in_bytes=100)
        self.settle()
        new = self.aspire_content("new", ram_in_bytes=100)
        self.manager.manage_state_once()
        self.assertEqual(self.available(), [])
        self.assertEqual(self.loads.num_waiting, 0)
        self.settle()
        self.assertEqual(self.served(), "new")
        self.assertEqual((old.is_loaded, new.is_loaded), (False, True))


class PolicyTest(absltest.TestCase):
    """The next action of a policy for a stale version."""

    def test_policies_differ_in_what_comes_first(self) -> None:
        """A reload keeps the version available, an unload saves memory."""
        stale = aspired_version_policy.VersionSnapshot(
            _ID, loader_harness.State.READY, is_aspired=True, is_stale=True
        )
        kind = aspired_version_policy.ActionKind
        for policy, wanted in (
            (
                aspired_version_policy.availability_preserving_policy,
                kind.RELOAD,
            ),
            (aspired_version_policy.resource_preserving_policy, kind.UNLOAD),
        ):
            self.assertEqual(
                policy([stale]), aspired_version_policy.Action(wanted, _ID)
            )


if __name__ == "__main__":
    absltest.main()
