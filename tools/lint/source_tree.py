"""The files of a checkout, parsed as far as the house rules need it."""

import ast
import dataclasses
import functools
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence


@dataclasses.dataclass(frozen=True)
class Target:
    """A call of a rule in a BUILD file."""

    # "tensorflow_serving/util"; "" for the root.
    package: str
    # "py_library", ...
    rule: str
    line: int
    # Attributes whose values are literals.
    attributes: Mapping[str, object]

    @property
    def name(self) -> str:
        """The name of the target; "" if it has none."""
        return str(self.attributes.get("name", ""))

    @property
    def label(self) -> str:
        """The full label, such as //tensorflow_serving/util:errors."""
        return f"//{self.package}:{self.name}"

    def strings(self, attribute: str) -> list[str]:
        """Returns a list of strings; empty if the attribute is not given."""
        value = self.attributes.get(attribute, [])
        assert isinstance(value, list)
        return [str(item) for item in value]


class SourceTree:
    """A folder with a WORKSPACE, its Python modules and its BUILD files."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        """Takes the folder."""
        self.root = pathlib.Path(root)

    @functools.cached_property
    def files(self) -> list[str]:
        """The paths of all files that people write, relative to the root."""
        files = []
        for folder, folders, names in os.walk(self.root):
            # Repositories, environments and caches are in hidden folders.
            folders[:] = [
                name for name in folders if name[0] != "." or name == ".ci"
            ]
            paths = [os.path.join(folder, name) for name in names]
            files += [
                os.path.relpath(path, self.root)
                for path in paths
                if not _is_generated(path)
            ]
        return sorted(files)

    @functools.cached_property
    def modules(self) -> dict[str, ast.Module]:
        """The Python files, by path."""
        return {
            path: ast.parse(self.text(path), path)
            for path in self.files
            if path.endswith(".py")
        }

    @functools.cached_property
    def targets(self) -> list[Target]:
        """The targets of the BUILD files, in their order."""
        return [
            target
            for path in self.files
            if os.path.basename(path) == "BUILD"
            for target in self._parse_build_file(path)
        ]

    @property
    def packages(self) -> list[str]:
        """The folders with BUILD files."""
        return [
            os.path.dirname(path)
            for path in self.files
            if os.path.basename(path) == "BUILD"
        ]

    def text(self, path: str) -> str:
        """Returns the content of a file."""
        return (self.root / path).read_text(encoding="utf-8")

    def _parse_build_file(self, path: str) -> Iterator[Target]:
        # As far as it goes, Starlark is Python.
        for node in ast.parse(self.text(path), path).body:
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
                call = node.value
                yield Target(
                    package=os.path.dirname(path),
                    rule=ast.unparse(call.func),
                    line=call.lineno,
                    attributes=dict(_literals(call)),
                )


@functools.cache
def nodes(module: ast.Module) -> Sequence[ast.AST]:
    """Returns all nodes of a module, which many rules look at."""
    return list(ast.walk(module))


def _is_generated(path: str) -> bool:
    """Whether a file is bytecode, or a link to an output of the build."""
    return path.endswith(".pyc") or (
        os.path.islink(path) and "/bazel-out/" in os.readlink(path)
    )


def _literals(call: ast.Call) -> Iterator[tuple[str, object]]:
    for keyword in call.keywords:
        if keyword.arg is not None:
            try:
                yield keyword.arg, ast.literal_eval(keyword.value)
            except ValueError:
                continue
