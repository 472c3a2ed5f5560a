"""Tests for aspired_version_policy."""

import itertools
from collections.abc import Iterator, Sequence

from absl.testing import absltest, parameterized

from tensorflow_serving.core import (
    aspired_version_policy,
    loader_harness,
    servable,
)

_State = loader_harness.State
_Snapshot = aspired_version_policy.VersionSnapshot
_LOAD = aspired_version_policy.ActionKind.LOAD
_UNLOAD = aspired_version_policy.ActionKind.UNLOAD

_AVAILABILITY = aspired_version_policy.availability_preserving_policy
_RESOURCE = aspired_version_policy.resource_preserving_policy
_POLICIES = (("availability", _AVAILABILITY), ("resource", _RESOURCE))

# States of versions that take memory, or are about to.
_ON_THE_WAY_OUT = {
    _State.UNLOAD_REQUESTED,
    _State.QUIESCING,
    _State.QUIESCED,
    _State.UNLOADING,
}
_UNFINISHED = set(_State) - loader_harness.FINAL_STATES - {_State.NEW}


def _version(number: int, state: _State, is_aspired: bool) -> _Snapshot:
    return _Snapshot(servable.ServableId("a", number), state, is_aspired)


def _parse(text: str) -> list[_Snapshot]:
    """Returns the versions of "1:READY 2:NEW*"; the star is for aspired."""
    versions = []
    for word in text.split():
        number, _, state = word.partition(":")
        versions.append(
            _version(
                int(number),
                getattr(_State, state.rstrip("*")),
                state.endswith("*"),
            )
        )
    return versions


def _describe(action: aspired_version_policy.Action | None) -> str:
    """Returns "LOAD 2", or "nothing"."""
    if action is None:
        return "nothing"
    return f"{action.kind.name} {action.id.version}"


def _all_versions() -> Iterator[tuple[_Snapshot, ...]]:
    """Yields all that can be known of up to three versions."""
    for size in range(4):
        yield from itertools.product(
            *(
                [
                    _version(number, state, is_aspired)
                    for state in _State
                    for is_aspired in (False, True)
                ]
                for number in range(size)
            )
        )


def _all_at_rest() -> Iterator[tuple[_Snapshot, ...]]:
    """Yields those of which no version is on the way."""
    at_rest = {_State.NEW, _State.READY, *loader_harness.FINAL_STATES}
    for versions in _all_versions():
        if all(each.state in at_rest for each in versions):
            yield versions


def _ready(versions: Sequence[_Snapshot]) -> list[_Snapshot]:
    return [each for each in versions if each.state is _State.READY]


class TableTest(parameterized.TestCase):
    """The next action of each policy, by what there is."""

    @parameterized.parameters(
        # (versions, availability preserving, resource preserving)
        ("", "nothing", "nothing"),
        # The first versions of a servable.
        ("1:NEW*", "LOAD 1", "LOAD 1"),
        ("1:NEW* 3:NEW* 2:NEW*", "LOAD 3", "LOAD 3"),
        ("9:NEW* 10:NEW*", "LOAD 10", "LOAD 10"),
        ("1:NEW* 2:READY*", "LOAD 1", "LOAD 1"),
        ("1:NEW* 2:LOADING*", "LOAD 1", "LOAD 1"),
        ("1:NEW* 2:ERROR*", "LOAD 1", "LOAD 1"),
        # Aspired versions that are there are left alone.
        ("1:READY*", "nothing", "nothing"),
        ("1:READY* 2:READY*", "nothing", "nothing"),
        ("1:LOADING*", "nothing", "nothing"),
        ("1:ERROR*", "nothing", "nothing"),
        # So is a version that was never loaded and is not aspired.
        ("1:NEW", "nothing", "nothing"),
        ("1:NEW 2:NEW*", "LOAD 2", "LOAD 2"),
        # A new version replaces an old one.
        ("1:READY 2:NEW*", "LOAD 2", "UNLOAD 1"),
        ("1:READY 2:LOAD_REQUESTED*", "nothing", "UNLOAD 1"),
        ("1:READY 2:LOADING*", "nothing", "UNLOAD 1"),
        ("1:READY 2:READY*", "UNLOAD 1", "UNLOAD 1"),
        ("1:READY 2:ERROR*", "nothing", "UNLOAD 1"),
        ("1:UNLOAD_REQUESTED 2:NEW*", "LOAD 2", "nothing"),
        ("1:QUIESCING 2:NEW*", "LOAD 2", "nothing"),
        ("1:UNLOADING 2:NEW*", "LOAD 2", "nothing"),
        ("1:DISABLED 2:NEW*", "LOAD 2", "LOAD 2"),
        ("1:ERROR 2:NEW*", "LOAD 2", "LOAD 2"),
        # An old version replaces a new one: a rollback.
        ("1:NEW* 2:READY", "LOAD 1", "UNLOAD 2"),
        ("1:READY* 2:READY", "UNLOAD 2", "UNLOAD 2"),
        # The new version is withdrawn before it was loaded.
        ("1:READY* 2:LOADING", "nothing", "nothing"),
        ("1:NEW* 2:LOADING", "LOAD 1", "nothing"),
        ("1:READY 2:NEW* 3:LOADING", "LOAD 2", "UNLOAD 1"),
        # One of several old versions is enough.
        ("1:READY 2:READY 3:NEW*", "UNLOAD 1", "UNLOAD 1"),
        ("2:READY 1:READY 3:LOADING*", "UNLOAD 1", "UNLOAD 1"),
        ("9:READY 10:READY 11:ERROR*", "UNLOAD 9", "UNLOAD 9"),
        ("1:READY 2:UNLOADING 3:NEW*", "LOAD 3", "UNLOAD 1"),
        # Some of several stay.
        ("1:READY 2:READY* 3:NEW*", "UNLOAD 1", "UNLOAD 1"),
        ("1:READY 2:NEW* 3:NEW*", "LOAD 3", "UNLOAD 1"),
        ("1:READY 2:NEW* 3:READY*", "UNLOAD 1", "UNLOAD 1"),
        # Everything was withdrawn.
        ("1:READY", "UNLOAD 1", "UNLOAD 1"),
        ("2:READY 1:READY", "UNLOAD 1", "UNLOAD 1"),
        ("1:LOADING 2:READY", "UNLOAD 2", "UNLOAD 2"),
        ("1:LOADING", "nothing", "nothing"),
        ("1:UNLOADING", "nothing", "nothing"),
        ("1:DISABLED", "nothing", "nothing"),
    )
    def test_next_action(
        self, text: str, availability: str, resource: str
    ) -> None:
        """The action is a function of all versions, aspired or not."""
        versions = _parse(text)
        self.assertEqual(_describe(_AVAILABILITY(versions)), availability)
        self.assertEqual(_describe(_RESOURCE(versions)), resource)


