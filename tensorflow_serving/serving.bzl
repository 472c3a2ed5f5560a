"""Python modules for a .proto file, made by the protoc of grpcio-tools."""

load("@pip//:defs.bzl", "BIN", "PYTHON")

_DESCRIPTORS = "//tools/proto:tensorflow_descriptors"
_PROTOS = "tensorflow_serving.tensorflow_c.protos"
_RELOCATED_IMPORTS = "//tools/proto:relocated_imports.py"

def serving_proto_library_py(
        name,
        protos = [],
        has_services = False,
        imports_tensorflow = False,
        visibility = None):
    """Makes the modules <stem>_pb2 and, for services, <stem>_pb2_grpc.

    Each comes with a .pyi file, so that both are typed for mypy.

    Args:
      name: <stem>_pb2, where <stem>.proto is the source in the same package.
        Names the py_library; the one of the stubs is <name>_grpc.
      protos: the labels, made with this macro, of the other files that the
        file imports.
      has_services: whether the file defines gRPC services.
      imports_tensorflow: whether the file, or one that it imports, imports
        .proto files of TensorFlow; the modules then import those of
        tensorflow_c/protos.
      visibility: of the py_library targets.
    """
    src = name[:-len("_pb2")] + ".proto"
    native.filegroup(
        name = name + "_protos",
        srcs = [src] + [label + "_protos" for label in protos],
        visibility = ["//tensorflow_serving:internal"],
    )
    srcs = [
        src,
        ":" + name + "_protos",
        "//tools/python:requirements_lock.txt",
    ]
    outs = [name + ".py", name + ".pyi"]
    flags = [
        "-I.",
        "--python_out=$(GENDIR)",
        "--plugin=%s/protoc-gen-mypy" % BIN,
        "--mypy_out=quiet:$(GENDIR)",
    ]
    deps = ["@pip//:protobuf"] + protos
    if imports_tensorflow:
        srcs += [_DESCRIPTORS, _RELOCATED_IMPORTS]
        flags.append("--descriptor_set_in=$(location %s)" % _DESCRIPTORS)
        deps.append("//tensorflow_serving/tensorflow_c/protos:config_pb2")
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
    cmd = [PYTHON, "-m", "grpc_tools.protoc"] + flags + ["$(location %s)" % src]
    if imports_tensorflow:
        relocated_imports = "$(location %s)" % _RELOCATED_IMPORTS
        cmd += ["&&", PYTHON, relocated_imports, _PROTOS, "$(OUTS)"]
    native.genrule(
        name = name + "_protoc",
        srcs = srcs,
        outs = outs,
        cmd = " ".join(cmd),
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
