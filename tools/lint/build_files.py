"""Writes BUILD files as they follow from the Python modules next to them.

The module foo.py has a target foo, whose deps are the imports of the module;
that is all that is written here. Other attributes, other rules and comments
belong to the people who wrote them and stay, except for a comment inside of
deps that change.
"""

import ast
import dataclasses
import os
from collections.abc import Collection, Iterator, Mapping

from tools.lint import module_deps, source_tree

COMMAND = "./tools/bazel run //tools/lint:write_build_files"

# Modules that are run by hand, with a package that nothing else needs.
WITHOUT_TARGET = {"tensorflow_serving/example/digits/make_digits.py"}

_PYTHON_RULES = ("py_library", "py_binary", "py_test")


@dataclasses.dataclass(frozen=True)
class _Statement:
    """A statement of a BUILD file, with the blank lines and comments above."""

    text: str
    # The name of a Python target; "" for everything else.
    name: str = ""

    @property
    def is_test(self) -> bool:
        return _is_test(self.name)

    def with_deps(self, deps: list[str]) -> "_Statement":
        """Returns the same target with these deps."""
        call = _call(ast.parse(self.text).body[0])
        assert call is not None
        old = next((k for k in call.keywords if k.arg == "deps"), None)
        if (_strings(old.value) if old else []) == deps:
            return self
        new = _format_deps(deps)
        if old:
            start, end = _span(self.text, old)
            head = self.text[:start].rstrip(" ")
            tail = self.text[end:].removeprefix(",").removeprefix("\n")
        else:
            head = self.text.rstrip().removesuffix(")").rstrip()
            head += "\n" if head.endswith(("(", ",")) else ",\n"
            tail = ")\n"
        return dataclasses.replace(self, text=head + new + tail)


def python_targets(
    tree: source_tree.SourceTree,
) -> Iterator[source_tree.Target]:
    """Yields the targets whose rule is for Python."""
    return (target for target in tree.targets if target.rule in _PYTHON_RULES)


def updated(tree: source_tree.SourceTree) -> dict[str, str]:
    """Returns what should change: paths of BUILD files, with their new texts.

    Each module gets a target: a test below its library, others by their names.
    A target whose module is gone goes, too.
    """
    labels = module_deps.labels(tree)
    texts = {
        path: _update(
            tree.text(path),
            {
                os.path.basename(module).removesuffix(".py"): content
                for module, content in tree.modules.items()
                if os.path.dirname(module) == package
                and module not in WITHOUT_TARGET
            },
            labels,
            package=f"//{package}",
        )
        for package in tree.packages
        for path in [os.path.join(package, "BUILD")]
    }
    return {
        path: text for path, text in texts.items() if text != tree.text(path)
    }


def _update(
    text: str,
    modules: Mapping[str, ast.Module],
    labels: Collection[str],
    package: str,
) -> str:
    old = list(_split(text))
    statements = [each for each in old if not _is_stale(each, old, modules)]
    missing = modules.keys() - {each.name for each in statements}
    # Libraries first, so that each test finds its own.
    for name in sorted(missing, key=lambda name: (_is_test(name), name)):
        new = _new_target(name, modules[name])
        statements.insert(_position(new, statements), new)
    return "".join(
        each.with_deps(
            module_deps.deps(modules[each.name], labels, package)
        ).text
        if each.name in modules
        else each.text
        for each in statements
    )


def _split(text: str) -> Iterator[_Statement]:
    # As far as it goes, Starlark is Python.
    lines = text.splitlines(keepends=True)
    start = 0
    for node in ast.parse(text).body:
        assert node.end_lineno is not None
        call = _call(node)
        names = [
            ast.literal_eval(keyword.value)
            for keyword in (call.keywords if call else [])
            if keyword.arg == "name"
        ]
        is_python = call and ast.unparse(call.func) in _PYTHON_RULES
        yield _Statement(
            "".join(lines[start : node.end_lineno]),
            names[0] if is_python else "",
        )
        start = node.end_lineno
    if lines[start:]:
        yield _Statement("".join(lines[start:]))


def _is_stale(
    statement: _Statement,
    statements: list[_Statement],
    modules: Collection[str],
) -> bool:
    """Whether a target's module is neither written nor generated."""
    name = statement.name
    return (
        name != ""
        and name not in modules
        and not any(
            f'"{name}.py"' in each.text
            for each in statements
            if each is not statement
        )
    )


def _new_target(name: str, module: ast.Module) -> _Statement:
    size = ""
    if _is_test(name):
        rule, size = "py_test", '    size = "small",\n'
    elif _is_program(module):
        rule = "py_binary"
    else:
        rule = "py_library"
    attributes = f'    name = "{name}",\n{size}    srcs = ["{name}.py"],\n'
    return _Statement(f"\n{rule}(\n{attributes})\n", name)


def _position(new: _Statement, statements: list[_Statement]) -> int:
    """Returns where a new target goes: before the first that comes after it."""
    if not new.is_test:
        return next(
            (
                position
                for position, each in enumerate(statements)
                if each.name > new.name and not each.is_test
            ),
            len(statements),
        )
    libraries = [
        (len(each.name), position)
        for position, each in enumerate(statements)
        if each.name and new.name.startswith(f"{each.name}_")
    ]
    if not libraries:
        return len(statements)
    position = max(libraries)[1] + 1
    while (
        position < len(statements)
        and statements[position].is_test
        and statements[position].name < new.name
    ):
        position += 1
    return position


def _is_test(name: str) -> bool:
    return name.endswith("_test")


def _is_program(module: ast.Module) -> bool:
    return any(
        isinstance(node, ast.If)
        and ast.unparse(node.test) == "__name__ == '__main__'"
        for node in module.body
    )


def _format_deps(deps: list[str]) -> str:
    if not deps:
        return ""
    if len(deps) == 1:
        return f'    deps = ["{deps[0]}"],\n'
    lines = "".join(f'        "{dep}",\n' for dep in deps)
    return f"    deps = [\n{lines}    ],\n"


def _call(node: ast.stmt) -> ast.Call | None:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        return node.value
    return None


def _strings(node: ast.expr) -> list[str] | None:
    """Returns a list of strings; None for an expression."""
    try:
        return [str(item) for item in ast.literal_eval(node)]
    except ValueError:
        return None


def _span(text: str, node: ast.keyword) -> tuple[int, int]:
    """Returns where a node starts and ends in a text of ASCII lines."""
    assert node.end_lineno is not None and node.end_col_offset is not None
    lines = text.splitlines(keepends=True)
    return (
        sum(map(len, lines[: node.lineno - 1])) + node.col_offset,
        sum(map(len, lines[: node.end_lineno - 1])) + node.end_col_offset,
    )
