"""Tests for static_manager."""

import concurrent.futures

from absl.testing import absltest

from tensorflow_serving.core import servable, static_manager
from tensorflow_serving.test_util import fake_clock
from tensorflow_serving.util import errors

_ONE = servable.ServableId("name", 1)
_TWO = servable.ServableId("name", 2)
_OTHER = servable.ServableId("other", 7)
_LATEST = servable.ServableRequest.latest("name")


class StaticManagerTest(absltest.TestCase):
    """Serves fixed objects."""

    def test_handles_are_on_the_objects(self) -> None:
        """A handle is on a certain version, or on the newest."""
        with static_manager.StaticManager(
            {_TWO: "two", _ONE: "one", _OTHER: 7}
        ) as manager:
            self.assertEqual(
                manager.list_available_servable_ids(), [_ONE, _TWO, _OTHER]
            )
            with manager.get_servable_handle(_LATEST, str) as handle:
                self.assertEqual(handle.id, _TWO)
                self.assertEqual(handle.servable, "two")
            with manager.get_servable_handle(
                servable.ServableRequest.specific("name", 1), str
            ) as handle:
                self.assertEqual(handle.servable, "one")

    def test_what_was_not_given_is_not_found(self) -> None:
        """Other versions and other names are NOT_FOUND."""
        with static_manager.StaticManager({_ONE: "one"}) as manager:
            for request in (
                servable.ServableRequest.from_id(_TWO),
                servable.ServableRequest.latest("other"),
            ):
                with self.assertRaises(errors.NotFoundError):
                    manager.get_servable_handle(request, str)

    def test_servable_of_another_class_is_refused(self) -> None:
        """A servable of another class is refused, and its handle is closed."""
        with (
            static_manager.StaticManager({_ONE: "one"}) as manager,
            self.assertRaises(errors.InvalidArgumentError),
        ):
            manager.get_servable_handle(_LATEST, int)

    def test_none_is_refused(self) -> None:
        """The text says for which version."""
        with self.assertRaisesRegex(
            errors.InvalidArgumentError,
            r"^servable \{name: name version: 2\} must be an object; got None$",
        ):
            static_manager.StaticManager({_ONE: "one", _TWO: None})

    def test_empty_manager_is_fine(self) -> None:
        """An empty manager has nothing to find and no trouble."""
        with static_manager.StaticManager({}) as manager:
            self.assertEqual(manager.list_available_servable_ids(), [])

    def test_later_changes_of_the_mapping_are_not_seen(self) -> None:
        """The servables never change."""
        servables: dict[servable.ServableId, object] = {_ONE: "one"}
        with static_manager.StaticManager(servables) as manager:
            servables[_TWO] = "two"
            self.assertEqual(manager.list_available_servable_ids(), [_ONE])

    def test_close_waits_for_handles(self) -> None:
        """Each close() waits; in the meantime nothing is available."""
        clock = fake_clock.FakeClock()
        manager = static_manager.StaticManager({_ONE: "one", _TWO: 2}, clock)
        with (
            concurrent.futures.ThreadPoolExecutor() as threads,
            manager.get_servable_handle(_LATEST, int) as handle,
        ):
            closes = [threads.submit(manager.close) for _ in range(2)]
            clock.settle(threads=2)
            self.assertFalse(any(close.done() for close in closes))
            self.assertEqual(manager.list_available_servable_ids(), [])
            with self.assertRaises(errors.NotFoundError):
                manager.get_servable_handle(_LATEST, int)
            self.assertEqual(handle.servable, 2)
            handle.close()
            for close in closes:
                close.result(timeout=60)
        manager.close()  # idempotent


if __name__ == "__main__":
    absltest.main()
