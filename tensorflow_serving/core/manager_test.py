"""Tests for manager: what all managers have in common."""

from collections.abc import Sequence

from absl.testing import absltest
from typing_extensions import override

from tensorflow_serving.core import (
    manager,
    servable,
    servable_handle,
    serving_map,
)
from tensorflow_serving.util import errors


class _Manager(manager.Manager):
    """Serves what it was given, and at times lists what is gone."""

    def __init__(self, *servables: object) -> None:
        super().__init__(serving_map.ServingMap())
        self.shared = [
            servable_handle.SharedServable(
                servable.ServableId("a", version), each
            )
            for version, each in enumerate(servables)
        ]
        for shared in self.shared:
            self.serving_map.add(shared)
        self.gone: list[servable.ServableId] = []
        self.is_closed = False

    @override
    def list_available_servable_ids(self) -> Sequence[servable.ServableId]:
        return [*super().list_available_servable_ids(), *self.gone]

    @override
    def close(self) -> None:
        self.is_closed = True

    def num_handles(self) -> int:
        """Returns how many handles are open."""
        return sum(shared.num_handles for shared in self.shared)


class ManagerTest(absltest.TestCase):
    """Handles on the servables that are loaded."""

    def test_servable_of_the_right_class_is_found(self) -> None:
        """A servable of a subclass is of the right class too."""
        served = _Manager("zero", True)
        latest = servable.ServableRequest.latest("a")
        with served.get_servable_handle(latest, int) as handle:
            self.assertIs(handle.servable, True)
        specific = servable.ServableRequest.specific("a", 0)
        with served.get_servable_handle(specific, str) as other:
            self.assertEqual(other.servable, "zero")
            self.assertEqual(served.num_handles(), 1)

    def test_servable_of_another_class_is_refused(self) -> None:
        """The error names both; no handle stays open."""
        served = _Manager("zero")
        with self.assertRaisesRegex(
            errors.InvalidArgumentError,
            "^Servable {name: a version: latest} must be a int; got a str$",
        ):
            served.get_servable_handle(
                servable.ServableRequest.latest("a"), int
            )
        self.assertEqual(served.num_handles(), 0)

    def test_repr_has_the_available_versions(self) -> None:
        """A debugger shows the versions that a manager serves."""
        self.assertEqual(
            repr(_Manager("zero")),
            f"<_Manager [{servable.ServableId('a', 0)}]>",
        )

    def test_unknown_servable_is_not_found(self) -> None:
        """An unknown servable is NOT_FOUND, whatever class is asked for."""
        with self.assertRaises(errors.NotFoundError):
            _Manager("zero").get_servable_handle(
                servable.ServableRequest.latest("b"), str
            )

    def test_all_servables_of_a_class_are_found(self) -> None:
        """Others are passed over, and so are those that have left since."""
        served = _Manager("zero", 1, "two")
        served.gone.append(servable.ServableId("a", 3))
        handles = served.get_available_servable_handles(str)
        self.assertEqual(
            {each.version: handle.servable for each, handle in handles.items()},
            {0: "zero", 2: "two"},
        )
        self.assertEqual(served.num_handles(), 2)
        for handle in handles.values():
            handle.close()
        self.assertEqual(served.num_handles(), 0)

    def test_end_of_the_block_closes_the_manager(self) -> None:
        """A block that ends, also by an error, closes the manager."""
        with self.assertRaises(KeyError), _Manager() as served:
            raise KeyError
        self.assertTrue(served.is_closed)


if __name__ == "__main__":
    absltest.main()
