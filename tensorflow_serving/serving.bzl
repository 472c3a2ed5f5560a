"""Python modules for a .proto file, made by the protoc of grpcio-tools."""

load("@pip//:defs.bzl", "BIN", "PYTHON")

_DESCRIPTORS = "//tools/proto:tensorflow_descriptors"

def serving_proto_library_py(
        name,
        has_services = False,
        imports_tensorflow = False,
        visibility = None):
    """Makes the modules <stem>_pb2 and, for services, <stem>_pb2_grpc.

    Each comes with a .pyi file, so that both are typed for mypy.

    Args:
      name: <stem>_pb2, where <stem>.proto is the source in the same package.
        Names the py_library; the one of the stubs is <name>_grpc.
      has_services: whether the file defines gRPC services.
      imports_tensorflow: whether the file imports .proto files of TensorFlow.
      visibility: of the py_library targets.
    """
    src = name[:-len("_pb2")] + ".proto"
    srcs = [src, "//tools/python:requirements_lock.txt"]
    outs = [name + ".py", name + ".pyi"]
    flags = [
        "-I.",
        "--python_out=$(GENDIR)",
        "--plugin=%s/protoc-gen-mypy" % BIN,
        "--mypy_out=quiet:$(GENDIR)",
    ]
    deps = ["@pip//:protobuf"]
    if imports_tensorflow:
        srcs.append(_DESCRIPTORS)
        flags.append("--descriptor_set_in=$(location %s)" % _DESCRIPTORS)
        deps.append("@pip//:tensorflow")
    if has_services:
        stubs = name + "_grpc"
        outs += [stubs + ".py", stubs + ".pyi"]
        flags += [
            "--grpc_python_out=$(GENDIR)",
            "--plugin=%s/protoc-gen-mypy_grpc" % BIN,
            "--mypy_grpc_out=quiet:$(GENDIR)",
        ]
        native.py_library(
            name = stubs,
            srcs = [stubs + ".py"],
            data = [stubs + ".pyi"],
            visibility = visibility,
            deps = [":" + name, "@pip//:grpcio"],
        )
    native.genrule(
        name = name + "_protoc",
        srcs = srcs,
        outs = outs,
        cmd = " ".join(
            [PYTHON, "-m", "grpc_tools.protoc"] + flags +
            ["$(location %s)" % src],
        ),
        message = "Generating code for " + src,
        visibility = ["//visibility:private"],
    )
    native.py_library(
        name = name,
        srcs = [name + ".py"],
        data = [name + ".pyi"],
        visibility = visibility,
        deps = deps,
    )
