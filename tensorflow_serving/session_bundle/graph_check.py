"""Checks whether a graph can be served; chooses executor and optimizers."""

from typing import Final

from absl import logging

from tensorflow_serving.tensorflow_c import graph as graph_lib
from tensorflow_serving.tensorflow_c.protos import (
    config_pb2,
    rewriter_config_pb2,
)
from tensorflow_serving.util import errors

_SINGLE_THREADED: Final = "SINGLE_THREADED_EXECUTOR"

# They call back into the program that built the graph.
_PYTHON_OPS: Final = {"EagerPyFunc", "PyFunc", "PyFuncStateless"}

# That executor does not run these, nor references to variables.
_OPS_OF_DEFAULT_EXECUTOR: Final = {
    "CollectiveBcastRecv",
    "CollectiveBcastRecvV2",
    "CollectiveBcastSend",
    "CollectiveBcastSendV2",
    "CollectiveGather",
    "CollectiveGatherV2",
    "CollectiveReduce",
    "CollectiveReduceV2",
    "CollectiveReduceV3",
    "Enter",
    "Exit",
    "Merge",
    "NextIteration",
    "RefEnter",
    "RefExit",
    "RefMerge",
    "RefNextIteration",
    "RefSwitch",
    "Switch",
    "_SwitchN",
}

# Whose branches and bodies are functions.
_CONTROL_FLOW: Final = {
    "Case",
    "For",
    "If",
    "StatelessCase",
    "StatelessIf",
    "StatelessWhile",
    "While",
}

# Sums that can be made piece by piece, and assignments that can do without a
# copy.
_SAVES_MEMORY: Final = {"AccumulateNV2", "AddN", "Assign"}


def require_no_python(graph: graph_lib.Graph) -> None:
    """Checks that a graph does not call functions of a Python program.

    Raises:
      FailedPreconditionError: It does. Permanent.
    """
    found = sorted(graph.content.ops & _PYTHON_OPS)
    if found:
        raise errors.FailedPreconditionError(
            "Graph must not call Python, which is not part of an export (use "
            "operations of TensorFlow instead of tf.py_function, "
            f"tf.numpy_function and tf.py_func); got {', '.join(found)}"
        )


def fitting_config(
    graph: graph_lib.Graph, config: config_pb2.ConfigProto
) -> config_pb2.ConfigProto:
    """Returns a configuration that a graph can be run with.

    The single-threaded executor, which is the fastest for small graphs, does
    not run references to variables and the control flow of TensorFlow 1. A
    graph that has one of them, be it in a function, gets the default executor.

    Optimizers that would find nothing to do in the graph are switched off: they
    take a third of the time that TensorFlow needs to prepare a run.

    Args:
      graph: What is to be run.
      config: What was asked for.
    """
    fitting = config_pb2.ConfigProto()
    fitting.CopyFrom(config)
    experimental = fitting.experimental
    # Copies of each part of the graph that was run, which nobody asks for.
    experimental.disable_output_partition_graphs = True
    if experimental.executor_type == _SINGLE_THREADED:
        found = sorted(_needs_default_executor(graph))
        if found:
            logging.info(
                "Running a graph with the default executor because of its %s",
                ", ".join(found),
            )
            experimental.executor_type = ""
    _spare_optimizers(graph, fitting.graph_options.rewrite_options)
    return fitting


def _spare_optimizers(
    graph: graph_lib.Graph, options: rewriter_config_pb2.RewriterConfig
) -> None:
    """Switches optimizers off that look for what a graph does not have."""
    ops = graph.content.ops
    if not ops & _CONTROL_FLOW:
        # Moves operations into the branches that need them.
        options.disable_tfg_optimizer = True
    if (
        not ops & _SAVES_MEMORY
        and options.memory_optimization == options.DEFAULT_MEM_OPT
    ):
        options.memory_optimization = options.NO_MEM_OPT


def _needs_default_executor(graph: graph_lib.Graph) -> set[str]:
    """Returns the types of operations that do."""
    ops = graph.content.ops - graph.content.functions.keys()
    return {
        op
        for op in ops
        if op in _OPS_OF_DEFAULT_EXECUTOR
        or graph.op_definition(op).has_reference
    }
