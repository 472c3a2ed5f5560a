"""A small model for tests of what the model server does with models.

Its signatures, on tensors x: float32 [n] and examples: string [n]:

    serving_default  predict: x -> y = x / 2 + 2, z = 2 x
    classify         examples -> classes [n, 1], the examples; scores [n, 1],
                     their lengths
    labels, scores   the same with one of the two outputs
    scores_and_more  the same with the scores, and lengths [n]
    regress          examples -> outputs [n], their lengths
    regress_column   the same with outputs [n, 1]
    defaults         predict: x, and a bias of 1 by default -> sum
    broken_classify  scores [n], without classes
    broken_regress   outputs [n, 1, 1]
    echo             predict: x, floats of any shape -> y, the same
    short_names      predict: x -> y, whose tensors are named without their ":0"
    no_outputs       predict: x -> nothing
    no_rows          predict: x -> y, and a constant total without a dimension
    types            predict: a tensor of any shape for each of TYPES, by its
                     name -> the same
    type_<type>      predict: x of one of TYPES or of QUANTIZED_TYPES, of any
                     shape -> y, the same
    pair             predict: a float and b string, of any shapes -> the same
    texts            predict: x string, of any shape -> text and text_bytes,
                     the same
    bytes            predict: x string, of any shape -> y_bytes, the same
"""

import os
from collections.abc import Mapping
from typing import Final

import numpy as np

from tensorflow_serving.servables.tensorflow import (
    batch_threads,
    inference,
    served_model,
    signature_defs,
)
from tensorflow_serving.session_bundle import session, session_bundle
from tensorflow_serving.tensorflow_c.protos import (
    attr_value_pb2,
    meta_graph_pb2,
    saved_model_pb2,
    tensor_pb2,
    types_pb2,
)
from tensorflow_serving.test_util import graph_builder

# The types of the signatures "type_<type>" that REST cannot carry.
QUANTIZED_TYPES: Final = ("qint8", "quint8", "qint16", "quint16", "qint32")
# The types of the signatures "types" and "type_<type>".
TYPES: Final = (
    *("half", "bfloat16", "float", "double", "complex64", "complex128"),
    *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("bool", "string"),
)

_Infos = Mapping[str, str]

_SIGNATURES: Mapping[str, tuple[str, _Infos, _Infos]] = {
    "serving_default": ("predict", {"x": "x"}, {"y": "y", "z": "z"}),
    "classify": (
        "classify",
        {"inputs": "examples"},
        {"classes": "classes", "scores": "scores"},
    ),
    "classify_of_tf2": (
        "predict",
        {"inputs": "examples"},
        {"classes": "classes", "scores": "scores"},
    ),
    "labels": ("classify", {"inputs": "examples"}, {"classes": "classes"}),
    "scores": ("classify", {"inputs": "examples"}, {"scores": "scores"}),
    "scores_and_more": (
        "classify",
        {"inputs": "examples"},
        {"scores": "scores", "lengths": "lengths"},
    ),
    "regress": ("regress", {"inputs": "examples"}, {"outputs": "lengths"}),
    "regress_of_tf2": (
        "predict",
        {"inputs": "examples"},
        {"outputs": "lengths"},
    ),
    "regress_column": (
        "regress",
        {"inputs": "examples"},
        {"outputs": "scores"},
    ),
    "defaults": ("predict", {"x": "x", "bias": "bias"}, {"sum": "sum"}),
    "echo": ("predict", {"x": "fed_float"}, {"y": "same_float"}),
    "short_names": ("predict", {"x": "x"}, {"y": "y"}),
    "no_outputs": ("predict", {"x": "x"}, {}),
    "no_rows": ("predict", {"x": "x"}, {"y": "y", "total": "two"}),
    "broken_classify": (
        "classify",
        {"inputs": "examples"},
        {"scores": "lengths"},
    ),
    "broken_regress": (
        "regress",
        {"inputs": "examples"},
        {"outputs": "cube"},
    ),
    "types": (
        "predict",
        {name: f"fed_{name}" for name in TYPES},
        {name: f"same_{name}" for name in TYPES},
    ),
    **{
        f"type_{name}": (
            "predict",
            {"x": f"fed_{name}"},
            {"y": f"same_{name}"},
        )
        for name in (*TYPES, *QUANTIZED_TYPES)
    },
    "pair": (
        "predict",
        {"a": "fed_float", "b": "fed_string"},
        {"a": "same_float", "b": "same_string"},
    ),
    "texts": (
        "predict",
        {"x": "fed_string"},
        {"text": "same_string", "text_bytes": "same_string"},
    ),
    "bytes": ("predict", {"x": "fed_string"}, {"y_bytes": "same_string"}),
}


