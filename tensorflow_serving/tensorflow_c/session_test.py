"""Tests for session."""

import concurrent.futures
import threading
from typing import Any

import numpy as np
from absl.testing import absltest, parameterized

from tensorflow_serving.tensorflow_c import session as session_lib
from tensorflow_serving.tensorflow_c import tensor
from tensorflow_serving.tensorflow_c.protos import (
    attr_value_pb2,
    config_pb2,
    tensor_shape_pb2,
    types_pb2,
)
from tensorflow_serving.test_util import graph_builder
from tensorflow_serving.util import errors

_ANY_TYPES = attr_value_pb2.AttrValue(
    list=attr_value_pb2.AttrValue.ListValue(type=[types_pb2.DT_FLOAT])
)


def _builder() -> graph_builder.GraphBuilder:
    """Returns a graph with y = 2 x, a variable, and a queue."""
    graph = graph_builder.GraphBuilder()
    graph.placeholder("x", "float32", [None, 2])
    graph.constant("two", np.array(2, np.float32))
    graph.node("y", "Mul", ["x", "two"], T="float32")
    graph.placeholder("text", "string", None)
    graph.node("same_text", "Identity", ["text"], T="string")
    graph.node(
        "v",
        "VarHandleOp",
        dtype="float32",
        shape=attr_value_pb2.AttrValue(
            shape=tensor_shape_pb2.TensorShapeProto(unknown_rank=True)
        ),
    )
    graph.node("keep", "AssignVariableOp", ["v", "x"], dtype="float32")
    graph.node("kept", "ReadVariableOp", ["v"], dtype="float32")
    graph.node("queue", "FIFOQueueV2", component_types=_ANY_TYPES)
    graph.node(
        "put", "QueueEnqueueV2", ["queue", "two"], Tcomponents=_ANY_TYPES
    )
    graph.node("taken", "QueueDequeueV2", ["queue"], component_types=_ANY_TYPES)
    return graph


