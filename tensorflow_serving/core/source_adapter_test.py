"""Tests for source_adapter."""

import concurrent.futures
import queue as queue_lib
from collections.abc import Sequence

from absl.testing import absltest
from typing_extensions import override

from tensorflow_serving.core import servable, source, source_adapter
from tensorflow_serving.util import errors

_IDS = [servable.ServableId("name", version) for version in range(4)]
_BROKEN = errors.DataLossError("file must be whole; got half of it")


class _Target(source.Target[int]):
    """Keeps the versions of each call."""

    def __init__(self) -> None:
        self._calls: queue_lib.Queue[
            tuple[str, Sequence[servable.ServableData[int]]]
        ] = queue_lib.Queue()

    @override
    def aspired_versions_callback(self) -> source.AspiredVersionsCallback[int]:
        return lambda name, versions: self._calls.put((name, versions))

    def next(self) -> tuple[str, Sequence[servable.ServableData[int]]]:
        """Waits for a call."""
        return self._calls.get(timeout=60)

    @property
    def empty(self) -> bool:
        """Whether every call was fetched with next()."""
        return self._calls.empty()


class _Lengths(source_adapter.UnarySourceAdapter[str, int]):
    """Turns texts into their lengths."""

    def convert(self, data: str) -> int:
        """See UnarySourceAdapter; fails on two texts."""
        if data == "refused":
            raise errors.NotFoundError("text must be there; got nothing")
        if data == "bug":
            raise ValueError("secret")
        if data == "exit":
            raise SystemExit
        return len(data)


class _Newest(source_adapter.SourceAdapter[str, int]):
    """Passes on how many versions there are, as the data of the newest."""

    @override
    def adapt(
        self, name: str, versions: Sequence[servable.ServableData[str]]
    ) -> Sequence[servable.ServableData[int]]:
        newest = max(version.id for version in versions)
        return [servable.ServableData.ok(newest, len(versions))]


def _versions(*texts: str) -> list[servable.ServableData[str]]:
    return [
        servable.ServableData.ok(servable_id, text)
        for servable_id, text in zip(_IDS, texts, strict=False)
    ]


class SourceAdapterTest(absltest.TestCase):
    """Between a source and a target."""

    def test_target_gets_what_adapt_returns(self) -> None:
        """An adapter sees all versions of a call at once."""
        target = _Target()
        with _Newest() as adapter:
            source.connect_source_to_target(adapter, target)
            adapter.aspired_versions_callback()("name", _versions("a", "b"))
        self.assertEqual(
            target.next(), ("name", [servable.ServableData.ok(_IDS[1], 2)])
        )

    def test_calls_wait_for_a_target(self) -> None:
        """A call of a source waits until the adapter has a target."""
        target = _Target()
        with (
            concurrent.futures.ThreadPoolExecutor() as threads,
            _Newest() as adapter,
        ):
            calls = [
                threads.submit(
                    adapter.aspired_versions_callback(), "name", _versions("a")
                )
                for _ in range(2)
            ]
            source.connect_source_to_target(adapter, target)
            for call in calls:
                call.result(timeout=60)
                self.assertEqual(
                    target.next(),
                    ("name", [servable.ServableData.ok(_IDS[0], 1)]),
                )

    def test_close_lets_waiting_calls_go(self) -> None:
        """They have no effect then, even if a target comes."""
        target = _Target()
        adapter = _Newest()
        with concurrent.futures.ThreadPoolExecutor() as threads:
            call = threads.submit(
                adapter.aspired_versions_callback(), "name", _versions("a")
            )
            adapter.close()
            call.result(timeout=60)
        source.connect_source_to_target(adapter, target)
        self.assertTrue(target.empty)

    def test_calls_after_close_have_no_effect(self) -> None:
        """A source may outlive what it tells."""
        target = _Target()
        adapter = _Newest()
        source.connect_source_to_target(adapter, target)
        callback = adapter.aspired_versions_callback()
        adapter.close()
        adapter.close()  # idempotent
        callback("name", _versions("a"))
        self.assertTrue(target.empty)

    def test_second_target_is_refused(self) -> None:
        """A source has one target."""
        with _Newest() as adapter:
            source.connect_source_to_target(adapter, _Target())
            with self.assertRaises(errors.FailedPreconditionError):
                source.connect_source_to_target(adapter, _Target())

    def test_adapters_make_a_chain(self) -> None:
        """One is the source of the other."""
        target = _Target()
        with (
            _Lengths() as first,
            source_adapter.ErrorInjectingSourceAdapter[int, int](
                _BROKEN
            ) as second,
        ):
            source.connect_source_to_target(second, target)
            source.connect_source_to_target(first, second)
            first.aspired_versions_callback()("name", _versions("abc"))
        self.assertEqual(
            target.next(),
            ("name", [servable.ServableData.failed(_IDS[0], _BROKEN)]),
        )


