"""Tests for file_system_storage_path_source, poll after poll."""

import contextlib
import os
import shutil
from collections.abc import Sequence
from typing import Any

from absl.testing import absltest, parameterized

from tensorflow_serving.core import servable
from tensorflow_serving.sources.storage_path import (
    file_system_storage_path_source as source_lib,
)
from tensorflow_serving.sources.storage_path import version_check
from tensorflow_serving.test_util import fake_clock, tiny_versions
from tensorflow_serving.util import errors, event_bus

_EXPORT = tiny_versions.export()
_LATEST = source_lib.Latest()


class _Fixture:
    """A source without a thread, and what it reports."""

    def __init__(self, base: str) -> None:
        self.base = base
        self.clock = fake_clock.FakeClock()
        self.bus = event_bus.EventBus[servable.ServableState](self.clock)
        self.calls: list[tuple[str, list[servable.ServableData[str]]]] = []
        self._stack = contextlib.ExitStack()

    def start(
        self, *names: str, policy: Any = _LATEST, **options: Any
    ) -> source_lib.FileSystemStoragePathSource:
        """Returns a source of servables that are in folders of base."""
        source = source_lib.FileSystemStoragePathSource(
            self.config(*names, policy=policy, **options),
            event_bus=self.bus,
            clock=self.clock,
        )
        self._stack.callback(source.close)
        source.set_aspired_versions_callback(self.take)
        return source

    def config(
        self, *names: str, policy: Any = _LATEST, **options: Any
    ) -> source_lib.Config:
        """Returns a configuration of them."""
        return source_lib.Config(
            tuple(
                source_lib.ServableToMonitor(
                    name, os.path.join(self.base, name), policy
                )
                for name in names
            ),
            -1,
            **options,
        )

    def take(
        self, name: str, versions: Sequence[servable.ServableData[str]]
    ) -> None:
        """Is called by the source."""
        self.calls.append((name, list(versions)))

    def write(self, *paths: str) -> None:
        """Writes whole versions."""
        for path in paths:
            tiny_versions.write(os.path.join(self.base, path), _EXPORT)

    def poll(self, source: source_lib.FileSystemStoragePathSource) -> list[str]:
        """Polls after a second; returns the calls, such as "a: 1 2!"."""
        self.clock.advance_micros(1_000_000)
        self.calls.clear()
        self.problems = source.poll_once()
        return self.reported()

    def reported(self) -> list[str]:
        """Returns the calls, such as "a: 1 2!"."""
        return [
            f"{name}:"
            + "".join(
                f" {each.id.version}{'!' if each.error else ''}"
                for each in versions
            )
            for name, versions in self.calls
        ]

    def close(self) -> None:
        """Closes the sources."""
        self._stack.close()