class SessionTest(parameterized.TestCase):
    """Runs a graph."""

    def setUp(self) -> None:
        """Opens a session."""
        super().setUp()
        self.session = _builder().open_session()
        self.addCleanup(self.session.close)

    def test_one_fetch_gives_one_value(self) -> None:
        """A list of fetches gives a list."""
        feeds = {"x:0": [[1.0, 2.0]]}
        np.testing.assert_array_equal(self.session.run("y:0", feeds), [[2, 4]])
        (y,) = self.session.run(["y:0"], feeds)
        np.testing.assert_array_equal(y, [[2, 4]])
        self.assertEqual(self.session.run([]), [])

    def test_values_are_in_the_order_of_the_fetches(self) -> None:
        """A feed and a double keep their place; an operation is None."""
        x = np.array([[1, 2]], np.float32)
        values = self.session.run(
            ["y:0", "keep", "x:0", "two:0", "y:0"], {"x:0": x}
        )
        self.assertIsNone(values.pop(1))
        for value, expected in zip(values, (2 * x, x, 2, 2 * x), strict=True):
            np.testing.assert_array_equal(value, expected)

    @parameterized.parameters("abc", b"abc", np.bytes_(b"abc"))
    def test_text_is_fed_as_it_is(self, text: str | bytes) -> None:
        """A tensor without dimensions comes back as bytes."""
        self.assertEqual(
            self.session.run("same_text:0", {"text:0": text}), b"abc"
        )

    @parameterized.parameters(
        ("x:0", [1.0]),
        ("x:0", [[1.0]]),
        ("x:0", "a"),
        ("text:0", [[1], [2, 3]]),
    )
    def test_value_that_does_not_fit_is_invalid(
        self, name: str, value: Any
    ) -> None:
        """A value that does not fit is INVALID_ARGUMENT."""
        with self.assertRaisesRegex(
            errors.InvalidArgumentError, "must fit the graph; got"
        ):
            self.session.run("y:0", {name: value})

    def test_error_of_the_graph_has_its_code(self) -> None:
        """A missing feed is INVALID_ARGUMENT, an unset variable is not."""
        with self.assertRaisesRegex(
            errors.InvalidArgumentError, "feed a value"
        ):
            self.session.run("y:0")
        with self.assertRaisesRegex(errors.ServingError, "uninitialized|find"):
            self.session.run("kept:0")

    def test_variable_keeps_what_it_was_fed(self) -> None:
        """A variable keeps its value, whatever becomes of the array."""
        for size in (1, 200_000):
            x = np.arange(2 * size, dtype=np.float32).reshape(size, 2)
            expected = x.copy()
            self.session.make_callable(["y:0"], ["x:0"])(x)
            self.session.run(["keep"], {"x:0": x})
            del x
            np.testing.assert_array_equal(self.session.run("kept:0"), expected)

    def test_array_that_was_fetched_is_the_callers(self) -> None:
        """To change it changes neither a constant nor a variable."""
        for size in (1, 200_000):
            x = np.ones([size, 2], np.float32)
            self.session.run(["keep"], {"x:0": x})
            for name in ("two:0", "kept:0"):
                before = self.session.run(name)
                if before.ndim:
                    before[:] = 7
                np.testing.assert_array_equal(
                    self.session.run(name), 2 if name == "two:0" else x
                )

    def test_memory_that_is_lent_comes_back(self) -> None:
        """Lent memory comes back when the session is closed, or before."""
        x = np.ones([200_000, 2], np.float32)
        self.session.run(["keep"], {"x:0": x})
        self.session.run("y:0", {"x:0": x})
        self.session.close()
        self.assertEqual(tensor.num_lent_arrays(), 0)

    def test_devices_are_listed(self) -> None:
        """The devices include the processor."""
        types = {device.type for device in self.session.devices()}
        self.assertIn("CPU", types)

    def test_config_is_used(self) -> None:
        """The number of devices for the processor can be configured."""
        config = config_pb2.ConfigProto(device_count={"CPU": 3})
        with _builder().open_session(config) as session:
            self.assertEqual(len(session.devices()), 3)

    def test_sessions_do_not_share_variables(self) -> None:
        """Each has its own, of the same name."""
        self.session.run(["keep"], {"x:0": [[1.0, 2.0]]})
        with _builder().open_session() as other:
            other.run(["keep"], {"x:0": [[3.0, 4.0]]})
        np.testing.assert_array_equal(self.session.run("kept:0"), [[1, 2]])


class CloseTest(absltest.TestCase):
    """The end of a session."""

    def test_closed_session_does_not_run(self) -> None:
        """A closed session is a FAILED_PRECONDITION that says so itself."""
        session = _builder().open_session()
        function = session.make_callable(["y:0"], ["x:0"])
        session.close()
        session.close()
        x = np.ones([1, 2], np.float32)
        for call in (
            lambda: session.run("y:0", {"x:0": x}),
            lambda: session.make_callable(["y:0"], ["x:0"]),
            lambda: session.tensor_spec("x:0"),
            session.devices,
            lambda: function(x),
        ):
            with self.assertRaises(errors.FailedPreconditionError):
                call()
        self.assertEqual(repr(session), "<Session closed, 0 runs>")

    def test_close_waits_for_a_run(self) -> None:
        """The run gets its answer; new ones are refused."""
        session = _builder().open_session()
        started = threading.Event()

        def take() -> float:
            started.set()
            return float(session.run("taken:0"))

        with concurrent.futures.ThreadPoolExecutor(2) as threads:
            run = threads.submit(take)
            started.wait()
            session.run(["put"])
            closed = threads.submit(session.close)
            self.assertEqual(run.result(), 2)
            closed.result()

    def test_close_cancels_a_run_that_does_not_end(self) -> None:
        """It does so after a grace period, and the run fails."""
        graph = _builder().open_session().graph
        session = session_lib.Session(graph, close_grace_seconds=0.01)
        started = threading.Event()

        def take() -> None:
            started.set()
            session.run("taken:0")

        with concurrent.futures.ThreadPoolExecutor(1) as threads:
            run = threads.submit(take)
            started.wait()
            session.close()
            self.assertIsInstance(
                run.exception(),
                errors.CancelledError | errors.FailedPreconditionError,
            )


if __name__ == "__main__":
    absltest.main()
