"""Tests for serving_map."""

from absl.testing import absltest, parameterized

from tensorflow_serving.core import servable, servable_handle, serving_map
from tensorflow_serving.util import errors


def _id(text: str) -> servable.ServableId:
    """Returns the id of "a1"."""
    return servable.ServableId(text[0], int(text[1:]))


class _Leaving(servable_handle.SharedServable):
    """Is removed from a map when somebody has found it there."""

    def __init__(
        self, servable_id: servable.ServableId, versions: serving_map.ServingMap
    ) -> None:
        super().__init__(servable_id, str(servable_id))
        self._map = versions

    def acquire(self) -> servable_handle.ServableHandle[object] | None:
        """Comes too late."""
        self._map.remove(self.id)
        self.retire(lambda: None)
        return super().acquire()


class ServingMapTest(parameterized.TestCase):
    """Which versions are available right now."""

    def setUp(self) -> None:
        """Makes an empty map."""
        super().setUp()
        self.map = serving_map.ServingMap()

    def _add(self, *texts: str) -> None:
        for text in texts:
            self.map.add(servable_handle.SharedServable(_id(text), text))

    def _find(self, name: str, version: int | None = None) -> object:
        """Returns the servable, which is the text it was added with."""
        request = servable.ServableRequest(name, version)
        with self.map.acquire(request) as handle:
            return handle.servable

    def test_version_is_found_by_its_number(self) -> None:
        """A version is found by its name and number."""
        self._add("a1", "a2", "b1")
        self.assertEqual(self._find("a", 1), "a1")
        self.assertEqual(self._find("a", 2), "a2")
        self.assertEqual(self._find("b", 1), "b1")

    @parameterized.parameters(
        (["a9", "a10"],), (["a10", "a9"],), (["a9", "a10", "a2", "b11"],)
    )
    def test_latest_is_the_highest_version(self, texts: list[str]) -> None:
        """The latest version is the highest, in whatever order they came."""
        self._add(*texts)
        self.assertEqual(self._find("a"), "a10")

    def test_replaced_object_answers_no_further_request(self) -> None:
        """The version is there all the time; handles keep what they have."""
        self._add("a1", "a2")
        with self.map.acquire(servable.ServableRequest("a")) as handle:
            old = self.map.replace(
                servable_handle.SharedServable(_id("a2"), "other")
            )
            self.assertEqual(handle.servable, "a2")
            self.assertEqual(old.num_handles, 1)
            self.assertEqual(self._find("a"), "other")
        self.assertEqual(self._find("a", 1), "a1")

    def test_latest_falls_back_when_the_highest_is_removed(self) -> None:
        """The latest version is then the highest of those that are left."""
        self._add("a1", "a3", "a2")
        self.map.remove(_id("a3"))
        self.assertEqual(self._find("a"), "a2")
        self.map.remove(_id("a1"))
        self.assertEqual(self._find("a"), "a2")

    @parameterized.named_parameters(
        ("name", "c", 1, "1"),
        ("name_latest", "c", None, "latest"),
        ("version", "a", 3, "3"),
        ("removed", "a", 1, "1"),
        ("removed_all", "b", None, "latest"),
    )
    def test_what_is_not_there_is_not_found(
        self, name: str, version: int | None, text: str
    ) -> None:
        """The error says what was asked for."""
        self._add("a1", "a2", "b1")
        self.map.remove(_id("a1"))
        self.map.remove(_id("b1"))
        with self.assertRaisesRegex(
            errors.NotFoundError,
            "^Servable must be available; got a request for "
            f"{{name: {name} version: {text}}}$",
        ):
            self._find(name, version)

    def test_ids_are_sorted(self) -> None:
        """The ids are sorted by name, then by version."""
        self.assertEqual(self.map.ids(), [])
        self._add("b1", "a10", "a9", "c0")
        self.map.remove(_id("c0"))
        self.assertEqual(self.map.ids(), [_id("a9"), _id("a10"), _id("b1")])

    def test_remove_returns_what_was_added(self) -> None:
        """remove() returns the servable with the handles that are open."""
        shared = servable_handle.SharedServable(_id("a1"), "a1")
        self.map.add(shared)
        with self.map.acquire(servable.ServableRequest.latest("a")):
            self.assertIs(self.map.remove(_id("a1")), shared)
            self.assertEqual(shared.num_handles, 1)
        self.assertEqual(shared.num_handles, 0)

    def test_version_can_come_back(self) -> None:
        """A version that was removed can be added as another object."""
        self._add("a1")
        with self.map.acquire(servable.ServableRequest.latest("a")) as old:
            self.map.remove(_id("a1"))
            self._add("a1")
            with self.map.acquire(servable.ServableRequest.latest("a")) as new:
                self.assertNotEqual(old, new)

    def test_request_that_finds_what_leaves_looks_again(self) -> None:
        """The next version answers, or it is as if it had come later."""
        self._add("a1")
        self.map.add(_Leaving(_id("a2"), self.map))
        self.assertEqual(self._find("a"), "a1")
        self.map.add(_Leaving(_id("a2"), self.map))
        with self.assertRaises(errors.NotFoundError):
            self._find("a", 2)


if __name__ == "__main__":
    absltest.main()
