"""House rules for BUILD files: one target a module, tests beside sources, deps.

A rule takes a SourceTree and yields a line of text for each violation.
"""

import os
import sys
from collections.abc import Iterator

from tools.lint import python_rules, source_tree

# Which package of requirements.in a module belongs to, where the names differ.
_PACKAGES = {
    "absl": "absl-py",
    "google.protobuf": "protobuf",
    "grpc": "grpcio",
    "grpc_health": "grpcio-health-checking",
    "grpc_reflection": "grpcio-reflection",
    "grpc_tools": "grpcio-tools",
    "typing_extensions": "typing-extensions",
    "ml_dtypes": "ml-dtypes",
}
# Run by hand, with a package that nothing else needs.
_WITHOUT_TARGET = {"tensorflow_serving/example/digits/make_digits.py"}

_PYTHON_RULES = ("py_library", "py_binary", "py_test")
_PROTO_RULES = ("serving_proto_library_py", "tensorflow_proto_py")


def modules_have_targets(tree: source_tree.SourceTree) -> Iterator[str]:
    """Each module has a target with its name, and is in no other."""
    owners: dict[str, list[source_tree.Target]] = {}
    for target in _python_targets(tree):
        for src in target.strings("srcs"):
            owners.setdefault(os.path.join(target.package, src), []).append(
                target
            )
    for path in tree.modules:
        if path in _WITHOUT_TARGET:
            continue
        stem = os.path.basename(path).removesuffix(".py")
        names = [target.name for target in owners.get(path, [])]
        if names != [stem]:
            yield f"{path}: module must be in the target {stem}; got {names}"


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
    """A target depends on what its module imports, and on nothing else."""
    known = {target.label for target in _python_targets(tree)}
    for target in tree.targets:
        if target.rule in _PROTO_RULES:
            known |= {target.label, f"{target.label}_grpc"}
    for target in _python_targets(tree):
        wanted = {
            label
            for src in target.strings("srcs")
            if (module := tree.modules.get(os.path.join(target.package, src)))
            for name in python_rules.imported_modules(module)
            if (label := _label(name, known))
        }
        where = f"{target.package}/BUILD:{target.line}: {target.name}"
        found = set(target.dep_labels)
        if wanted - found:
            yield f"{where}: deps must have {sorted(wanted - found)}"
        if found - wanted:
            yield f"{where}: deps must not have {sorted(found - wanted)}"


def readmes_name_the_modules(tree: source_tree.SourceTree) -> Iterator[str]:
    """The README of a package says what each of its modules is for."""
    for path in tree.modules:
        folder, name = os.path.split(path)
        if not folder.startswith("tensorflow_serving/"):
            continue
        if name.endswith("_test.py") or path in _WITHOUT_TARGET:
            continue
        readme = f"{folder}/README.md"
        stem = name.removesuffix(".py")
        if readme not in tree.files:
            yield f"{folder}: package must have a README.md"
        elif f"`{stem}`" not in tree.text(readme):
            yield f"{readme}: text must name `{stem}`"


def _python_targets(
    tree: source_tree.SourceTree,
) -> Iterator[source_tree.Target]:
    return (target for target in tree.targets if target.rule in _PYTHON_RULES)


def _label(name: str, known: set[str]) -> str | None:
    """Returns the label that provides a module; None for what needs none."""
    top = name.partition(".")[0]
    if top in sys.stdlib_module_names:
        return None
    if top in ("tensorflow_serving", "tools"):
        folder, _, stem = name.replace(".", "/").rpartition("/")
        label = f"//{folder}:{stem}"
        return label if label in known else None
    for prefix, package in _PACKAGES.items():
        if name == prefix or name.startswith(f"{prefix}."):
            return f"@pip//:{package}"
    return None if top == "google" else f"@pip//:{top}"
