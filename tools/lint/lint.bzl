"""The files of a package, for the checks in //tools/lint."""

def lint_sources():
    """Makes the target lint_sources: every file of this package.

    A package is checked once it calls this macro and tools/lint/packages.bzl
    names it; a check fails for a package that forgets either.
    """
    native.filegroup(
        name = "lint_sources",
        srcs = native.glob(
            ["**"],
            exclude = [
                "bazel-*/**",
                ".git/**",
                "**/__pycache__/**",
                "**/.*_cache/**",
            ],
        ),
        visibility = ["//tools/lint:__pkg__"],
    )
