"""Tests for aspired_versions_manager: failures, many versions, much news."""

from collections.abc import Sequence

from absl.testing import absltest

from tensorflow_serving.core import aspired_version_policy, servable
from tensorflow_serving.test_util import managed_test_case
from tensorflow_serving.util import errors

_START = servable.ManagerState.START
_LOADING = servable.ManagerState.LOADING
_AVAILABLE = servable.ManagerState.AVAILABLE
_END = servable.ManagerState.END


class RecoveryTest(managed_test_case.ManagedTestCase):
    """Versions that fail for the moment come back by themselves."""

    policy = staticmethod(aspired_version_policy.availability_preserving_policy)

    def wait(self, seconds: float) -> None:
        """Moves the clock, and has everything done."""
        self.clock.advance_micros(int(seconds * 1e6))
        self.settle()

    def test_version_that_was_gone_is_tried_again(self) -> None:
        """A missing version is tried after 5, 10 and 20 s by itself."""
        gone = errors.NotFoundError("gone")
        data = self.data(1, load_errors=[gone] * 3)
        self.aspire(data)
        self.settle()
        for seconds in (5, 10):
            self.wait(seconds - 0.1)
            num_states = len(self.states)
            self.wait(0.1)
            self.assertEqual(
                [each.manager_state for each in self.states[num_states:]],
                [_START, _LOADING, _END],
            )
        self.wait(20)
        self.assertEqual(self.available(), ["a1"])
        self.assertEqual(self.loaders[data.id].calls.count("load"), 4)

    def test_version_that_is_broken_is_not_tried_again(self) -> None:
        """A broken version is as broken an hour later, and not tried."""
        data = self.data(1, load_errors=[errors.DataLossError("broken")])
        self.aspire(data)
        self.settle()
        self.wait(3600)
        self.assertEqual(self.loaders[data.id].calls.count("load"), 1)

    def test_version_that_is_withdrawn_and_wanted_again_is_tried_anew(
        self,
    ) -> None:
        """Whoever asks again learns what becomes of it, however soon that is.

        One that serves, serves on.
        """
        serving = self.data(1, "b")
        for data in (
            self.data(1, load_errors=[errors.DataLossError("broken")] * 2),
            servable.ServableData.failed(
                servable.ServableId("a", 2), errors.DataLossError("half")
            ),
        ):
            self.aspire(data)
            self.aspire(serving, name="b")
            self.settle()
            before = self.states_of(data.id.version)
            states = self.states_of(1, "b")
            for name, each in (("a", data), ("b", serving)):
                self.aspire(name=name)
                self.aspire(each, name=name)
            self.settle()
            self.assertEqual(self.states_of(data.id.version), 2 * before)
            self.assertEqual(self.states_of(1, "b"), states)

    def test_version_that_does_not_fit_is_loaded_once_memory_is_free(
        self,
    ) -> None:
        """Freed memory starts the load while the clock stands still."""
        for name in ("a", "b"):
            data = self.data(1, name)
            self.loaders[data.id].ram_in_bytes = 80
            self.aspire(data, name=name)
            self.settle()
        self.assertEqual(self.available(), ["a1"])
        self.aspire(name="a")
        self.settle()
        self.assertEqual(self.available(), ["b1"])

    def test_newest_version_wins_when_a_thread_is_free(self) -> None:
        """A version that was withdrawn before its turn is not loaded."""
        first = self.data(1)
        self.aspire(first)
        self.manager.manage_state_once()
        for version in range(2, 10):
            self.aspire(version)
            self.manager.manage_state_once()
        self.settle()
        self.assertEqual(self.available(), ["a9"])
        self.assertEqual(
            [
                id_.version
                for id_, loader in self.loaders.items()
                if "load" in loader.calls
            ],
            [9],
        )

    def test_servables_take_turns(self) -> None:
        """One with many versions does not keep the others from loading."""
        self.aspire(1, 2, 3, name="a")
        self.aspire(1, name="b")
        self.manager.manage_state_once()
        for _ in range(2):
            self.loads.run_next()
            self.manager.manage_state_once()
        self.assertEqual(self.available(), ["a3", "b1"])

    def test_load_that_waits_for_a_retry_lets_others_load(self) -> None:
        """There is one thread, and the clock stands still."""
        self.aspire(
            self.data(1, "a", [errors.UnavailableError("down")]), name="a"
        )
        self.aspire(1, name="b")
        self.settle()
        self.assertEqual(self.available(), ["b1"])

    def test_equal_calls_of_a_source_are_not_even_looked_at(self) -> None:
        """Its loaders are not kept, and the policy is not asked."""
        self.aspire(1, self.failed(2))
        self.settle()
        num_states = len(self.states)
        for _ in range(3):
            self.aspire(1, self.failed(2))
            self.assertFalse(self.manager.manage_state_once())
        self.assertEqual(len(self.states), num_states)


class _AskedPolicy:
    """A policy that counts whom it was asked of, and fails for one servable."""

    def __init__(self) -> None:
        self.num_versions = 0
        self.is_broken = True

    def __call__(
        self, versions: Sequence[aspired_version_policy.VersionSnapshot]
    ) -> aspired_version_policy.Action | None:
        """See AspiredVersionPolicy."""
        self.num_versions += len(versions)
        if self.is_broken and any(each.id.name == "bad" for each in versions):
            raise SystemExit
        return aspired_version_policy.availability_preserving_policy(versions)


class PolicyTest(managed_test_case.ManagedTestCase):
    """How often a policy is asked, and what becomes of its errors."""

    def setUp(self) -> None:
        """Installs the policy."""
        self.asked = _AskedPolicy()
        # The case makes its manager with the policy of the class.
        type(self).policy = staticmethod(self.asked)
        super().setUp()

    def test_policy_that_fails_holds_up_one_servable(self) -> None:
        """It is asked again later; an exit is an error like another one."""
        with self.assertLogs(level="ERROR"):
            self.aspire(1, name="bad")
            self.aspire(1, name="good")
            self.settle()
        self.assertEqual(self.available(), ["good1"])
        self.asked.is_broken = False
        self.clock.advance_micros(300_000_000)
        self.settle()
        self.assertEqual(self.available(), ["bad1", "good1"])

    def test_thousand_servables_cost_a_few_looks_each(self) -> None:
        """A change costs a few looks at the servable that changes."""
        for number in range(1000):
            self.aspire(1, name=f"m{number}")
        self.settle()
        self.assertEqual(len(self.available()), 1000)
        self.assertLess(self.asked.num_versions, 5 * 1000)
        self.asked.num_versions = 0
        self.aspire(1, 2, name="m7")
        self.settle()
        self.assertIn(self.asked.num_versions, range(1, 11))


if __name__ == "__main__":
    absltest.main()