class FileSystemStoragePathSourceTest(parameterized.TestCase):
    """Tests of the reports on real folders."""

    def setUp(self) -> None:
        """Makes a fixture with an empty folder."""
        super().setUp()
        self._fixture = _Fixture(self.create_tempdir().full_path)
        self.addCleanup(self._fixture.close)

    def _start(
        self, *names: str, **options: Any
    ) -> source_lib.FileSystemStoragePathSource:
        return self._fixture.start(*names, **options)

    def test_repr_has_the_state(self) -> None:
        """A debugger shows if a source is open, and what it polls."""
        source = self._start("a")
        self.assertEqual(
            repr(source), "<FileSystemStoragePathSource open, ['a']>"
        )
        source.close()
        self.assertEqual(
            repr(source), "<FileSystemStoragePathSource closed, ['a']>"
        )

    def test_whole_version_is_reported_at_the_second_look(self) -> None:
        """A whole version is reported at each look after the first."""
        self._fixture.write("a/00000123")
        source = self._start("a")
        self.assertEqual(self._fixture.poll(source), ["a:"])
        for _ in range(2):
            self.assertEqual(self._fixture.poll(source), ["a: 123"])
            ((_, (data,)),) = self._fixture.calls
            self.assertEqual(data.id, servable.ServableId("a", 123))
            self.assertEqual(
                data.data, os.path.join(self._fixture.base, "a", "00000123")
            )

    def test_versions_that_come_later_are_found(self) -> None:
        """A base path may come later as well; the highest number wins."""
        source = self._start("a")
        self.assertEqual(self._fixture.poll(source), [])
        self.assertIsInstance(
            self._fixture.problems["a"], errors.InvalidArgumentError
        )
        os.mkdir(os.path.join(self._fixture.base, "a"))
        self.assertEqual(self._fixture.poll(source), ["a:"])
        self._fixture.write("a/17", "a/42", "a/not_a_version")
        self.assertEqual(self._fixture.poll(source), ["a:"])
        self.assertEqual(self._fixture.poll(source), ["a: 42"])
        self.assertEqual(self._fixture.problems, {})

    def test_missing_base_path_is_no_matter_to_others(self) -> None:
        """A servable whose storage fails is not reported without versions."""
        self._fixture.write("a/1", "b/1", "c/1")
        source = self._start("a", "b", "c")
        self._fixture.poll(source)
        self.assertEqual(self._fixture.poll(source), ["a: 1", "b: 1", "c: 1"])
        gone = os.path.join(self._fixture.base, "b")
        os.rename(gone, gone + "-away")
        for _ in range(2):
            self.assertEqual(self._fixture.poll(source), ["a: 1", "c: 1"])
            self.assertEqual(self._fixture.problems.keys(), {"b"})
        os.rename(gone + "-away", gone)
        self.assertEqual(self._fixture.poll(source), ["a: 1", "b: 1", "c: 1"])

    def test_base_path_that_becomes_empty_unloads_nothing(self) -> None:
        """Storage that is lost often looks like that."""
        self._fixture.write("a/1", "b/1")
        source = self._start("a", "b")
        self._fixture.poll(source)
        self._fixture.poll(source)
        shutil.rmtree(os.path.join(self._fixture.base, "a", "1"))
        self.assertEqual(self._fixture.poll(source), ["b: 1"])

    def test_base_path_that_becomes_empty_unloads_all_if_told_so(self) -> None:
        """servable_versions_always_present=False lets empty folders unload."""
        self._fixture.write("a/1")
        source = self._start("a", servable_versions_always_present=False)
        self._fixture.poll(source)
        self.assertEqual(self._fixture.poll(source), ["a: 1"])
        shutil.rmtree(os.path.join(self._fixture.base, "a", "1"))
        self.assertEqual(self._fixture.poll(source), ["a:"])

    @parameterized.named_parameters(
        ("deleted", shutil.rmtree),
        ("renamed", lambda path: os.rename(path, path + "-bad")),
    )
    def test_roll_back_reports_the_older_version(self, remove: Any) -> None:
        """A roll-back is reported at the next poll."""
        self._fixture.write("a/1", "a/2")
        source = self._start("a")
        self._fixture.poll(source)
        self.assertEqual(self._fixture.poll(source), ["a: 2"])
        remove(os.path.join(self._fixture.base, "a", "2"))
        self.assertEqual(self._fixture.poll(source), ["a: 1"])

    def test_version_that_fails_to_load_gets_another_try(self) -> None:
        """A version that failed is tried when it has other files."""
        self._fixture.write("a/1", "a/2")
        source = self._start("a")
        self._fixture.poll(source)
        self.assertEqual(self._fixture.poll(source), ["a: 2"])
        for name in ("a", "unknown"):
            self._fixture.bus.publish(
                servable.ServableState(
                    servable.ServableId(name, 2),
                    servable.ManagerState.END,
                    errors.DataLossError("broken"),
                )
            )
        self.assertEqual(self._fixture.poll(source), ["a: 1 2"])
        tiny_versions.write(
            os.path.join(self._fixture.base, "a", "2"), {"assets/more": b""}
        )
        self.assertEqual(self._fixture.poll(source), ["a: 1 2!"])
        self.assertEqual(self._fixture.poll(source), ["a: 2"])

    def test_other_folder_of_a_number_takes_the_place_of_a_broken_one(
        self,
    ) -> None:
        """The one with more zeros counts only while it is whole."""
        self._fixture.write("a/1", "a/001")
        source = self._start("a")

        def served() -> list[str]:
            self._fixture.poll(source)
            ((_, versions),) = self._fixture.calls
            return [os.path.basename(each.data or "") for each in versions]

        served()
        self.assertEqual(served(), ["001"])
        os.remove(os.path.join(self._fixture.base, "a", "001", "export.meta"))
        served()
        self.assertEqual(served(), ["1"])
        self._fixture.write("a/001")
        served()
        self.assertEqual(served(), ["001"])

    def test_fault_of_a_version_check_is_that_of_its_servable(self) -> None:
        """It is INTERNAL, and the others are not concerned."""

        def check(path: str, contents: object) -> None:
            raise ValueError("a bug")

        self._fixture.write("a/1", "b/1")
        source = source_lib.FileSystemStoragePathSource(
            source_lib.Config(
                tuple(
                    source_lib.ServableToMonitor(
                        name,
                        os.path.join(self._fixture.base, name),
                        version_check=each,
                    )
                    for name, each in {
                        "a": version_check.VersionCheck(check),
                        "b": version_check.any_content,
                    }.items()
                ),
                -1,
            ),
            clock=self._fixture.clock,
        )
        self.addCleanup(source.close)
        source.set_aspired_versions_callback(self._fixture.take)
        for reported in (["b:"], ["b: 1"]):
            self.assertEqual(self._fixture.poll(source), reported)
            self.assertIsInstance(
                self._fixture.problems["a"], errors.InternalError
            )

    def test_fault_of_the_callback_is_that_of_one_call(self) -> None:
        """The others are made all the same."""
        self._fixture.write("a/1", "b/1")
        calls = []

        def fail(name: str, versions: object) -> None:
            calls.append(name)
            raise ValueError("a bug")

        source = source_lib.FileSystemStoragePathSource(
            self._fixture.config("a", "b"), clock=self._fixture.clock
        )
        with source, self.assertLogs(level="ERROR"):
            source.set_aspired_versions_callback(fail)
            source.poll_once()
        self.assertEqual(calls, ["a", "b"])


