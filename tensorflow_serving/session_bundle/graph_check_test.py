"""Tests for graph_check."""

import numpy as np
from absl.testing import absltest, parameterized

from tensorflow_serving.session_bundle import graph_check
from tensorflow_serving.tensorflow_c import graph as graph_lib
from tensorflow_serving.tensorflow_c import session, wire_format
from tensorflow_serving.tensorflow_c.protos import (
    attr_value_pb2,
    config_pb2,
    rewriter_config_pb2,
    tensor_shape_pb2,
    types_pb2,
)
from tensorflow_serving.test_util import graph_builder
from tensorflow_serving.util import errors

_Options = rewriter_config_pb2.RewriterConfig
_SCALAR = attr_value_pb2.AttrValue(shape=tensor_shape_pb2.TensorShapeProto())


def _plain() -> graph_builder.GraphBuilder:
    builder = graph_builder.GraphBuilder()
    builder.constant("yes", np.array(True))
    builder.constant("y", np.array(1, np.float32))
    return builder


def _with_reference() -> graph_builder.GraphBuilder:
    """Returns a graph with a variable of the kind that 2016 had."""
    builder = _plain()
    builder.node("v", "VariableV2", dtype="float32", shape=_SCALAR)
    return builder


def _with_switch() -> graph_builder.GraphBuilder:
    """Returns a graph with the control flow of TensorFlow 1."""
    builder = _plain()
    builder.node("branch", "Switch", ["y", "yes"], T="float32")
    return builder


def _with_switch_in_function() -> graph_builder.GraphBuilder:
    builder = _plain()
    function = builder.graph_def.library.function.add()
    function.signature.name = "f"
    for name in ("data", "pred"):
        function.signature.input_arg.add(
            name=name,
            type=types_pb2.DT_FLOAT if name == "data" else types_pb2.DT_BOOL,
        )
    node = function.node_def.add(
        name="branch", op="Switch", input=["data", "pred"]
    )
    node.attr["T"].type = types_pb2.DT_FLOAT
    return builder


def _with_function(op: str) -> graph_builder.GraphBuilder:
    """Returns a graph with a function that has an operation of a type."""
    builder = _plain()
    function = builder.graph_def.library.function.add()
    function.signature.name = "f"
    function.node_def.add(name="in_function", op=op)
    return builder


def _config(executor_type: str) -> config_pb2.ConfigProto:
    return config_pb2.ConfigProto(
        experimental=config_pb2.ConfigProto.Experimental(
            executor_type=executor_type
        )
    )


class GraphCheckTest(parameterized.TestCase):
    """Whether a graph can be served, and by which executor."""

    def _graph(self, builder: graph_builder.GraphBuilder) -> graph_lib.Graph:
        graph = graph_lib.Graph()
        self.addCleanup(graph.close)
        graph.import_graph_def(
            wire_format.Message.whole(builder.graph_def.SerializeToString())
        )
        return graph

    @parameterized.named_parameters(
        ("plain", _plain(), "SINGLE_THREADED_EXECUTOR"),
        ("reference", _with_reference(), ""),
        ("switch", _with_switch(), ""),
        ("switch_in_function", _with_switch_in_function(), ""),
    )
    def test_graph_gets_an_executor_that_runs_it(
        self, builder: graph_builder.GraphBuilder, expected: str
    ) -> None:
        """A graph gets the single-threaded executor if it wants and can."""
        graph = self._graph(builder)
        config = _config("SINGLE_THREADED_EXECUTOR")
        fitting = graph_check.fitting_config(graph, config)
        self.assertEqual(fitting.experimental.executor_type, expected)
        with session.Session(graph, fitting) as opened:
            self.assertEqual(opened.run("y:0"), 1)

    def test_executor_is_not_chosen_for_who_did_not_ask(self) -> None:
        """The rest of the configuration is kept, and not changed."""
        config = config_pb2.ConfigProto(allow_soft_placement=True)
        fitting = graph_check.fitting_config(self._graph(_plain()), config)
        self.assertEqual(fitting.experimental.executor_type, "")
        self.assertTrue(fitting.allow_soft_placement)
        self.assertFalse(config.HasField("experimental"))

    @parameterized.parameters(
        ("Identity", True, _Options.NO_MEM_OPT),
        ("StatelessIf", False, _Options.NO_MEM_OPT),
        ("AddN", True, _Options.DEFAULT_MEM_OPT),
    )
    def test_optimizers_run_where_they_find_something(
        self, op: str, is_without_tfg: bool, memory_optimization: int
    ) -> None:
        """They take long, and most graphs have nothing for them."""
        builder = _with_function(op)
        options = graph_check.fitting_config(
            self._graph(builder), config_pb2.ConfigProto()
        ).graph_options.rewrite_options
        self.assertEqual(options.disable_tfg_optimizer, is_without_tfg)
        self.assertEqual(options.memory_optimization, memory_optimization)

    def test_memory_is_optimized_as_the_configuration_says(self) -> None:
        """Whoever asks for an optimizer gets it."""
        config = config_pb2.ConfigProto()
        config.graph_options.rewrite_options.memory_optimization = (
            _Options.SWAPPING_HEURISTICS
        )
        fitting = graph_check.fitting_config(self._graph(_plain()), config)
        self.assertEqual(
            fitting.graph_options.rewrite_options.memory_optimization,
            _Options.SWAPPING_HEURISTICS,
        )

    @parameterized.parameters("PyFunc", "PyFuncStateless", "EagerPyFunc")
    def test_graph_that_calls_python_is_refused(self, op: str) -> None:
        """The function belongs to the program that made the export."""
        builder = _plain()
        builder.node(
            "python",
            op,
            ["y"],
            token=attr_value_pb2.AttrValue(s=b"pyfunc_0"),
            Tin=attr_value_pb2.AttrValue(
                list=attr_value_pb2.AttrValue.ListValue(
                    type=[types_pb2.DT_FLOAT]
                )
            ),
            Tout=attr_value_pb2.AttrValue(
                list=attr_value_pb2.AttrValue.ListValue(
                    type=[types_pb2.DT_FLOAT]
                )
            ),
        )
        with self.assertRaisesRegex(
            errors.FailedPreconditionError, f"must not call Python.*; got {op}$"
        ):
            graph_check.require_no_python(self._graph(builder))

    def test_graph_without_python_passes(self) -> None:
        """A graph without Python functions is served."""
        graph_check.require_no_python(self._graph(_with_reference()))


if __name__ == "__main__":
    absltest.main()