class SmallModel:
    """A version of the model, with its own threads; close() ends both."""

    def __init__(self, options: batch_threads.Options | None = None) -> None:
        """Makes version 7 of the model "small"."""
        self._threads = batch_threads.BatchThreads(
            options or batch_threads.Options()
        )
        self.model = served_model.ServedModel(bundle(), self._threads)
        self.version = inference.Version("small", 7, self.model)

    def close(self) -> None:
        """Frees the model and ends the threads."""
        self.model.close()
        self._threads.close()


def bundle(
    path: str = "/models/small/7",
) -> session_bundle.SessionBundle[session.Session]:
    """Returns the model, loaded; it does not look at the path."""
    opened = _builder().open_session()
    return session_bundle.SessionBundle(
        opened, _meta_graph_def(), path, opened.graph
    )


def write(path: str, gate: str | None = None) -> str:
    """Writes the model as a SavedModel; returns the path.

    Args:
      path: The folder of the version, which is made.
      gate: A file that the load writes. If it is a FIFO, the load waits until
        somebody reads it.
    """
    builder = _builder()
    meta_graph_def = _meta_graph_def()
    meta_graph_def.meta_info_def.tags.append("serve")
    if gate is not None:
        name = tensor_pb2.TensorProto(
            dtype=types_pb2.DT_STRING, string_val=[gate.encode()]
        )
        value = attr_value_pb2.AttrValue(tensor=name)
        builder.node("gate", "Const", dtype="string", value=value)
        builder.node("init", "WriteFile", ["gate", "gate"])
        init_op = meta_graph_def.collection_def["saved_model_main_op"]
        init_op.node_list.value.append("init")
    meta_graph_def.graph_def.CopyFrom(builder.graph_def)
    saved_model = saved_model_pb2.SavedModel(
        saved_model_schema_version=1, meta_graphs=[meta_graph_def]
    )
    os.makedirs(path)
    with open(os.path.join(path, "saved_model.pb"), "wb") as file:
        file.write(saved_model.SerializeToString())
    return path


def _builder() -> graph_builder.GraphBuilder:
    builder = graph_builder.GraphBuilder()
    builder.placeholder("x", "float32", [None])
    builder.placeholder("bias", "float32", [None])
    builder.placeholder("examples", "string", [None])
    builder.constant("half", np.array(0.5, np.float32))
    builder.constant("two", np.array(2, np.float32))
    builder.constant("last", np.array(1, np.int32))
    builder.node("halved", "Mul", ["x", "half"], T="float32")
    builder.node("y", "AddV2", ["halved", "two"], T="float32")
    builder.node("z", "Mul", ["x", "two"], T="float32")
    builder.node("sum", "AddV2", ["x", "bias"], T="float32")
    builder.node("int_lengths", "StringLength", ["examples"])
    builder.node(
        "lengths", "Cast", ["int_lengths"], SrcT="int32", DstT="float32"
    )
    builder.node(
        "scores", "ExpandDims", ["lengths", "last"], T="float32", Tdim="int32"
    )
    builder.node(
        "cube", "ExpandDims", ["scores", "last"], T="float32", Tdim="int32"
    )
    builder.node(
        "classes", "ExpandDims", ["examples", "last"], T="string", Tdim="int32"
    )
    for name in (*TYPES, *QUANTIZED_TYPES):
        builder.placeholder(f"fed_{name}", name, None)
        builder.node(f"same_{name}", "Identity", [f"fed_{name}"], T=name)
    return builder


def _meta_graph_def() -> meta_graph_pb2.MetaGraphDef:
    meta_graph_def = meta_graph_pb2.MetaGraphDef()
    for name, (method, inputs, outputs) in _SIGNATURES.items():
        definition = meta_graph_def.signature_def[name]
        definition.method_name = f"tensorflow/serving/{method}"
        for infos, tensors in (
            (definition.inputs, inputs),
            (definition.outputs, outputs),
        ):
            for key, tensor in tensors.items():
                info = infos[key]
                info.name = tensor if name == "short_names" else f"{tensor}:0"
                info.dtype = _type(tensor)
                info.tensor_shape.unknown_rank = True
    bias = meta_graph_def.signature_def["defaults"].defaults["bias"]
    bias.CopyFrom(
        tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT, float_val=[1.0])
    )
    bias.tensor_shape.dim.add(size=1)
    assert signature_defs.DEFAULT_NAME in meta_graph_def.signature_def
    return meta_graph_def


def _type(tensor: str) -> types_pb2.DataType.ValueType:
    """Returns the type of an input or output of a signature."""
    if tensor in ("examples", "classes"):
        return types_pb2.DT_STRING
    _, _, name = tensor.partition("_")
    return types_pb2.DataType.Value(f"DT_{name.upper() or 'FLOAT'}")
