"""House rules for Python modules: size, names, layers.

A rule takes a SourceTree and yields a line of text for each violation.
"""

import ast
import functools
import os
import re
from collections.abc import Iterator, Sequence

from tools.lint import source_tree

_MAX_FILE_LINES = 500
_MAX_FUNCTION_LINES = 40
_MAX_POSITIONAL_PARAMETERS = 5

_DUMPING_GROUNDS = {"base", "common", "helper", "helpers", "misc", "utils"}

# The folders from which the modules of a folder of tensorflow_serving may
# import, in addition to their own. Tests may import test_util as well. A folder
# without an entry follows the rules of the one that it is in.
_LAYERS: dict[str, set[str]] = {
    "util": set(),
    "rpc": {"rpc/http2", "util"},
    "rpc/http2": {"util"},
    "http": {"rpc", "util"},
    "apis": {"config", "tensorflow_c", "util"},
    "batching": {"util"},
    "client": {"apis", "config", "tensorflow_c", "util"},
    "config": {"tensorflow_c"},
    "session_bundle": {"tensorflow_c", "util"},
    "tensorflow_c": {"util"},
    "resources": {"util"},
    "core": {"resources", "util"},
    "sources": {"core", "resources", "util"},
    "servables": {
        "apis",
        "batching",
        "core",
        "resources",
        "session_bundle",
        "sources",
        "tensorflow_c",
        "util",
    },
    "model_servers": {
        "apis",
        "batching",
        "config",
        "core",
        "http",
        "resources",
        "rpc",
        "servables",
        "session_bundle",
        "sources",
        "tensorflow_c",
        "util",
    },
    "test_util": {
        "apis",
        "batching",
        "config",
        "core",
        "resources",
        "servables",
        "session_bundle",
        "tensorflow_c",
        "util",
    },
    "example": {
        "batching",
        "core",
        "rpc",
        "servables",
        "session_bundle",
        "sources",
        "tensorflow_c",
        "test_util",
        "util",
    },
    "benchmarks": {
        "apis",
        "batching",
        "core",
        "example",
        "rpc",
        "servables",
        "session_bundle",
        "sources",
        "tensorflow_c",
        "test_util",
        "util",
    },
    "g3doc": {
        "core",
        "servables",
        "sources",
        "test_util",
        "util",
    },
}
# Folders that tests of any folder may import as well.
_IN_TESTS = {"client", "test_util"}
# Folders that know neither how models run nor how calls come in.
_PURE_FOLDERS = {"util", "batching", "resources", "core", "sources"}
_IMPURE_IMPORTS = {"tensorflow", "grpc"}

# An event that nobody knows is never set.
_SLEEP = re.compile(r"\btime\.sleep|\bEvent\(\)\.wait\(\s*[\d.]+")
_MACHINE_PATH = re.compile(r"(?<![\w.$}])/(?:root|home|Users)/\w")

# Names of the standard library that Python 3.10 does not have.
_NEW_NAMES = {
    *(f"asyncio.{name}" for name in ("Runner", "TaskGroup", "timeout")),
    *("datetime.UTC", "enum.StrEnum", "hashlib.file_digest", "tomllib"),
    *("contextlib.chdir", "itertools.batched", "warnings.deprecated"),
    *(f"typing.{name}" for name in ("Never", "NotRequired", "Required")),
    *(f"typing.{name}" for name in ("LiteralString", "Self", "Unpack")),
    *(f"typing.{name}" for name in ("assert_never", "assert_type", "override")),
}

_Function = (ast.FunctionDef, ast.AsyncFunctionDef)


