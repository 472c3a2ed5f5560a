"""Checks this checkout against the house rules, and the rules themselves."""

import functools
import os
import pathlib
from collections.abc import Callable, Iterator

from absl.testing import absltest, parameterized

from tools.lint import (
    api_rules,
    build_rules,
    prose_rules,
    python_rules,
    source_tree,
)

_Rule = Callable[[source_tree.SourceTree], Iterator[str]]

_RULES: tuple[_Rule, ...] = (
    python_rules.files_are_small,
    python_rules.functions_are_small,
    python_rules.modules_have_names,
    python_rules.layers_point_one_way,
    python_rules.tests_do_not_sleep,
    python_rules.names_are_in_the_oldest_python,
    python_rules.files_name_no_machine,
    prose_rules.prose_is_plain,
    prose_rules.tests_state_facts,
    build_rules.modules_have_targets,
    build_rules.tests_stand_below_their_libraries,
    build_rules.tests_have_a_size,
    build_rules.python_targets_have_no_globs,
    build_rules.deps_are_the_imports,
    build_rules.programs_that_are_run_are_data,
    build_rules.readmes_name_the_modules,
    build_rules.stations_exist,
    api_rules.public_signatures_have_public_types,
)

_PYTHON_BUILD = """
py_library(
    name = "one",
    srcs = ["one.py"],
    deps = [{deps}],
)

py_test(
    name = "{test}",
    size = "{size}",
    srcs = ["one_test.py"],
    deps = [":one"],
)
"""


_PUBLIC_TARGET = """
py_library(
    name = "{name}",
    srcs = ["{name}.py"],
    visibility = ["//visibility:public"],
)
"""


_PROGRAM_TARGETS = """
py_binary(
    name = "two",
    srcs = ["two.py"],
)

py_test(
    name = "two_test",
    size = "small",
    srcs = ["two_test.py"],
    data = [{data}],
)
"""
_PROGRAM_TEST = (
    'import os\n_TWO = os.path.join(os.path.dirname(__file__), "two")\n'
)


def _build(deps: str = "", test: str = "one_test", size: str = "small") -> str:
    return _PYTHON_BUILD.format(deps=deps, test=test, size=size)


def _test(docstring: str) -> str:
    return f'class T:\n    def test_x(self):\n        """{docstring}"""\n'


def _station(module: str, functions: str) -> str:
    """Returns a page with a row of a table."""
    return f"| ↩ `{module}` | {functions} | something |\n"


# A tree without fault.
_GOOD = {
    "tensorflow_serving/util/BUILD": _build(deps='"@pip//:absl-py"'),
    "tensorflow_serving/util/README.md": "`one`",
    "tensorflow_serving/client/path.md": _station("client/two", "`f`, `g`"),
    "tensorflow_serving/client/BUILD": _PROGRAM_TARGETS.format(data='":two"'),
    "tensorflow_serving/client/README.md": "`two`",
    "tensorflow_serving/client/two.py": (
        "import os\ndef f(): pass\nclass A:\n    def g(self): pass\n"
    ),
    "tensorflow_serving/client/two_test.py": _PROGRAM_TEST,
    "tensorflow_serving/util/one.py": "import os\nfrom absl import flags\n",
    "tensorflow_serving/util/one_test.py": (
        "from tensorflow_serving.util import one\n\n"
        + _test("However late it is, somebody answers.")
    ),
}

