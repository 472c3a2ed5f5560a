"""Tests for warm_up, with a session that records its runs."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from absl.testing import absltest
from google.protobuf import text_format

from tensorflow_serving.servables.tensorflow import warm_up
from tensorflow_serving.session_bundle import (
    manifest_pb2,
    session_bundle,
    signature,
)
from tensorflow_serving.tensorflow_c import graph as graph_lib
from tensorflow_serving.tensorflow_c.protos import (
    attr_value_pb2,
    meta_graph_pb2,
    tensor_shape_pb2,
)
from tensorflow_serving.test_util import fake_clock, graph_builder
from tensorflow_serving.util import errors, tensor_spec

_SPECS = {
    "x:0": (np.float32, (None, 2, None)),
    "text:0": (object, None),
    "count:0": (np.int64, ()),
    "bad:0": (np.float32, None),
}


class _NotingSession:
    """Has the tensors above; does not like to be fed the bad one."""

    def __init__(
        self,
        *,
        keeps_sizes_only: bool = False,
        on_run: Callable[[], None] = lambda: None,
    ) -> None:
        self._keeps_sizes_only = keeps_sizes_only
        self._on_run = on_run
        self.runs: list[tuple[list[str], dict[str, object]]] = []

    def tensor_spec(self, name: str) -> tensor_spec.TensorSpec:
        """Returns what the table above says."""
        if name not in _SPECS:
            raise errors.InvalidArgumentError(f"no such tensor: {name}")
        dtype, shape = _SPECS[name]
        return tensor_spec.TensorSpec(name, np.dtype(dtype), shape)

    def run(
        self, fetches: Sequence[str], feed_dict: Mapping[str, npt.NDArray[Any]]
    ) -> list[npt.NDArray[Any]]:
        """Takes a note."""
        if "bad:0" in feed_dict:
            raise errors.InvalidArgumentError("zeros are bad\nvery bad")
        self._on_run()
        self.runs.append(
            (
                list(fetches),
                {
                    name: each.size if self._keeps_sizes_only else each.tolist()
                    for name, each in feed_dict.items()
                },
            )
        )
        return []

    def make_callable(
        self, fetches: Sequence[str], feed_list: Sequence[str]
    ) -> Callable[..., list[npt.NDArray[Any]]]:
        """Is not used: what runs once needs no preparation."""
        raise NotImplementedError

    def close(self) -> None:
        """Does nothing."""


def _warm_up(
    meta_graph_def: meta_graph_pb2.MetaGraphDef,
    graph: graph_lib.Graph | None = None,
) -> list[tuple[list[str], dict[str, object]]]:
    session = _NotingSession()
    warm_up.warm_up(
        session_bundle.SessionBundle(
            session, meta_graph_def, "/models/7", graph
        )
    )
    return session.runs


def _counting_graph() -> graph_builder.GraphBuilder:
    """Returns a graph in which z:0 reads a variable, and y:0 counts it up."""
    graph = graph_builder.GraphBuilder()
    for name, dtype in (("x", "float32"), ("text", "string")):
        graph.placeholder(name, dtype, None)
    graph.node(
        "v",
        "VarHandleOp",
        dtype="float32",
        shape=attr_value_pb2.AttrValue(
            shape=tensor_shape_pb2.TensorShapeProto()
        ),
    )
    graph.constant("one", np.array(1, np.float32))
    graph.node("count", "AssignAddVariableOp", ["v", "one"], dtype="float32")
    graph.node("z", "ReadVariableOp", ["v"], dtype="float32")
    graph.node("y", "AddV2", ["x", "one", "^count"], T="float32")
    return graph


def _with_signatures(text: str) -> meta_graph_pb2.MetaGraphDef:
    meta_graph_def = meta_graph_pb2.MetaGraphDef()
    signature.set_signatures(
        text_format.Parse(text, manifest_pb2.Signatures()), meta_graph_def
    )
    return meta_graph_def


def _feeding(*names: str) -> meta_graph_pb2.MetaGraphDef:
    """Returns a signature of some inputs, whose output is y:0."""
    meta_graph_def = meta_graph_pb2.MetaGraphDef()
    signature_def = meta_graph_def.signature_def["a"]
    for name in names:
        signature_def.inputs[name].name = name
    signature_def.outputs["y"].name = "y:0"
    return meta_graph_def


_X = [[[0.0], [0.0]]]


class WarmUpTest(absltest.TestCase):
    """Which runs a model is warmed up with."""

    def _runs(
        self,
        meta_graph_def: meta_graph_pb2.MetaGraphDef,
        batch_sizes: Sequence[int],
        clock: fake_clock.FakeClock | None = None,
        **options: Any,
    ) -> list[tuple[list[str], dict[str, object]]]:
        """Returns what is run for some numbers of rows."""
        session = _NotingSession(**options)
        for run in warm_up.runs(
            session_bundle.SessionBundle(session, meta_graph_def),
            batch_sizes,
            clock or fake_clock.FakeClock(),
        ):
            run()
        return session.runs

    def test_signatures_of_a_session_bundle_run_once(self) -> None:
        """Each call is warmed up once, with a row of zeros or an empty text."""
        regression = """
            regression_signature {
              input { tensor_name: "x:0" } output { tensor_name: "y:0" }
            }
            """
        meta_graph_def = _with_signatures(
            f"""
            default_signature {{ {regression} }}
            named_signatures {{ key: "a" value {{ {regression} }} }}
            named_signatures {{
              key: "b"
              value {{
                classification_signature {{
                  input {{ tensor_name: "text:0" }}
                  scores {{ tensor_name: "scores:0" }}
                }}
              }}
            }}
            """
        )
        self.assertEqual(
            _warm_up(meta_graph_def),
            [(["y:0"], {"x:0": _X}), (["scores:0"], {"text:0": [b""]})],
        )

    def test_open_number_of_rows_is_that_of_each_batch_size(self) -> None:
        """A dimension that the graph fixes, or that is no batch, stays."""
        meta_graph_def = _feeding("x:0", "count:0", "text:0")
        self.assertEqual(
            [feeds for _, feeds in self._runs(meta_graph_def, (1, 2))],
            [
                {"x:0": _X * rows, "count:0": 0, "text:0": [b""] * rows}
                for rows in (1, 1, 2)
            ],
        )

    def test_generic_inputs_and_outputs_are_one_call(self) -> None:
        """In other generic signatures, placeholders are the inputs."""
        meta_graph_def = _with_signatures(
            """
            named_signatures {
              key: "inputs"
              value { generic_signature {
                map { key: "a" value { tensor_name: "x:0" } }
                map { key: "b" value { tensor_name: "count:0" } }
              } }
            }
            named_signatures {
              key: "outputs"
              value { generic_signature {
                map { key: "c" value { tensor_name: "y:0" } }
              } }
            }
            named_signatures {
              key: "other"
              value { generic_signature {
                map { key: "d" value { tensor_name: "text:0" } }
                map { key: "e" value { tensor_name: "z:0" } }
              } }
            }
            """
        )
        graph = graph_builder.GraphBuilder()
        for name in ("x", "text", "count"):
            graph.placeholder(name, "string", None)
        for name in ("y", "z"):
            graph.node(name, "Identity", ["text"], T="string")
        with graph.open_session() as session:
            self.assertEqual(
                _warm_up(meta_graph_def, session.graph),
                [
                    (["y:0"], {"count:0": 0, "x:0": _X}),
                    (["z:0"], {"text:0": [b""]}),
                ],
            )

    def test_signature_with_an_effect_is_not_run(self) -> None:
        """Nobody asked for the effect; signatures that only read are run."""
        meta_graph_def = text_format.Parse(
            """
            signature_def { key: "read" value {
              inputs { key: "a" value { name: "x:0" } }
              outputs { key: "b" value { name: "z:0" } }
            } }
            signature_def { key: "train" value {
              inputs { key: "a" value { name: "x:0" } }
              outputs { key: "b" value { name: "y:0" } }
            } }
            """,
            meta_graph_pb2.MetaGraphDef(),
        )
        with (
            _counting_graph().open_session() as session,
            self.assertLogs(level="INFO") as log,
        ):
            runs = _warm_up(meta_graph_def, session.graph)
        self.assertEqual(runs, [(["z:0"], {"x:0": _X})])
        self.assertRegex(
            log.output[0], "signature train: .* by its AssignAddVariableOp"
        )

    def test_effect_on_a_variable_of_tensorflow_1_is_one(self) -> None:
        """Operations that change such a variable do not say so themselves."""
        graph = graph_builder.GraphBuilder()
        graph.placeholder("x", "float32", None)
        graph.node(
            "v",
            "VariableV2",
            dtype="float32",
            shape=attr_value_pb2.AttrValue(
                shape=tensor_shape_pb2.TensorShapeProto()
            ),
        )
        graph.node("read", "Identity", ["v"], T="float32")
        graph.node("z", "AddV2", ["x", "read"], T="float32")
        graph.node("count", "AssignAdd", ["v", "x"], T="float32")
        graph.node("y", "Identity", ["count"], T="float32")
        meta_graph_def = text_format.Parse(
            "\n".join(
                f"""
                signature_def {{ key: "{name}" value {{
                  inputs {{ key: "a" value {{ name: "x:0" }} }}
                  outputs {{ key: "b" value {{ name: "{name}:0" }} }}
                }} }}
                """
                for name in ("y", "z")
            ),
            meta_graph_pb2.MetaGraphDef(),
        )
        with graph.open_session() as session:
            runs = _warm_up(meta_graph_def, session.graph)
        self.assertEqual(runs, [(["z:0"], {"x:0": _X})])

    def test_signatures_of_a_saved_model_run(self) -> None:
        """All signatures run but the one of the init op."""
        meta_graph_def = text_format.Parse(
            """
            signature_def {
              key: "serving_default"
              value {
                inputs { key: "a" value { name: "x:0" } }
                outputs { key: "b" value { name: "y:0" } }
                outputs { key: "c" value { name: "z:0" } }
              }
            }
            signature_def {
              key: "__saved_model_init_op"
              value {
                outputs { key: "__saved_model_init_op" value { name: "NoOp" } }
              }
            }
            """,
            meta_graph_pb2.MetaGraphDef(),
        )
        self.assertEqual(
            _warm_up(meta_graph_def), [(["y:0", "z:0"], {"x:0": _X})]
        )

    def test_rows_that_the_graph_fixes_are_run_once(self) -> None:
        """Another batch size would be the same run again."""
        meta_graph_def = _feeding("count:0")
        self.assertEqual(
            self._runs(meta_graph_def, (1, 2)),
            [(["y:0"], {"count:0": 0})] * 2,
        )

    def test_large_inputs_are_left_out(self) -> None:
        """A warm-up does not need gigabytes, but the first size is run."""
        meta_graph_def = _feeding("x:0")
        for sizes, expected in (
            ((1, 4_194_304), [1, 1, 4_194_304]),
            ((1, 4_194_305), [1, 1]),
            ((4_194_305,), [4_194_305]),
        ):
            runs = self._runs(meta_graph_def, sizes, keeps_sizes_only=True)
            self.assertEqual(
                [feeds for _, feeds in runs],
                [{"x:0": 2 * size} for size in expected],
            )

    def test_long_runs_are_left_out(self) -> None:
        """A model for which many rows take long hardly gains from them."""
        meta_graph_def = _feeding("x:0")
        for micros, num_runs in ((9_000, 3), (11_000, 2)):
            clock = fake_clock.FakeClock()
            runs = self._runs(
                meta_graph_def,
                (2, 200),
                clock,
                on_run=functools.partial(clock.advance_micros, micros),
            )
            self.assertEqual(len(runs), num_runs)

    def test_failing_run_is_logged(self) -> None:
        """It names version and signature; the other signatures run."""
        named = "\n".join(
            f"""
            named_signatures {{
              key: "{name}"
              value {{
                regression_signature {{
                  input {{ tensor_name: "{feed}" }}
                  output {{ tensor_name: "y:0" }}
                }}
              }}
            }}
            """
            for name, feed in (
                ("first", "bad:0"),
                ("second", "unknown:0"),
                ("third", "count:0"),
            )
        )
        with (
            self.assertNoLogs(level="WARNING"),
            self.assertLogs(level="INFO") as log,
        ):
            runs = _warm_up(_with_signatures(named))
        self.assertEqual(runs, [(["y:0"], {"count:0": 0})])
        self.assertEqual(len(log.output), 2)
        self.assertRegex(
            log.output[0], "signature first of /models/7 .*: zeros are bad$"
        )
        self.assertIn("signature second of /models/7", log.output[1])

    def test_model_without_signature_is_a_warning(self) -> None:
        """A model without a signature runs nothing and is warned of."""
        with self.assertLogs(level="WARNING") as log:
            self.assertEqual(_warm_up(meta_graph_pb2.MetaGraphDef()), [])
        self.assertIn("/models/7 has no signature", log.output[0])

    def test_signatures_of_another_type_are_a_warning(self) -> None:
        """The collection holds none, or too many."""
        meta_graph_def = _with_signatures("")
        values = meta_graph_def.collection_def["serving_signatures"].any_list
        values.value.append(values.value[0])
        with self.assertLogs(level="WARNING") as log:
            self.assertEqual(_warm_up(meta_graph_def), [])
        self.assertIn("Expected exactly one signatures proto", log.output[0])


if __name__ == "__main__":
    absltest.main()
