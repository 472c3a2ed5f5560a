"""Tests for variable_check."""

import numpy as np
from absl.testing import absltest, parameterized

from tensorflow_serving.session_bundle import signature_runs, variable_check
from tensorflow_serving.tensorflow_c import graph as graph_lib
from tensorflow_serving.tensorflow_c import session, wire_format
from tensorflow_serving.tensorflow_c.protos import (
    attr_value_pb2,
    tensor_shape_pb2,
)
from tensorflow_serving.test_util import graph_builder
from tensorflow_serving.util import errors

_SCALAR = attr_value_pb2.AttrValue(shape=tensor_shape_pb2.TensorShapeProto())
_READ = signature_runs.SignatureRun("read", ("y:0",), ("x:0",))


def _builder(kind: str) -> graph_builder.GraphBuilder:
    """Returns y = x + v, with a variable v that "set" sets to 2."""
    builder = graph_builder.GraphBuilder()
    builder.placeholder("x", "float32", [])
    builder.constant("two", np.array(2, np.float32))
    shared_name = attr_value_pb2.AttrValue(s=b"v")
    builder.node(
        "v", kind, dtype="float32", shape=_SCALAR, shared_name=shared_name
    )
    if kind == "VarHandleOp":
        builder.node("value", "ReadVariableOp", ["v"], dtype="float32")
        builder.node("set", "AssignVariableOp", ["v", "two"], dtype="float32")
    else:
        builder.node("value", "Identity", ["v"], T="float32")
        builder.node("set", "Assign", ["v", "two"], T="float32")
    builder.node("y", "AddV2", ["x", "value"], T="float32")
    return builder


def _graph(builder: graph_builder.GraphBuilder) -> graph_lib.Graph:
    graph = graph_lib.Graph()
    graph.import_graph_def(
        wire_format.Message.whole(builder.graph_def.SerializeToString())
    )
    return graph


class VariableCheckTest(parameterized.TestCase):
    """Tests of graphs that were loaded without a checkpoint."""

    @parameterized.parameters("VarHandleOp", "VariableV2", "Variable")
    def test_variable_that_is_read_must_be_set(self, kind: str) -> None:
        """A model that would fail every call fails its load instead."""
        graph = _graph(_builder(kind))
        check = variable_check.VariableCheck(graph, [_READ])
        with session.Session(graph) as opened:
            with self.assertRaisesRegex(
                errors.FailedPreconditionError, "1 that are not, such as v "
            ):
                check.require_set(opened, None)
            opened.run(["set"])
            check.require_set(opened, None)
            self.assertEqual(opened.run(["y:0"], {"x:0": np.float32(1)}), [3])

    @parameterized.parameters("VarHandleOp", "VariableV2")
    def test_run_of_the_last_operation_shows_what_it_sets(
        self, kind: str
    ) -> None:
        """Variables are looked at after it, in one run with it."""
        builder = _builder(kind)
        builder.node("before", "NoOp")
        graph = _graph(builder)
        check = variable_check.VariableCheck(graph, [_READ], "set")
        with session.Session(graph) as opened:
            check.run(opened, "before", {})
            check.run(opened, "set", {})
            check.require_set(opened, None)

    def test_last_operation_that_sets_nothing_is_found(self) -> None:
        """A run that does not fail sets no variable for that reason."""
        builder = _builder("VarHandleOp")
        builder.node("last", "NoOp")
        graph = _graph(builder)
        check = variable_check.VariableCheck(graph, [_READ], "last")
        with session.Session(graph) as opened:
            check.run(opened, "last", {})
            with self.assertRaisesRegex(
                errors.FailedPreconditionError, "1 that are not, such as v "
            ):
                check.require_set(opened, None)

    @parameterized.named_parameters(
        ("not_read", signature_runs.SignatureRun("", ("two:0",), ())),
        ("fed", signature_runs.SignatureRun("", ("y:0",), ("value:0", "x:0"))),
        ("set_first", signature_runs.SignatureRun("", ("set", "y:0"), ())),
        ("unknown", signature_runs.SignatureRun("", ("lost:0",), ())),
    )
    def test_variable_that_no_signature_reads_may_be_unset(
        self, run: signature_runs.SignatureRun
    ) -> None:
        """Training leaves variables behind that serving does without."""
        graph = _graph(_builder("VarHandleOp"))
        check = variable_check.VariableCheck(graph, [run])
        with session.Session(graph) as opened:
            check.require_set(opened, None)

    def test_checkpoint_that_is_missing_is_the_cause(self) -> None:
        """The text says why the checkpoint was of no help."""
        graph = _graph(_builder("VarHandleOp"))
        check = variable_check.VariableCheck(graph, [_READ])
        prefix = self.create_tempdir().full_path + "/variables"
        with (
            session.Session(graph) as opened,
            self.assertRaisesRegex(errors.FailedPreconditionError, "variables"),
        ):
            check.require_set(opened, prefix)


if __name__ == "__main__":
    absltest.main()
