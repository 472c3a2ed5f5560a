"""House rule for the API: who may see a function may see its types.

The visibility of BUILD targets is the API. A module that anybody may import is
of little use if its signatures name types that nobody may.
"""

import ast
import os
from collections.abc import Iterator

from tools.lint import build_files, source_tree

_PUBLIC = "//visibility:public"
_Function = (ast.FunctionDef, ast.AsyncFunctionDef)


def public_signatures_have_public_types(
    tree: source_tree.SourceTree,
) -> Iterator[str]:
    """A public module names types of public modules in its signatures."""
    modules = {}
    for target in build_files.python_targets(tree):
        for src in target.strings("srcs"):
            modules[os.path.join(target.package, src)] = target
    public = {
        path
        for path, target in modules.items()
        if target.rule == "py_library"
        and _PUBLIC in target.strings("visibility")
    }
    for path in sorted(public):
        imported = dict(_imports(tree.modules[path]))
        names = {
            imported[node.value.id]
            for part in _signatures(tree.modules[path])
            for node in ast.walk(part)
            if isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id in imported
        }
        for other in sorted(names & modules.keys() - public):
            yield (
                f"{path}: signatures must name types of public modules; got "
                f"those of {modules[other].label}"
            )


def _imports(module: ast.Module) -> Iterator[tuple[str, str]]:
    """Yields the names of imported modules with the paths of their files."""
    for node in module.body:
        if isinstance(node, ast.ImportFrom) and node.module:
            folder = node.module.replace(".", "/")
            for alias in node.names:
                yield alias.asname or alias.name, f"{folder}/{alias.name}.py"


def _signatures(module: ast.Module) -> Iterator[ast.AST]:
    """Yields what users of a module see of types, without private names."""
    aliases = {
        target.id: node.value
        for node in module.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for part in _public_parts(module.body):
        for node in ast.walk(part):
            yield from _resolved(node, aliases)


def _public_parts(body: list[ast.stmt]) -> Iterator[ast.AST]:
    for node in body:
        if isinstance(node, _Function) and _is_interface(node):
            arguments = node.args
            for each in (
                *arguments.posonlyargs,
                *arguments.args,
                *arguments.kwonlyargs,
            ):
                if each.annotation is not None:
                    yield each.annotation
            if node.returns is not None:
                yield node.returns
        elif isinstance(node, ast.ClassDef) and _is_public(node.name):
            yield from _public_parts(node.body)
        elif isinstance(node, ast.AnnAssign):
            if isinstance(node.target, ast.Name) and _is_public(node.target.id):
                yield node.annotation
        elif (
            isinstance(node, ast.Assign)
            # Other values are not types.
            and isinstance(node.value, (ast.Attribute, ast.Subscript))
            and isinstance(node.targets[0], ast.Name)
            and _is_public(node.targets[0].id)
        ):
            yield node.value


def _is_interface(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether users call a function, or read what it returns.

    What overrides something belongs to the class that declares it, which may be
    for modules of this project only.
    """
    return _is_public(function.name) and not any(
        isinstance(decorator, ast.Name) and decorator.id == "override"
        for decorator in function.decorator_list
    )


def _is_public(name: str) -> bool:
    return not name.startswith("_") or name.startswith("__")


def _resolved(node: ast.AST, aliases: dict[str, ast.expr]) -> Iterator[ast.AST]:
    """Yields a node, or what an alias or a quoted annotation stands for."""
    if isinstance(node, ast.Name) and node.id in aliases:
        yield aliases[node.id]
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        try:
            yield ast.parse(node.value, mode="eval")
        except SyntaxError:
            return
    else:
        yield node
