"""Modules for TensorFlow's protos that do not import TensorFlow."""

load("@pip//:defs.bzl", "BIN", "PYTHON")

PACKAGE = "tensorflow_serving.tensorflow_c.protos"

# The output of tools/proto/generate_modules.py.
_MODULES = [
    "allocation_description_pb2",
    "attr_value_pb2",
    "cluster_pb2",
    "config_pb2",
    "cost_graph_pb2",
    "debug_pb2",
    "error_codes_pb2",
    "example_pb2",
    "feature_pb2",
    "full_type_pb2",
    "function_pb2",
    "graph_debug_info_pb2",
    "graph_pb2",
    "meta_graph_pb2",
    "named_tensor_pb2",
    "node_def_pb2",
    "op_def_pb2",
    "resource_handle_pb2",
    "rewriter_config_pb2",
    "rpc_options_pb2",
    "saved_model_pb2",
    "saved_object_graph_pb2",
    "saver_pb2",
    "step_stats_pb2",
    "struct_pb2",
    "tensor_description_pb2",
    "tensor_pb2",
    "tensor_shape_pb2",
    "trackable_object_graph_pb2",
    "tsl_coordination_config_pb2",
    "tsl_error_codes_pb2",
    "tsl_rpc_options_pb2",
    "types_pb2",
    "variable_pb2",
    "verifier_config_pb2",
    "versions_pb2",
]

def tensorflow_protos_py(name):
    """Makes a py_library with the modules of all protos, which need each other.

    Args:
      name: of the library.
    """
    native.genrule(
        name = name + "_protoc",
        srcs = [
            "//tools/proto:generate_modules.py",
            "//tools/proto:relocated_imports.py",
            "//tools/proto:tensorflow_descriptors",
            "//tools/python:requirements_lock.txt",
        ],
        outs = [
            module + suffix
            for module in _MODULES
            for suffix in (".py", ".pyi")
        ],
        cmd = " ".join([
            "PYTHONPATH=. " + PYTHON,
            "-m tools.proto.generate_modules",
            "$(location //tools/proto:tensorflow_descriptors)",
            PACKAGE,
            BIN + "/protoc-gen-mypy",
            "$(RULEDIR)",
        ]),
        message = "Generating code for the protos of TensorFlow",
        visibility = ["//visibility:private"],
    )
    native.py_library(
        name = name,
        srcs = [module + ".py" for module in _MODULES],
        data = [module + ".pyi" for module in _MODULES],
        visibility = ["//visibility:private"],
        deps = ["@pip//:protobuf"],
    )

def tensorflow_proto_py(name, library):
    """Names one of the modules, for those that import it.

    Args:
      name: of the module, such as config_pb2.
      library: of tensorflow_protos_py.
    """
    native.py_library(
        name = name,
        visibility = ["//visibility:public"],
        deps = [library],
    )
