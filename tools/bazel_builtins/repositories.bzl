"""Local stand-ins for what Bazel 4 would download before it builds anything.

The packages inside Bazel 4 load @rules_cc, @rules_java and
@remote_coverage_tools. A Python workspace uses nothing of them, so files that
hand back the native rules are enough, and a build needs no network for Bazel.
"""

_CC_RULES = [
    "cc_binary",
    "cc_import",
    "cc_library",
    "cc_proto_library",
    "cc_test",
    "cc_toolchain",
    "cc_toolchain_suite",
    "fdo_profile",
    "objc_library",
]

_JAVA_RULES = [
    "java_binary",
    "java_import",
    "java_library",
    "java_package_configuration",
    "java_plugin",
    "java_proto_library",
    "java_runtime",
    "java_test",
    "java_toolchain",
]

_COVERAGE_TOOLS_BUILD = """
package(default_visibility = ["//visibility:public"])
filegroup(name = "coverage_report_generator")
filegroup(name = "lcov_merger")
"""

def _stand_in_impl(ctx):
    ctx.file("WORKSPACE", "workspace(name = \"%s\")\n" % ctx.name)
    for path, content in ctx.attr.files.items():
        ctx.file(path, content)

_stand_in = repository_rule(
    implementation = _stand_in_impl,
    attrs = {"files": attr.string_dict(doc = "path -> content")},
)

def _native(rules):
    return "".join(["%s = native.%s\n" % (rule, rule) for rule in rules])

def bazel_builtin_repositories():
    """Declares the stand-ins; call it before any other repository rule."""
    _stand_in(
        name = "rules_cc",
        files = {
            "cc/BUILD": "",
            "cc/defs.bzl": _native(_CC_RULES) +
                           "cc_flags_supplier = native.filegroup\n" +
                           "compiler_flag = native.filegroup\n",
        },
    )
    _stand_in(
        name = "rules_java",
        files = {
            "java/BUILD": "",
            "java/defs.bzl": _native(_JAVA_RULES),
        },
    )
    _stand_in(
        name = "remote_coverage_tools",
        files = {"BUILD": _COVERAGE_TOOLS_BUILD},
    )
