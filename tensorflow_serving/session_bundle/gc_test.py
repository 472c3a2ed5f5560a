"""Tests for gc."""

import os
import re
from collections.abc import Callable

from absl.testing import absltest, parameterized

from tensorflow_serving.session_bundle import gc
from tensorflow_serving.util import errors


def _paths(*versions: int | None) -> list[gc.Path]:
    return [gc.Path("/model", version) for version in versions]


def _versions(paths: list[gc.Path]) -> list[int | None]:
    return [path.export_version for path in paths]


class FilterTest(parameterized.TestCase):
    """Which versions of a model to keep."""

    @parameterized.named_parameters(
        (
            "largest",
            gc.largest_export_versions(2),
            [8, 9, 10],
            [9, 10],
        ),
        (
            "largest_has_version_0",
            gc.largest_export_versions(2),
            [0],
            [0],
        ),
        ("mod_2", gc.mod_export_version(2), [4, 5, 6, 9], [4, 6]),
        ("mod_3", gc.mod_export_version(3), [4, 5, 6, 9], [6, 9]),
        (
            "one_of_3",
            gc.one_of_every_n_export_versions(3),
            [0, 1, 3, 5, 6, 7, 8, 33],
            [3, 6, 8, 33],
        ),
        (
            "one_of_3_with_version_0",
            gc.one_of_every_n_export_versions(3),
            [0, 4, 5],
            [0, 5],
        ),
        (
            "union",
            gc.union(gc.largest_export_versions(3), gc.mod_export_version(3)),
            list(range(10)),
            [0, 3, 6, 7, 8, 9],
        ),
        (
            "negation_of_mod",
            gc.negation(gc.mod_export_version(2)),
            [4, 5, 6, 9],
            [5, 9],
        ),
        (
            "negation_of_largest",
            gc.negation(gc.largest_export_versions(2)),
            [0, 8, 9, 10],
            [0, 8],
        ),
    )
    def test_filter_matches(
        self, keep: gc.Filter, versions: list[int], expected: list[int]
    ) -> None:
        """A filter matches whatever the order of the versions is."""
        self.assertEqual(_versions(keep(_paths(*versions))), expected)
        self.assertEqual(_versions(keep(_paths(*versions[::-1]))), expected)

    @parameterized.named_parameters(
        ("largest", gc.largest_export_versions(9)),
        ("mod", gc.mod_export_version(1)),
        ("one_of", gc.one_of_every_n_export_versions(1)),
    )
    def test_path_without_version_matches_only_negations(
        self, keep: gc.Filter
    ) -> None:
        """A path without a version is never kept by its number."""
        paths = _paths(None, 3)
        self.assertEqual(_versions(keep(paths)), [3])
        self.assertEqual(_versions(gc.negation(keep)(paths)), [None])

    @parameterized.parameters(
        gc.largest_export_versions,
        gc.mod_export_version,
        gc.one_of_every_n_export_versions,
    )
    def test_n_must_be_at_least_1(
        self, make_filter: Callable[[int], gc.Filter]
    ) -> None:
        """The error comes with the filter, before anything is exported."""
        for n in (0, -1):
            with self.assertRaisesRegex(
                errors.InvalidArgumentError, f"n must be at least 1; got {n}"
            ):
                make_filter(n)

    def test_intervals_of_large_versions_are_exact(self) -> None:
        """Nanoseconds since 1970 are above what a float can hold."""
        ends_one, begins_next = 1732525664123456780, 1732525664123456781
        keep = gc.one_of_every_n_export_versions(10)
        self.assertEqual(
            _versions(keep(_paths(ends_one, begins_next))),
            [ends_one, begins_next],
        )


class GetPathsTest(absltest.TestCase):
    """The versions in a folder."""

    def test_get_paths_leaves_out_what_the_parser_rejects(self) -> None:
        """The rest comes sorted, with its version."""
        base = self.create_tempdir()
        for name in ("2", "0", "1", "not_a_version"):
            base.mkdir(name)

        def parser(path: gc.Path) -> gc.Path | None:
            match = re.fullmatch(r"\d+", os.path.basename(path.path))
            return (
                path._replace(export_version=int(match[0])) if match else None
            )

        self.assertEqual(
            gc.get_paths(base.full_path, parser),
            [
                gc.Path(os.path.join(base.full_path, str(version)), version)
                for version in range(3)
            ],
        )


if __name__ == "__main__":
    absltest.main()
