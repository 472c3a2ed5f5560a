"""A small model for tests of what the model server does with models.

Its signatures, on tensors x: float32 [n] and examples: string [n]:

    serving_default  predict: x -> y = x / 2 + 2, z = 2 x
    classify         examples -> classes [n, 1], the examples; scores [n, 1],
                     their lengths
    labels, scores   the same with one of the two outputs
    regress          examples -> outputs [n], their lengths
    regress_column   the same with outputs [n, 1]
    defaults         predict: x, and a bias of 1 by default -> sum
    broken_classify  scores [n], without classes
    broken_regress   outputs [n, 1, 1]
"""

from collections.abc import Mapping

import numpy as np

from tensorflow_serving.servables.tensorflow import (
    batch_threads,
    inference,
    served_model,
    serving_session,
    session_bundle_config_pb2,
    signature_defs,
)
from tensorflow_serving.session_bundle import session as session_lib
from tensorflow_serving.session_bundle import session_bundle
from tensorflow_serving.tensorflow_c.protos import (
    meta_graph_pb2,
    tensor_pb2,
    types_pb2,
)
from tensorflow_serving.test_util import graph_builder

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
}


class SmallModel:
    """A version of the model, with its own threads; close() ends both."""

    def __init__(self) -> None:
        """Makes version 7 of the model "small", without batching."""
        opened = _builder().open_session()
        bundle: session_bundle.SessionBundle[session_lib.Session] = (
            session_bundle.SessionBundle(
                serving_session.ServingSession(opened),
                _meta_graph_def(),
                "/models/small/7",
                opened.graph,
            )
        )
        self._threads = batch_threads.BatchThreads(
            session_bundle_config_pb2.BatchingParameters()
        )
        self.model = served_model.ServedModel(bundle, self._threads)
        self.version = inference.Version("small", 7, self.model)

    def close(self) -> None:
        """Frees the model and ends the threads."""
        self.model.close()
        self._threads.close()


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
                info.name = f"{tensor}:0"
                info.dtype = (
                    types_pb2.DT_STRING
                    if tensor in ("examples", "classes")
                    else types_pb2.DT_FLOAT
                )
                info.tensor_shape.unknown_rank = True
    bias = meta_graph_def.signature_def["defaults"].defaults["bias"]
    bias.CopyFrom(
        tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT, float_val=[1.0])
    )
    bias.tensor_shape.dim.add(size=1)
    assert signature_defs.DEFAULT_NAME in meta_graph_def.signature_def
    return meta_graph_def
