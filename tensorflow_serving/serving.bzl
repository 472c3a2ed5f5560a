"""Python modules for a .proto file, made by the protoc of grpcio-tools."""

load("@pip//:defs.bzl", "BIN", "PYTHON")

_TENSORFLOW_DESCRIPTORS = "//tools/proto:tensorflow_descriptors"

def _protoc(stem, flags, outs, imports_tensorflow):
    """A genrule that runs protoc on <stem>.proto."""
    src = stem + ".proto"
    inputs = [src]
    if imports_tensorflow:
        inputs.append(_TENSORFLOW_DESCRIPTORS)
        flags = flags + [
            "--descriptor_set_in=$(location %s)" % _TENSORFLOW_DESCRIPTORS,
        ]
    native.genrule(
        name = outs[0] + "_gen",
        srcs = inputs + ["//tools/python:requirements_lock.txt"],
        outs = outs,
        cmd = " ".join(
            [PYTHON, "-m", "grpc_tools.protoc", "-I."] +
            flags +
            ["$(location %s)" % src],
        ),
        message = "Generating code for " + src,
    )

def serving_proto_library_py(
        name,
        has_services = False,
        imports_tensorflow = False,
        deps = [],
        visibility = None):
    """Makes the modules <stem>_pb2 and, for services, <stem>_pb2_grpc.

    Each comes with a .pyi file, so that both are typed for mypy.

    Args:
      name: <stem>_pb2, where <stem>.proto is the source in the same package.
        Names the py_library; the one of the stubs is <name>_grpc.
      has_services: whether the file defines gRPC services.
      imports_tensorflow: whether the file imports one of TensorFlow's.
      deps: py_library targets of imported .proto files.
      visibility: of the py_library targets.
    """
    stem = name[:-len("_pb2")]
    _protoc(
        stem,
        ["--python_out=$(GENDIR)", "--pyi_out=$(GENDIR)"],
        [name + ".py", name + ".pyi"],
        imports_tensorflow,
    )
    native.py_library(
        name = name,
        srcs = [name + ".py"],
        data = [name + ".pyi"],
        visibility = visibility,
        deps = deps + ["@pip//:protobuf"] +
               (["@pip//:tensorflow"] if imports_tensorflow else []),
    )
    if has_services:
        stubs = name + "_grpc"
        _protoc(
            stem,
            [
                "--plugin=protoc-gen-mypy_grpc=%s/protoc-gen-mypy_grpc" % BIN,
                "--grpc_python_out=$(GENDIR)",
                "--mypy_grpc_out=quiet:$(GENDIR)",
            ],
            [stubs + ".py", stubs + ".pyi"],
            imports_tensorflow,
        )
        native.py_library(
            name = stubs,
            srcs = [stubs + ".py"],
            data = [stubs + ".pyi"],
            visibility = visibility,
            deps = [":" + name, "@pip//:grpcio"],
        )
