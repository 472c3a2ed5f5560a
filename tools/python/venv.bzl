"""A repository with a virtual environment, and the toolchain that runs in it.

The repository offers
  //:<package>   for each line of requirements.in: an empty py_library. The
                 package is importable anyway; the label makes an undeclared
                 dependency visible, and a new lock file reruns what depends
                 on it.
  //:defs.bzl    PYTHON, the absolute path of the interpreter, and BIN, the
                 folder of the programs that the packages install.
  //:toolchain   the Python toolchain.
"""

_OLDEST = [3, 10]
_NEWEST = [3, 13]

_BUILD = """
load("@bazel_tools//tools/python:toolchain.bzl", "py_runtime_pair")

package(default_visibility = ["//visibility:public"])

py_runtime(
    name = "runtime",
    interpreter_path = "{python}",
    python_version = "PY3",
    {shebang}
)

py_runtime_pair(
    name = "pair",
    py3_runtime = ":runtime",
)

toolchain(
    name = "toolchain",
    toolchain = ":pair",
    toolchain_type = "@bazel_tools//tools/python:toolchain_type",
)

[py_library(
    name = package,
    data = ["{lock}"],
) for package in {packages}]
"""

_DEFS = """
PYTHON = "{python}"
BIN = "{bin}"
"""

def _run(ctx, what, arguments):
    result = ctx.execute(arguments, timeout = 3600)
    if result.return_code:
        fail("%s failed:\n%s%s" % (what, result.stdout, result.stderr))
    return result.stdout.strip()

def _checked_python(ctx):
    """Returns python3 on the PATH, once its version is known to fit."""
    rule = "python3 must be Python %d.%d to %d.%d; " % tuple(_OLDEST + _NEWEST)
    advice = (". Install one (for example: apt-get install python3 " +
              "python3-venv) and put it first on the PATH.")
    python = ctx.which("python3")
    if not python:
        fail(rule + "got none on the PATH" + advice)
    script = "import sys; print(*sys.version_info[:2])"
    text = _run(ctx, "python3 --version", [python, "-c", script])
    version = [int(part) for part in text.split(" ")]
    if version < _OLDEST or version > _NEWEST:
        found = ".".join([str(part) for part in version])
        fail(rule + "got %s (%s)" % (found, python) + advice)
    return python

def _packages(ctx):
    lines = ctx.read(ctx.path(ctx.attr.requirements)).splitlines()
    return [line for line in lines if line and not line.startswith("#")]

def _python_venv_impl(ctx):
    python = _checked_python(ctx)
    lock = ctx.path(ctx.attr.lock)
    ctx.report_progress("creating the virtual environment")
    _run(ctx, "python3 -m venv", [python, "-m", "venv", "venv"])
    ctx.report_progress("installing TensorFlow and other packages (2 GB)")
    _run(
        ctx,
        "pip install -r tools/python/requirements_lock.txt",
        [
            "venv/bin/python",
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--require-hashes",
            "--requirement",
            str(lock),
        ],
    )
    venv_python = str(ctx.path("venv/bin/python"))
    shebang = "stub_shebang = \"#!%s\"," % venv_python
    if ctx.os.environ.get("BAZEL_MAJOR_VERSION") == "3":
        shebang = "# Bazel 3 knows no stub_shebang; its programs call python."
    ctx.file("BUILD", _BUILD.format(
        python = venv_python,
        shebang = shebang,
        lock = "@%s//%s:%s" % (
            ctx.attr.lock.workspace_name,
            ctx.attr.lock.package,
            ctx.attr.lock.name,
        ),
        packages = repr(_packages(ctx)),
    ))
    ctx.file("defs.bzl", _DEFS.format(
        python = venv_python,
        bin = str(ctx.path("venv/bin")),
    ))

python_venv = repository_rule(
    implementation = _python_venv_impl,
    doc = "A virtual environment with the packages of a lock file.",
    environ = ["BAZEL_MAJOR_VERSION"],
    attrs = {
        "lock": attr.label(
            allow_single_file = True,
            mandatory = True,
            doc = "pip requirements, pinned and with hashes",
        ),
        "requirements": attr.label(
            allow_single_file = True,
            mandatory = True,
            doc = "the packages that BUILD files may name, one a line",
        ),
    },
)