# Each rule with files that break it when they are added to the good tree.
_BAD: tuple[tuple[str, _Rule, dict[str, str]], ...] = (
    ("long_file", python_rules.files_are_small, {"x.py": "a = 1\n" * 501}),
    (
        "long_function",
        python_rules.functions_are_small,
        {"x.py": "def f():\n" + "    a = 1\n" * 40},
    ),
    (
        "many_parameters",
        python_rules.functions_are_small,
        {"x.py": "def f(a, b, c, d, e, f): pass\n"},
    ),
    (
        "dumping_ground",
        python_rules.modules_have_names,
        {"string_utils.py": ""},
    ),
    (
        "init_file",
        python_rules.modules_have_names,
        {"tensorflow_serving/__init__.py": ""},
    ),
    (
        "upward_import",
        python_rules.layers_point_one_way,
        {
            "tensorflow_serving/util/x.py": (
                "from tensorflow_serving.batching import y\n"
            )
        },
    ),
    (
        "upward_import_from_an_inner_folder",
        python_rules.layers_point_one_way,
        {
            "tensorflow_serving/rpc/http2/x.py": (
                "from tensorflow_serving.rpc import y\n"
            )
        },
    ),
    (
        "test_util_outside_of_a_test",
        python_rules.layers_point_one_way,
        {
            "tensorflow_serving/batching/x.py": (
                "from tensorflow_serving.test_util import y\n"
            )
        },
    ),
    (
        "tensorflow_in_batching",
        python_rules.layers_point_one_way,
        {"tensorflow_serving/batching/x.py": "import tensorflow as tf\n"},
    ),
    (
        "unknown_folder",
        python_rules.layers_point_one_way,
        {"tensorflow_serving/new/x.py": ""},
    ),
    (
        "sleeping_test",
        python_rules.tests_do_not_sleep,
        {"x_test.py": "import time\ntime" + ".sleep(1)\n"},
    ),
    (
        "test_that_waits_for_nothing",
        python_rules.tests_do_not_sleep,
        {"x_test.py": "import threading\nthreading.Event().wait" + "(0.1)\n"},
    ),
    (
        "import_of_a_new_name",
        python_rules.names_are_in_the_oldest_python,
        {"x.py": "from typing import Final, Self\n"},
    ),
    (
        "use_of_a_new_name",
        python_rules.names_are_in_the_oldest_python,
        {"x.py": "import asyncio\nasyncio.timeout(1)\n"},
    ),
    (
        "path_of_a_machine",
        python_rules.files_name_no_machine,
        {"x.md": "see /" + "home/somebody"},
    ),
    (
        "docstring_that_begins_with_what",
        prose_rules.prose_is_plain,
        {"x.py": 'class X:\n    """What a load asks."""\n'},
    ),
    (
        "comment_without_a_subject",
        prose_rules.prose_is_plain,
        {"x.py": "import os\n\n# Of this test\n# only.\nx = 1\n"},
    ),
    (
        "argument_without_a_noun",
        prose_rules.prose_is_plain,
        {
            "x.py": (
                'def f(x):\n    """Takes a name.\n\n    Args:\n'
                '      x: Of the file.\n    """\n'
            )
        },
    ),
    (
        "phrase_on_two_lines",
        prose_rules.prose_is_plain,
        {"x.py": "# The caller is\n# told nothing.\nx = 1\n"},
    ),
    (
        "phrase_on_a_page",
        prose_rules.prose_is_plain,
        {"x.md": "It waits\n\nfor ever.\n"},
    ),
    (
        "test_with_a_dependent_clause",
        prose_rules.tests_state_facts,
        {"x_test.py": _test("However late it is.")},
    ),
    (
        "test_with_a_few_words",
        prose_rules.tests_state_facts,
        {"x_test.py": _test("A ValueError.")},
    ),
    (
        "test_without_a_docstring",
        prose_rules.tests_state_facts,
        {"x_test.py": _test("")},
    ),
    (
        "module_without_target",
        build_rules.modules_have_targets,
        {"tensorflow_serving/util/two.py": ""},
    ),
    (
        "test_in_the_wrong_place",
        build_rules.tests_stand_below_their_libraries,
        {"tensorflow_serving/util/BUILD": _build(test="other_test")},
    ),
    (
        "large_test_without_reason",
        build_rules.tests_have_a_size,
        {"tensorflow_serving/util/BUILD": _build(size="large")},
    ),
    (
        "glob",
        build_rules.python_targets_have_no_globs,
        {"x/BUILD": 'py_library(name = "x", srcs = glob(["*"]))'},
    ),
    (
        "missing_dep",
        build_rules.deps_are_the_imports,
        {"tensorflow_serving/util/BUILD": _build()},
    ),
    (
        "unused_dep",
        build_rules.deps_are_the_imports,
        {
            "tensorflow_serving/util/BUILD": _build(
                deps='"@pip//:absl-py", "@pip//:numpy"'
            )
        },
    ),
    (
        "module_without_deps_or_target",
        build_rules.deps_are_the_imports,
        {"tensorflow_serving/util/two.py": ""},
    ),
    (
        "test_without_its_program",
        build_rules.programs_that_are_run_are_data,
        {"tensorflow_serving/client/BUILD": _PROGRAM_TARGETS.format(data="")},
    ),
    (
        "module_without_readme",
        build_rules.readmes_name_the_modules,
        {"tensorflow_serving/util/README.md": "nothing"},
    ),
    (
        "public_module_that_is_not_bold",
        build_rules.readmes_name_the_modules,
        {"tensorflow_serving/util/BUILD": _PUBLIC_TARGET.format(name="one")},
    ),
    (
        "private_module_that_is_bold",
        build_rules.readmes_name_the_modules,
        {"tensorflow_serving/util/README.md": "**`one`**"},
    ),
    (
        "station_without_its_function",
        build_rules.stations_exist,
        {"x.md": _station("client/two", "`f`, `h`")},
    ),
    (
        "station_without_its_module",
        build_rules.stations_exist,
        {"x.md": _station("client/three", "`f`")},
    ),
    *(
        (
            f"private_type_of_a_public_{name}",
            api_rules.public_signatures_have_public_types,
            {
                "tensorflow_serving/util/BUILD": _build()
                + _PUBLIC_TARGET.format(name="two"),
                "tensorflow_serving/util/two.py": (
                    "from tensorflow_serving.util import one\n" + text
                ),
            },
        )
        for name, text in (
            ("argument", "def f(x: int, *, y: list[one.X]): pass\n"),
            ("result", "class A:\n    def f(self) -> 'one.X | None': pass\n"),
            ("field", "class A:\n    x: one.X\n"),
            ("alias", "_X = one.X\ndef f(x: _X): pass\n"),
        )
    ),
)