class StartTest(parameterized.TestCase):
    """Whether a source starts."""

    def setUp(self) -> None:
        """Makes a fixture with the base path "empty"."""
        super().setUp()
        self._fixture = _Fixture(self.create_tempdir().full_path)
        self.addCleanup(self._fixture.close)
        os.mkdir(os.path.join(self._fixture.base, "empty"))

    @parameterized.parameters(
        ("nowhere", errors.InvalidArgumentError),
        ("empty", errors.NotFoundError),
    )
    def test_start_without_versions_fails_if_told_so(
        self, name: str, error: type[errors.ServingError]
    ) -> None:
        """fail_if_zero_versions_at_startup makes an empty start fail."""
        with self.assertRaisesRegex(error, "must .*; got none"):
            self._fixture.start(name, fail_if_zero_versions_at_startup=True)
        self._fixture.start(name)

    def test_start_with_versions_goes_well(self) -> None:
        """fail_if_zero_versions_at_startup lets a start with versions pass."""
        self._fixture.write("a/1")
        self._fixture.start("a", fail_if_zero_versions_at_startup=True)

    def test_callback_is_set_once(self) -> None:
        """A callback is set once, before the close; polls need it."""
        source = self._fixture.start("empty")
        with self.assertRaises(errors.FailedPreconditionError):
            source.set_aspired_versions_callback(self._fixture.take)
        source = source_lib.FileSystemStoragePathSource(
            self._fixture.config("empty"), clock=self._fixture.clock
        )
        with self.assertRaises(errors.FailedPreconditionError):
            source.poll_once()
        source.close()
        with self.assertRaises(errors.FailedPreconditionError):
            source.set_aspired_versions_callback(self._fixture.take)

    def test_closed_source_calls_nobody(self) -> None:
        """It may be closed twice."""
        source = self._fixture.start("empty")
        for _ in range(2):
            source.close()
        self.assertEqual(self._fixture.poll(source), [])
        source.update_config(self._fixture.config())
        self.assertEqual(self._fixture.calls, [])


class UpdateConfigTest(absltest.TestCase):
    """Other servables while a source runs."""

    def setUp(self) -> None:
        """Has two servables reported."""
        super().setUp()
        self._fixture = _Fixture(self.create_tempdir().full_path)
        self.addCleanup(self._fixture.close)
        self._fixture.write("a/1", "b/1", "b/2", "c/1")
        self._source = self._fixture.start("a", "b")
        self._fixture.poll(self._source)
        self.assertEqual(self._fixture.poll(self._source), ["a: 1", "b: 2"])
        self._fixture.calls.clear()

    def test_removed_servable_has_no_versions(self) -> None:
        """A removed servable has no versions at once; others are polled."""
        self._source.update_config(self._fixture.config("b", "c"))
        self.assertEqual(self._fixture.reported(), ["a:", "b: 2", "c:"])
        self.assertEqual(self._fixture.poll(self._source), ["b: 2", "c: 1"])

    def test_other_policy_takes_effect(self) -> None:
        """After a change of policy a version seen before need not settle."""
        self._source.update_config(
            self._fixture.config("a", "b", policy=source_lib.All())
        )
        self.assertEqual(self._fixture.reported(), ["a: 1", "b: 1 2"])
        self._source.update_config(
            self._fixture.config("a", "b", policy=source_lib.Specific(()))
        )
        self.assertEqual(self._fixture.reported()[2:], ["a:", "b:"])

    def test_period_must_stay_the_same(self) -> None:
        """An update that changes it does nothing."""
        with self.assertRaisesRegex(
            errors.InvalidArgumentError, "must stay the same, -1; got 5"
        ):
            self._source.update_config(source_lib.Config((), 5))
        self.assertEqual(self._fixture.poll(self._source), ["a: 1", "b: 2"])


if __name__ == "__main__":
    absltest.main()