class UnarySourceAdapterTest(absltest.TestCase):
    """Converts each version on its own."""

    def test_each_version_is_converted(self) -> None:
        """Ids and their order stay."""
        with _Lengths() as adapter:
            self.assertEqual(
                adapter.adapt("name", _versions("a", "", "abc")),
                [
                    servable.ServableData.ok(_IDS[0], 1),
                    servable.ServableData.ok(_IDS[1], 0),
                    servable.ServableData.ok(_IDS[2], 3),
                ],
            )

    def test_content_is_carried_on(self) -> None:
        """The content of a version is the same after a conversion."""
        data = servable.ServableData.ok(_IDS[0], "abc", content=("file", 3))
        self.assertEqual(
            _Lengths().adapt("name", [data]),
            [servable.ServableData.ok(_IDS[0], 3, content=("file", 3))],
        )

    def test_no_versions_stay_no_versions(self) -> None:
        """A call without versions ends all that are served."""
        with _Lengths() as adapter:
            self.assertEqual(adapter.adapt("name", []), [])

    def test_errors_pass_through(self) -> None:
        """A version without data cannot be converted."""
        with _Lengths() as adapter:
            self.assertEqual(
                adapter.adapt(
                    "name",
                    [
                        servable.ServableData[str].failed(_IDS[1], _BROKEN),
                        *_versions("a"),
                    ],
                ),
                [
                    servable.ServableData.failed(_IDS[1], _BROKEN),
                    servable.ServableData.ok(_IDS[0], 1),
                ],
            )

    def test_version_that_cannot_be_converted_has_the_error(self) -> None:
        """The versions beside it are converted."""
        with _Lengths() as adapter:
            failed, good = adapter.adapt("name", _versions("refused", "abc"))
        self.assertEqual(good, servable.ServableData.ok(_IDS[1], 3))
        self.assertEqual(failed.id, _IDS[0])
        with self.assertRaisesRegex(
            errors.NotFoundError, "^text must be there; got nothing$"
        ):
            failed.data_or_raise()

    def test_bug_is_logged_and_not_shown(self) -> None:
        """The text of an unknown exception may not be for clients."""
        with _Lengths() as adapter, self.assertLogs(level="ERROR") as logs:
            (failed,) = adapter.adapt("name", _versions("bug"))
        self.assertIn("secret", "".join(logs.output))
        with self.assertRaisesRegex(
            errors.InternalError,
            r"^converting the data of \{name: name version: 0\} failed with a "
            "ValueError; see the log$",
        ):
            failed.data_or_raise()

    def test_exit_of_a_conversion_does_not_end_the_source(self) -> None:
        """An exit in a conversion is an error of its version alone."""
        with self.assertLogs(level="ERROR"):
            exited, other = _Lengths().adapt("name", _versions("exit", "abc"))
        self.assertIsInstance(exited.error, errors.InternalError)
        self.assertEqual(other.data, 3)


class ErrorInjectingSourceAdapterTest(absltest.TestCase):
    """Gives every version an error."""

    def test_versions_get_the_error_and_keep_their_own(self) -> None:
        """The first reason is the right one."""
        error = errors.UnavailableError("not today")
        with source_adapter.ErrorInjectingSourceAdapter[str, int](
            error
        ) as adapter:
            self.assertEqual(
                adapter.adapt(
                    "name",
                    [
                        *_versions("a"),
                        servable.ServableData[str].failed(_IDS[1], _BROKEN),
                    ],
                ),
                [
                    servable.ServableData.failed(_IDS[0], error),
                    servable.ServableData.failed(_IDS[1], _BROKEN),
                ],
            )


if __name__ == "__main__":
    absltest.main()
