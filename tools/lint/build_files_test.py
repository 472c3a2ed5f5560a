"""Tests for build_files."""

import pathlib

from absl.testing import absltest, parameterized

from tools.lint import build_files, source_tree

_BUILD = """load("//:x.bzl", "x")

# Why there is an x.
x(name = "x")

py_library(
    name = "lake",
    srcs = ["lake.py"],
    visibility = ["//visibility:public"],
    deps = ["@pip//:absl-py"],
)

py_test(
    name = "lake_test",
    # Waits for the rain.
    size = "large",
    srcs = ["lake_test.py"],
    data = [":x"],
    deps = [
        ":lake",
        "@pip//:absl-py",
    ],
)

py_library(
    name = "river",
    srcs = ["river.py"],
)
"""
_FOLDER = "tensorflow_serving/water"
_FILES = {
    "BUILD": _BUILD,
    "lake.py": "from absl import flags\n",
    "lake_test.py": (
        "from absl.testing import absltest\n"
        "from tensorflow_serving.water import lake\n"
    ),
    "river.py": "import os\n",
}
_RIVER = 'name = "river",\n    srcs = ["river.py"],\n'


class BuildFilesTest(parameterized.TestCase):
    """A BUILD file after a change of the modules beside it."""

    def _write(
        self, files: dict[str, str], removed: tuple[str, ...] = ()
    ) -> str:
        """Returns the new text of the BUILD file; _BUILD if it stays."""
        root = pathlib.Path(self.create_tempdir().full_path)
        for name, text in (_FILES | files).items():
            if name not in removed:
                path = root / _FOLDER / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
        updated = build_files.updated(source_tree.SourceTree(root))
        text = updated.pop(f"{_FOLDER}/BUILD", files.get("BUILD", _BUILD))
        self.assertEqual(updated, {})
        (root / _FOLDER / "BUILD").write_text(text)
        self.assertEqual(build_files.updated(source_tree.SourceTree(root)), {})
        return text

    def test_file_that_follows_its_modules_stays(self) -> None:
        """A BUILD file with the right targets and deps is left as it is."""
        self.assertEqual(self._write({}), _BUILD)

    def test_new_library_is_put_before_the_next_name(self) -> None:
        """A new library gets a target at its place in the alphabet."""
        self.assertEqual(
            self._write({"pond.py": "import numpy\nimport os.path\n"}),
            _BUILD.replace(
                '\npy_library(\n    name = "river"',
                '\npy_library(\n    name = "pond",\n    srcs = ["pond.py"],\n'
                '    deps = ["@pip//:numpy"],\n)\n'
                '\npy_library(\n    name = "river"',
            ),
        )

    def test_new_library_of_the_last_name_ends_the_file(self) -> None:
        """A new library whose name follows all others is put at the end."""
        self.assertEqual(
            self._write({"sea.py": ""}),
            _BUILD
            + '\npy_library(\n    name = "sea",\n    srcs = ["sea.py"],\n)\n',
        )

    def test_new_program_is_a_binary(self) -> None:
        """A new module that runs as a program gets a py_binary."""
        text = self._write({"sea.py": 'if __name__ == "__main__":\n    x()\n'})
        self.assertIn('py_binary(\n    name = "sea"', text)

    def test_new_tests_stand_below_their_library(self) -> None:
        """New tests get small targets below their library, by their names."""
        text = self._write({"lake_fish_test.py": "", "lake_well_test.py": ""})
        names = [
            line.split('"')[1]
            for line in text.splitlines()
            if line.startswith("    name =")
        ]
        self.assertEqual(
            names,
            ["lake", "lake_fish_test", "lake_test", "lake_well_test", "river"],
        )
        self.assertIn(
            'py_test(\n    name = "lake_fish_test",\n    size = "small",\n',
            text,
        )

    def test_new_test_of_a_new_library_stands_below_it(self) -> None:
        """A library and its test that are both new get targets in order."""
        text = self._write({"brook.py": "", "brook_test.py": ""})
        self.assertLess(text.index('"brook"'), text.index('"brook_test"'))
        self.assertLess(text.index('"brook_test"'), text.index('"lake"'))

    def test_target_of_a_removed_module_goes(self) -> None:
        """A target is removed when its module is."""
        text = self._write({}, removed=("river.py",))
        self.assertEqual(
            text,
            _BUILD[: _BUILD.index('\n\npy_library(\n    name = "river"') + 1],
        )

    def test_target_of_a_generated_module_stays(self) -> None:
        """A target stays when another rule generates its module."""
        build = (
            _BUILD
            + '\ngenrule(\n    name = "g",\n    outs = ["river.py"],\n)\n'
        )
        text = self._write({"BUILD": build}, removed=("river.py",))
        self.assertEqual(text, build)

    def test_import_that_is_removed_takes_its_dep_along(self) -> None:
        """A target whose module imports nothing has no deps."""
        self.assertEqual(
            self._write({"lake.py": ""}),
            _BUILD.replace('    deps = ["@pip//:absl-py"],\n', "", 1),
        )

    def test_hand_written_attributes_stay(self) -> None:
        """Only the deps of a target change: size, data and comments stay."""
        self.assertEqual(
            self._write({"lake_test.py": "import numpy\n"}),
            _BUILD.replace(
                '    deps = [\n        ":lake",\n        "@pip//:absl-py",\n'
                "    ],\n",
                '    deps = ["@pip//:numpy"],\n',
            ),
        )

    def test_target_on_one_line_gets_deps(self) -> None:
        """A target that nobody formatted gets its deps as well."""
        build = 'py_library(name = "river", srcs = ["river.py"])\n'
        text = self._write(
            {"BUILD": build, "river.py": "import numpy\n"},
            removed=("lake.py", "lake_test.py"),
        )
        self.assertEqual(
            text,
            'py_library(name = "river", srcs = ["river.py"],\n'
            '    deps = ["@pip//:numpy"],\n)\n',
        )

    @parameterized.named_parameters(
        (
            "of_the_package",
            "from tensorflow_serving.water import lake, rain_pb2",
            [":lake", ":rain_pb2"],
        ),
        (
            "of_a_service",
            "from tensorflow_serving.water import rain_pb2_grpc",
            [":rain_pb2_grpc"],
        ),
        (
            "of_other_packages",
            "from tensorflow_serving.air.deep import z_pb2\n"
            "from tensorflow_serving.air import cloud\n"
            "from tensorflow_serving.air.cloud import Cloud\n",
            [
                "//tensorflow_serving/air:cloud",
                "//tensorflow_serving/air/deep:z_pb2",
            ],
        ),
        (
            "of_packages_with_other_names",
            "import grpc, absl.app\nfrom google.protobuf import message\n",
            ["@pip//:absl-py", "@pip//:grpcio", "@pip//:protobuf"],
        ),
    )
    def test_deps_are_sorted_imports(
        self, imports: str, deps: list[str]
    ) -> None:
        """Imports of modules, generated ones too, become sorted deps."""
        build = _BUILD.replace(
            'x(name = "x")', 'serving_proto_library_py(name = "rain_pb2")'
        ).replace('    data = [":x"],\n', "")
        text = self._write(
            {
                "BUILD": build,
                "river.py": imports,
                "../air/BUILD": (
                    'py_library(name = "cloud", srcs = ["cloud.py"])\n'
                ),
                "../air/cloud.py": "",
                "../air/deep/BUILD": 'tensorflow_proto_py(name = "z_pb2")\n',
            }
        )
        written = text.partition(_RIVER)[2]
        self.assertEqual(
            [part for part in written.split('"') if ":" in part], deps
        )

    def test_hidden_folders_are_not_read(self) -> None:
        """A virtual environment in a hidden folder does not matter."""
        self.assertEqual(
            self._write({"../../.venv/x.py": "This is not Python."}), _BUILD
        )


if __name__ == "__main__":
    absltest.main()