@functools.cache
def _checkout() -> source_tree.SourceTree:
    """Returns this checkout, parsed once for all rules."""
    return source_tree.SourceTree(os.getcwd())


class HouseRulesTest(parameterized.TestCase):
    """Rules that formatters and linters do not know."""

    def _tree(self, files: dict[str, str]) -> source_tree.SourceTree:
        folder = self.create_tempdir().full_path
        for path, text in files.items():
            file = pathlib.Path(folder, path)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        return source_tree.SourceTree(folder)

    @parameterized.named_parameters((rule.__name__, rule) for rule in _RULES)
    def test_this_checkout_follows(self, rule: _Rule) -> None:
        """This checkout follows the rule; the message has each violation."""
        tree = _checkout()
        self.assertIn("WORKSPACE", tree.files)
        violations = list(rule(tree))
        self.assertFalse(violations, "\n" + "\n".join(violations))

    @parameterized.named_parameters((rule.__name__, rule) for rule in _RULES)
    def test_good_tree_passes(self, rule: _Rule) -> None:
        """No rule finds a fault in the good tree."""
        self.assertEqual(list(rule(self._tree(_GOOD))), [])

    @parameterized.named_parameters(*_BAD)
    def test_bad_tree_fails(self, rule: _Rule, files: dict[str, str]) -> None:
        """A rule finds the one fault of a tree that breaks it."""
        self.assertEqual(len(list(rule(self._tree(_GOOD | files)))), 1)

    def test_wrong_deps_name_the_command_that_repairs_them(self) -> None:
        """The message on wrong deps shows them, and what writes the right."""
        tree = self._tree(_GOOD | {"tensorflow_serving/util/BUILD": _build()})
        (violation,) = build_rules.deps_are_the_imports(tree)
        self.assertIn("bazel run //tools/lint:write_build_files", violation)
        self.assertIn('+     deps = ["@pip//:absl-py"],', violation)

    def test_every_package_is_checked(self) -> None:
        """A package with a BUILD file has its files in this test.

        Looks at the checkout behind the links, where it can be seen.
        """
        checkout = pathlib.Path("WORKSPACE").resolve().parent
        packages = {
            os.path.dirname(os.path.relpath(path, checkout))
            for path in checkout.glob("**/BUILD")
            if not os.path.relpath(path, checkout).startswith("bazel-")
        }
        checked = _checkout().packages
        self.assertEqual(packages - set(checked), set())


if __name__ == "__main__":
    absltest.main()
