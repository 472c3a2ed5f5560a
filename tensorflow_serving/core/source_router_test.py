"""Tests for source_router."""

import concurrent.futures
from collections.abc import Sequence

from absl.testing import absltest, parameterized
from typing_extensions import override

from tensorflow_serving.core import servable, source, source_router
from tensorflow_serving.util import errors

_VERSIONS = [servable.ServableData.ok(servable.ServableId("name", 1), "path")]


class _Target(source.Target[str]):
    """Keeps the name of each call."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.versions: list[Sequence[servable.ServableData[str]]] = []

    @override
    def aspired_versions_callback(self) -> source.AspiredVersionsCallback[str]:
        return self._hear

    def _hear(
        self, name: str, versions: Sequence[servable.ServableData[str]]
    ) -> None:
        self.names.append(name)
        self.versions.append(versions)


class _ByNumber(source_router.SourceRouter[str]):
    """Takes the name for the number of the port."""

    @override
    def route(
        self, name: str, versions: Sequence[servable.ServableData[str]]
    ) -> int:
        return int(name)


def _connect(
    router: source_router.SourceRouter[str],
) -> list[_Target]:
    targets = [_Target() for _ in router.output_ports]
    for port, target in zip(router.output_ports, targets, strict=True):
        source.connect_source_to_target(port, target)
    return targets


class SourceRouterTest(parameterized.TestCase):
    """One source, several targets."""

    def test_router_has_a_port(self) -> None:
        """None could route nothing."""
        with self.assertRaisesRegex(
            errors.InvalidArgumentError, "num_output_ports must be at least 1"
        ):
            _ByNumber(0)

    def test_only_the_chosen_target_is_called(self) -> None:
        """The versions are passed on as they are."""
        with _ByNumber(2) as router:
            targets = _connect(router)
            callback = router.aspired_versions_callback()
            callback("1", _VERSIONS)
            callback("0", [])
            callback("1", [])
        self.assertEqual([each.names for each in targets], [["0"], ["1", "1"]])
        self.assertEqual(targets[0].versions, [[]])
        self.assertEqual(targets[1].versions, [_VERSIONS, []])

    @parameterized.parameters("2", "-1")
    def test_call_for_a_port_that_is_not_there_is_dropped(
        self, name: str
    ) -> None:
        """A call for a port that does not exist is logged and dropped."""
        with _ByNumber(2) as router:
            targets = _connect(router)
            callback = router.aspired_versions_callback()
            with self.assertLogs(level="ERROR") as logs:
                callback(name, _VERSIONS)
            self.assertIn(
                f"Versions of servable {name} are dropped: port must be 0 to "
                f"1; got {name}",
                logs.output[0],
            )
            callback("1", _VERSIONS)
        self.assertEqual([each.names for each in targets], [[], ["1"]])

    @parameterized.parameters("0", "1")
    def test_calls_wait_until_all_ports_are_connected(self, name: str) -> None:
        """Calls wait for all ports, also those for a connected port."""
        with (
            concurrent.futures.ThreadPoolExecutor() as threads,
            _ByNumber(2) as router,
        ):
            call = threads.submit(
                router.aspired_versions_callback(), name, _VERSIONS
            )
            targets = [_Target(), _Target()]
            source.connect_source_to_target(router.output_ports[0], targets[0])
            self.assertFalse(call.done())
            self.assertEqual(targets[0].names, [])
            source.connect_source_to_target(router.output_ports[1], targets[1])
            call.result(timeout=60)
        self.assertEqual(targets[int(name)].names, [name])

    @parameterized.parameters(0, 1)
    def test_close_lets_waiting_calls_go(self, connected: int) -> None:
        """Waiting calls return without effect, whichever port they want."""
        router = _ByNumber(2)
        target = _Target()
        source.connect_source_to_target(router.output_ports[connected], target)
        with concurrent.futures.ThreadPoolExecutor() as threads:
            call = threads.submit(
                router.aspired_versions_callback(), str(connected), _VERSIONS
            )
            router.close()
            call.result(timeout=60)
        self.assertEqual(target.names, [])

    def test_calls_after_close_have_no_effect(self) -> None:
        """A source may outlive what it tells."""
        router = _ByNumber(2)
        targets = _connect(router)
        router.close()
        router.close()  # idempotent
        router.aspired_versions_callback()("0", _VERSIONS)
        self.assertEqual([each.names for each in targets], [[], []])


class StaticSourceRouterTest(parameterized.TestCase):
    """Chooses by regular expressions."""

    @parameterized.named_parameters(
        ("first", "mnist_2", 0),
        ("second", "table", 1),
        ("both_match", "mnist_1", 0),
        ("only_the_start_matches", "table_2", 2),
        ("only_the_end_matches", "my_table", 2),
        ("none_matches", "other", 2),
        ("no_name", "", 2),
    )
    def test_first_match_of_the_whole_name_wins(
        self, name: str, port: int
    ) -> None:
        """The last port is for the rest."""
        with source_router.StaticSourceRouter[str](
            ["mnist_.*", "table|mnist_1"]
        ) as router:
            targets = _connect(router)
            router.aspired_versions_callback()(name, _VERSIONS)
        self.assertEqual(len(targets), 3)
        self.assertEqual(
            [index for index, each in enumerate(targets) if each.names], [port]
        )

    def test_without_expressions_there_is_one_port(self) -> None:
        """The one port gets every servable."""
        with source_router.StaticSourceRouter[str]([]) as router:
            (target,) = _connect(router)
            router.aspired_versions_callback()("name", _VERSIONS)
        self.assertEqual(target.names, ["name"])

    def test_expression_that_is_none_is_refused(self) -> None:
        """The text says which one, and what is wrong."""
        with self.assertRaisesRegex(
            errors.InvalidArgumentError,
            r"^regexps must be regular expressions; got '\(b': missing \)",
        ):
            source_router.StaticSourceRouter[str](["a", "(b"])


if __name__ == "__main__":
    absltest.main()