class PropertyTest(parameterized.TestCase):
    """Properties that hold for all states of up to three versions."""

    @parameterized.named_parameters(*_POLICIES)
    def test_action_is_possible_and_wanted(
        self, policy: aspired_version_policy.AspiredVersionPolicy
    ) -> None:
        """NEW versions are loaded if aspired, READY ones unloaded if not."""
        for versions in _all_versions():
            action = policy(versions)
            if action is None:
                continue
            version = next(each for each in versions if each.id == action.id)
            self.assertIn(
                (action.kind, version.state, version.is_aspired),
                [(_LOAD, _State.NEW, True), (_UNLOAD, _State.READY, False)],
            )

    @parameterized.named_parameters(*_POLICIES)
    def test_order_of_the_versions_does_not_matter(
        self, policy: aspired_version_policy.AspiredVersionPolicy
    ) -> None:
        """Neither the order of the versions nor asking twice matters."""
        for versions in _all_versions():
            self.assertEqual(policy(versions), policy(versions[::-1]), versions)

    def test_availability_preserving_keeps_the_only_ready_version(self) -> None:
        """The only ready version goes when another aspired one is ready."""
        num_kept = 0
        for versions in _all_versions():
            is_aspired = any(each.is_aspired for each in versions)
            if is_aspired and len(_ready(versions)) == 1:
                action = _AVAILABILITY(versions)
                self.assertFalse(action and action.kind is _UNLOAD, versions)
                num_kept += 1
        self.assertGreater(num_kept, 0)

    def test_availability_preserving_always_loads(self) -> None:
        """It waits for nothing: what is aspired and NEW comes next."""
        for versions in _all_versions():
            if _AVAILABILITY(versions) is None:
                self.assertNotIn(
                    (_State.NEW, True),
                    [(each.state, each.is_aspired) for each in versions],
                )

    def test_resource_preserving_loads_when_all_others_are_gone(self) -> None:
        """It waits while a version takes memory that it will not keep."""
        for versions in _all_versions():
            action = _RESOURCE(versions)
            is_waiting = any(
                each.state in _UNFINISHED
                and (not each.is_aspired or each.state in _ON_THE_WAY_OUT)
                for each in versions
            )
            is_loading = action is not None and action.kind is _LOAD
            can_load = any(
                each.state is _State.NEW and each.is_aspired
                for each in versions
            )
            self.assertEqual(is_loading, can_load and not is_waiting, versions)

    @parameterized.named_parameters(*_POLICIES)
    def test_all_actions_together_serve_what_is_aspired(
        self, policy: aspired_version_policy.AspiredVersionPolicy
    ) -> None:
        """If all goes well, the actions serve exactly the aspired versions."""
        for start in _all_at_rest():
            versions = self._run(policy, start, _State.READY)[-1]
            for version in versions:
                if version.is_aspired:
                    self.assertIsNot(version.state, _State.NEW, start)
            if any(each.is_aspired for each in _ready(versions)):
                self.assertTrue(
                    all(each.is_aspired for each in _ready(versions)), start
                )

    def test_availability_preserving_never_stops_serving(self) -> None:
        """Availability is preserved even if no load succeeds."""
        for loaded in (_State.READY, _State.ERROR):
            for start in _all_at_rest():
                if not any(each.is_aspired for each in start):
                    continue
                steps = self._run(_AVAILABILITY, start, loaded)
                is_ready = [bool(_ready(versions)) for versions in steps]
                self.assertEqual(is_ready, sorted(is_ready), start)

    def _run(
        self,
        policy: aspired_version_policy.AspiredVersionPolicy,
        versions: Sequence[_Snapshot],
        loaded: _State,
    ) -> list[Sequence[_Snapshot]]:
        """Returns the versions after each action until there is none.

        Args:
          policy: What decides.
          versions: The start, which is in the result too.
          loaded: The state after a load.
        """
        steps = [versions]
        while (action := policy(versions)) is not None:
            after = loaded if action.kind is _LOAD else _State.DISABLED
            versions = [
                _version(each.id.version, after, each.is_aspired)
                if each.id == action.id
                else each
                for each in versions
            ]
            steps.append(versions)
            # Each version is acted on once.
            self.assertLessEqual(len(steps), len(versions) + 1)
        return steps


if __name__ == "__main__":
    absltest.main()
