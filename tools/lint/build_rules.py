"""House rules for BUILD files: one target a module, tests beside sources, deps.

A rule takes a SourceTree and yields a line of text for each violation.
"""

import ast
import difflib
import os
import re
from collections.abc import Iterator

from tools.lint import build_files, source_tree

_JOIN = "os.path.join"

# A row of a table on a page: a module, and functions of it.
_STATION = re.compile(
    r"^\|[^|`]*`(\w+(?:/\w+)+)` \| ((?:`\w+`(?:, )?)+) \|", re.MULTILINE
)


def modules_have_targets(tree: source_tree.SourceTree) -> Iterator[str]:
    """Each module has a target with its name, and is in no other."""
    owners: dict[str, list[source_tree.Target]] = {}
    for target in build_files.python_targets(tree):
        for src in target.strings("srcs"):
            owners.setdefault(os.path.join(target.package, src), []).append(
                target
            )
    for path in tree.modules:
        if path in build_files.WITHOUT_TARGET:
            continue
        stem = os.path.basename(path).removesuffix(".py")
        names = [target.name for target in owners.get(path, [])]
        if names != [stem]:
            yield (
                f"{path}: module must be in the target {stem} only; got "
                f"{names}; `{build_files.COMMAND}` adds what is missing"
            )


def tests_stand_below_their_libraries(
    tree: source_tree.SourceTree,
) -> Iterator[str]:
    """The target foo_test, or foo_<aspect>_test, comes right after foo.

    The tests in tools check the whole checkout, and stand where they like.
    """
    previous = None
    for target in tree.targets:
        if not target.package.startswith("tensorflow_serving/"):
            continue
        where = f"{target.package}/BUILD:{target.line}: {target.name}"
        if target.rule == "py_test":
            if not target.name.endswith("_test"):
                yield f"{where}: name of a test must end in _test"
            library = "" if previous is None else previous.name
            if not target.name.startswith(library + "_") or not library:
                yield f"{where}: test must stand below its library"
            continue
        previous = target


def tests_have_a_size(tree: source_tree.SourceTree) -> Iterator[str]:
    """A test is small, or a comment on its size says why not."""
    for target in tree.targets:
        if target.rule != "py_test":
            continue
        where = f"{target.package}/BUILD:{target.line}: {target.name}"
        size = target.attributes.get("size")
        if size is None:
            yield f"{where}: test must have a size"
        elif size != "small":
            lines = tree.text(f"{target.package}/BUILD").splitlines()
            number = next(
                number
                for number in range(target.line, len(lines))
                if lines[number].strip().startswith("size =")
            )
            if not lines[number - 1].strip().startswith("#"):
                yield f"{where}: size {size} must have its reason above it"


def python_targets_have_no_globs(
    tree: source_tree.SourceTree,
) -> Iterator[str]:
    """Sources are listed by name."""
    for path in tree.files:
        if os.path.basename(path) == "BUILD" and "glob(" in tree.text(path):
            yield f"{path}: sources must be listed; got a glob"


def deps_are_the_imports(tree: source_tree.SourceTree) -> Iterator[str]:
    """Each module has a target whose deps are what the module imports."""
    for path, text in build_files.updated(tree).items():
        changes = difflib.ndiff(tree.text(path).splitlines(), text.splitlines())
        lines = "\n".join(line for line in changes if line[0] in "+-")
        yield (
            f"{path}: targets and deps must be those of the modules; got "
            f"others, which `{build_files.COMMAND}` repairs:\n{lines}"
        )


def programs_that_are_run_are_data(
    tree: source_tree.SourceTree,
) -> Iterator[str]:
    """A module that names a program beside it has the program as data.

    Without Bazel it is there in any case, so nothing else would notice.
    """
    programs = {
        target.label for target in tree.targets if target.rule == "py_binary"
    }
    for target in build_files.python_targets(tree):
        for src in target.strings("srcs"):
            module = tree.modules.get(os.path.join(target.package, src))
            for name in sorted(_joined_names(module) if module else ()):
                if (
                    f"//{target.package}:{name}" in programs
                    and f":{name}" not in target.strings("data")
                ):
                    yield (
                        f"{target.package}/BUILD:{target.line}: {target.name}: "
                        f"data must have the program that it names, :{name}"
                    )


def readmes_name_the_modules(tree: source_tree.SourceTree) -> Iterator[str]:
    """The README of a package says what each of its modules is for.

    The names of public ones are bold, but for programs.
    """
    public = {
        f"{target.package}/{target.name}.py"
        for target in build_files.python_targets(tree)
        if target.rule == "py_library"
        and "//visibility:public" in target.strings("visibility")
    }
    for path in tree.modules:
        folder, name = os.path.split(path)
        if not folder.startswith("tensorflow_serving/"):
            continue
        if name.endswith("_test.py") or path in build_files.WITHOUT_TARGET:
            continue
        readme = f"{folder}/README.md"
        stem = name.removesuffix(".py")
        if readme not in tree.files:
            yield f"{folder}: package must have a README.md"
        elif f"`{stem}`" not in tree.text(readme):
            yield f"{readme}: text must name `{stem}`"
        elif (path in public) != (f"**`{stem}`**" in tree.text(readme)):
            yield f"{readme}: name must be bold if public, else not: `{stem}`"


def stations_exist(tree: source_tree.SourceTree) -> Iterator[str]:
    """A page that follows a call names functions of modules that there are."""
    for path in tree.files:
        if not path.endswith(".md"):
            continue
        for module, functions in _STATION.findall(tree.text(path)):
            found = tree.modules.get(f"tensorflow_serving/{module}.py")
            if found is None:
                yield f"{path}: module must exist: {module}"
                continue
            defined = {
                node.name
                for node in source_tree.nodes(found)
                if isinstance(node, ast.FunctionDef)
            }
            for name in re.findall(r"\w+", functions):
                if name not in defined:
                    yield f"{path}: {module} must define {name}"


def _joined_names(module: ast.Module) -> set[str]:
    """Returns the texts that a module adds to paths."""
    return {
        str(part.value)
        for node in source_tree.nodes(module)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == _JOIN
        for part in node.args
        if isinstance(part, ast.Constant)
    }
