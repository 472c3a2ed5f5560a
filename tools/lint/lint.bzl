"""The files of a package, for the checks in //tools/lint."""

# Every package of the workspace.
PACKAGES = [
    "",
    "tensorflow_serving",
    "tensorflow_serving/apis",
    "tensorflow_serving/batching",
    "tensorflow_serving/benchmarks",
    "tensorflow_serving/client",
    "tensorflow_serving/config",
    "tensorflow_serving/core",
    "tensorflow_serving/example",
    "tensorflow_serving/g3doc",
    "tensorflow_serving/model_servers",
    "tensorflow_serving/resources",
    "tensorflow_serving/http",
    "tensorflow_serving/rpc",
    "tensorflow_serving/rpc/http2",
    "tensorflow_serving/servables/hashmap",
    "tensorflow_serving/servables/tensorflow",
    "tensorflow_serving/session_bundle",
    "tensorflow_serving/session_bundle/example",
    "tensorflow_serving/sources/storage_path",
    "tensorflow_serving/tensorflow_c",
    "tensorflow_serving/tensorflow_c/protos",
    "tensorflow_serving/test_util",
    "tensorflow_serving/util",
    "tools",
    "tools/bazel_builtins",
    "tools/lint",
    "tools/proto",
    "tools/python",
]

ALL_LINT_SOURCES = [
    "//%s:lint_sources" % package
    for package in PACKAGES
]

def lint_sources():
    """Makes the target lint_sources: every file of this package.

    A package is checked once it calls this macro and PACKAGES names it; a check
    fails for one that forgets.
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
