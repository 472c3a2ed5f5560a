"""Writes the Python targets of BUILD files, and their deps.

    ./tools/bazel run //tools/lint:write_build_files

A new module gets a target, a target of a removed module goes, and deps become
what the modules import. Sizes, data, visibilities, tags and other rules stay.
"""

import os
import pathlib

from absl import app

from tools.lint import build_files, source_tree


def main(argv: list[str]) -> None:
    """Prints the path of each file that changes."""
    if len(argv) > 1:
        raise app.UsageError(f"arguments must be none; got {argv[1:]}")
    root = pathlib.Path(os.environ.get("BUILD_WORKSPACE_DIRECTORY", "."))
    for path, text in build_files.updated(source_tree.SourceTree(root)).items():
        (root / path).write_text(text, encoding="utf-8")
        print(path)


if __name__ == "__main__":
    app.run(main)
