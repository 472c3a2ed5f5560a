"""The deps of a target, as they follow from the imports of its module."""

import ast
import os
import sys
from collections.abc import Collection

from tools.lint import python_rules, source_tree

# The packages of requirements.in whose modules have other names.
_PACKAGES = {
    "absl": "absl-py",
    "ai_edge_litert": "ai-edge-litert",
    "google_crc32c": "google-crc32c",
    "google.protobuf": "protobuf",
    "grpc": "grpcio",
    "grpc_health": "grpcio-health-checking",
    "grpc_reflection": "grpcio-reflection",
    "grpc_tools": "grpcio-tools",
    "prometheus_client": "prometheus-client",
    "typing_extensions": "typing-extensions",
    "ml_dtypes": "ml-dtypes",
}
_PROTO_RULES = ("serving_proto_library_py", "tensorflow_proto_py")


def labels(tree: source_tree.SourceTree) -> set[str]:
    """Returns the labels that the modules of this repository can have."""
    known = set()
    for path in tree.modules:
        folder, name = os.path.split(path)
        known.add(f"//{folder}:{name.removesuffix('.py')}")
    for target in tree.targets:
        if target.rule in _PROTO_RULES:
            known |= {target.label, f"{target.label}_grpc"}
    return known


def deps(module: ast.Module, known: Collection[str], package: str) -> list[str]:
    """Returns the deps of a module, sorted: its package, repository, others."""
    found = {
        label
        for name in python_rules.imported_modules(module)
        if (label := _label(name, known))
    }
    ordered = sorted(
        found, key=lambda label: (label[0] == "@", label.split(":"))
    )
    own = [label for label in ordered if label.startswith(f"{package}:")]
    return [label.removeprefix(package) for label in own] + [
        label for label in ordered if label not in own
    ]


def _label(name: str, known: Collection[str]) -> str | None:
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