@functools.cache
def imported_modules(module: ast.Module) -> Sequence[str]:
    """Returns the dotted names of modules that a module may import.

    For "from a import b" both a and a.b, of which one is the module.
    """
    names: list[str] = []
    for node in source_tree.nodes(module):
        if isinstance(node, ast.Import):
            names += (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.append(node.module)
            names += (f"{node.module}.{alias.name}" for alias in node.names)
    return names


def files_are_small(tree: source_tree.SourceTree) -> Iterator[str]:
    """A source file has at most 500 lines."""
    for path in tree.files:
        if path.endswith((".py", ".bzl")):
            num_lines = len(tree.text(path).splitlines())
            if num_lines > _MAX_FILE_LINES:
                yield (
                    f"{path}: lines must be at most {_MAX_FILE_LINES}; got "
                    f"{num_lines}"
                )


def functions_are_small(tree: source_tree.SourceTree) -> Iterator[str]:
    """A function has at most 40 lines of code and 5 positional parameters."""
    for path, module in tree.modules.items():
        for node in source_tree.nodes(module):
            if not isinstance(node, _Function):
                continue
            where = f"{path}:{node.lineno}: {node.name}()"
            if (num_lines := _num_code_lines(node)) > _MAX_FUNCTION_LINES:
                yield (
                    f"{where}: lines must be at most {_MAX_FUNCTION_LINES}; "
                    f"got {num_lines}"
                )
            parameters = [
                parameter.arg
                for parameter in [*node.args.posonlyargs, *node.args.args]
                if parameter.arg not in ("self", "cls")
            ]
            if len(parameters) > _MAX_POSITIONAL_PARAMETERS:
                yield (
                    f"{where}: positional parameters must be at most "
                    f"{_MAX_POSITIONAL_PARAMETERS}; got {len(parameters)}"
                )


def modules_have_names(tree: source_tree.SourceTree) -> Iterator[str]:
    """No module is a dumping ground, and no package has an __init__.py."""
    for path in tree.modules:
        stem = os.path.basename(path).removesuffix(".py")
        words = set(stem.removesuffix("_test").split("_"))
        if words & _DUMPING_GROUNDS:
            yield f"{path}: name must say what is in the module; got {stem}"
        if stem == "__init__":
            yield f"{path}: packages must be namespace packages; got a file"


def layers_point_one_way(tree: source_tree.SourceTree) -> Iterator[str]:
    """A folder imports only what is below it; see _LAYERS."""
    for path, module in tree.modules.items():
        root, _, rest = path.partition("/")
        folder = _layer(rest)
        if root != "tensorflow_serving":
            continue
        if folder not in _LAYERS:
            yield f"{path}: folder must be one of {sorted(_LAYERS)}"
            continue
        allowed = {folder, *_LAYERS[folder]}
        is_test = path.endswith("_test.py")
        if is_test:
            allowed |= _IN_TESTS
        names = imported_modules(module)
        imported = {
            _layer(name.removeprefix(f"{root}.").replace(".", "/"))
            for name in names
            if name.startswith(f"{root}.")
        }
        if imported - allowed:
            yield (
                f"{path}: imports must be of {sorted(allowed)}; got "
                f"{sorted(imported - allowed)}"
            )
        tops = {name.partition(".")[0] for name in names}
        if folder in _PURE_FOLDERS and not is_test and tops & _IMPURE_IMPORTS:
            yield (
                f"{path}: module must do without {sorted(_IMPURE_IMPORTS)}; "
                f"got {sorted(tops & _IMPURE_IMPORTS)}"
            )


def tests_do_not_sleep(tree: source_tree.SourceTree) -> Iterator[str]:
    """A test waits for an event or moves a fake clock."""
    for path in tree.modules:
        if path.endswith("_test.py") and (
            match := _SLEEP.search(tree.text(path))
        ):
            yield f"{path}: tests must wait for events; got {match[0]}"


def names_are_in_the_oldest_python(
    tree: source_tree.SourceTree,
) -> Iterator[str]:
    """Everything runs with Python 3.10; types are in typing_extensions."""
    for path, module in tree.modules.items():
        used = set(imported_modules(module))
        used |= {
            f"{node.value.id}.{node.attr}"
            for node in source_tree.nodes(module)
            if isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
        }
        for name in sorted(used & _NEW_NAMES):
            yield f"{path}: names must be in Python 3.10; got {name}"


def files_name_no_machine(tree: source_tree.SourceTree) -> Iterator[str]:
    """No file has a path that exists on one machine only."""
    for path in tree.files:
        if path.endswith(".gz"):
            continue
        for number, line in enumerate(tree.text(path).splitlines(), start=1):
            if match := _MACHINE_PATH.search(line):
                yield (
                    f"{path}:{number}: paths must exist elsewhere; got "
                    f"{match[0]}..."
                )


def _layer(path: str) -> str:
    """Returns the folder whose rules are those of a path in it."""
    folder = path
    while "/" in folder and folder not in _LAYERS:
        folder = folder.rpartition("/")[0]
    return folder


def _num_code_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Returns the number of lines from the def on, without the docstring."""
    assert node.end_lineno is not None
    num_lines = node.end_lineno - node.lineno + 1
    if ast.get_docstring(node) is not None:
        docstring = node.body[0]
        assert docstring.end_lineno is not None
        num_lines -= docstring.end_lineno - docstring.lineno + 1
    return num_lines
