"""Tests for callables of a session, and for its tensors."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from absl.testing import absltest, parameterized

from tensorflow_serving.tensorflow_c import session as session_lib
from tensorflow_serving.test_util import graph_builder
from tensorflow_serving.util import errors


def _session() -> session_lib.Session:
    """Returns one with y = 12 // x, and others that hand on their input."""
    graph = graph_builder.GraphBuilder()
    graph.placeholder("x", "int32", [None])
    graph.constant("twelve", np.array(12, np.int32))
    graph.node("y", "FloorDiv", ["twelve", "x"], T="int32")
    for name, dtype, shape in (
        ("text", "string", [None, 2]),
        ("any", "float32", None),
        ("scalar", "float32", []),
    ):
        graph.placeholder(name, dtype, shape)
        graph.node(f"same_{name}", "Identity", [name], T=dtype)
    graph.placeholder("handle", "resource", [])
    return graph.open_session()


class RunTest(parameterized.TestCase):
    """Tests of runs by name."""

    def setUp(self) -> None:
        """Opens a session."""
        super().setUp()
        self.session = _session()
        self.addCleanup(self.session.close)

    def test_run_returns_the_fetches_in_order(self) -> None:
        """A run returns tensors in the order of the fetched names."""
        y, x = self.session.run(["y:0", "x:0"], {"x:0": np.array([3, 4])})
        np.testing.assert_array_equal(y, [4, 3])
        np.testing.assert_array_equal(x, [3, 4])

    def test_error_of_the_graph_keeps_its_code(self) -> None:
        """A division by zero is INVALID_ARGUMENT, without a stack trace."""
        with self.assertRaisesRegex(
            errors.InvalidArgumentError, "(?i)^integer division by zero$"
        ):
            self.session.run(["y:0"], {"x:0": np.array([0])})

    @parameterized.named_parameters(
        ("fetch", ["z:0"], {"x:0": [1]}),
        ("feed", ["y:0"], {"z:0": [1]}),
        ("shape", ["y:0"], {"x:0": [[1]]}),
        ("dtype", ["y:0"], {"x:0": ["text"]}),
    )
    def test_what_does_not_fit_the_graph_is_invalid(
        self, fetches: list[str], feed_dict: dict[str, list[object]]
    ) -> None:
        """A misfit is INVALID_ARGUMENT, however TensorFlow noticed it."""
        with self.assertRaisesRegex(errors.InvalidArgumentError, "^[^\n]+$"):
            self.session.run(
                fetches, {name: np.array(x) for name, x in feed_dict.items()}
            )

    def test_closed_session_is_a_failed_precondition(self) -> None:
        """A closed session can be closed again, and does not run."""
        self.session.close()
        self.session.close()
        with self.assertRaises(errors.FailedPreconditionError):
            self.session.run(["y:0"], {"x:0": np.array([1])})


class MakeCallableTest(parameterized.TestCase):
    """A function that does what run() does, in less time."""

    def setUp(self) -> None:
        """Opens a session."""
        super().setUp()
        self.session = _session()
        self.addCleanup(self.session.close)

    def each_way(
        self, fetches: list[str], feeds: list[str]
    ) -> list[Callable[..., Sequence[npt.NDArray[Any]]]]:
        """Returns a callable, and run()."""

        def run(*values: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
            outputs: list[npt.NDArray[Any]] = self.session.run(
                fetches, dict(zip(feeds, values, strict=True))
            )
            return outputs

        return [self.session.make_callable(fetches, feeds), run]

    @parameterized.named_parameters(
        ("numbers", ["y:0"], ["x:0"], [np.array([3, 4], np.int32)], [[4, 3]]),
        (
            "same_twice",
            ["y:0", "y:0"],
            ["x:0"],
            [np.array([3], np.int32)],
            [[4], [4]],
        ),
        (
            "order",
            ["same_any:0", "y:0"],
            ["x:0", "any:0"],
            [np.array([3], np.int32), np.array([[7]], np.float32)],
            [[[7]], [4]],
        ),
        (
            "bytes",
            ["same_text:0"],
            ["text:0"],
            [np.array([[b"a\0", b"\xff"]], object)],
            [[[b"a\0", b"\xff"]]],
        ),
        (
            "text",
            ["same_text:0"],
            ["text:0"],
            [np.array([["\xe4", ""]], object)],
            [[[b"\xc3\xa4", b""]]],
        ),
        (
            "no_rows",
            ["same_text:0"],
            ["text:0"],
            [np.zeros([0, 2], object)],
            [[]],
        ),
        (
            "rows_apart",
            ["same_any:0"],
            ["any:0"],
            [np.arange(8, dtype=np.float32).reshape(2, 4)[:, ::2]],
            [[[0, 2], [4, 6]]],
        ),
        (
            "what_is_fed",
            ["x:0", "y:0"],
            ["x:0"],
            [np.array([3], np.int32)],
            [[3], [4]],
        ),
    )
    def test_callable_and_run_agree(
        self,
        fetches: list[str],
        feeds: list[str],
        values: list[npt.NDArray[Any]],
        expected: list[Any],
    ) -> None:
        """Both give the same values in the same order."""
        for function in self.each_way(fetches, feeds):
            outputs = function(*values)
            # As lists: numpy compares texts without their last zero bytes.
            self.assertEqual([each.tolist() for each in outputs], expected)

    @parameterized.parameters(
        ("scalar", np.array(7, np.float32)), ("text", np.array(b"a", object))
    )
    def test_output_without_dimensions_is_an_array(
        self, name: str, value: npt.NDArray[Any]
    ) -> None:
        """Who runs a callable need not know how many dimensions there are."""
        fetches, feeds = [f"same_{name}:0", f"{name}:0"], [f"{name}:0"]
        for output in self.session.make_callable(fetches, feeds)(value):
            np.testing.assert_array_equal(output, value, strict=True)

    def test_error_of_the_graph_keeps_its_code(self) -> None:
        """An error of the graph keeps its code, and says its cause."""
        for function in self.each_way(["y:0"], ["x:0"]):
            with self.assertRaisesRegex(
                errors.InvalidArgumentError,
                "(?i)integer .* by zero",
            ):
                function(np.array([0], np.int32))

    def test_missing_feed_is_invalid(self) -> None:
        """A missing feed is INVALID_ARGUMENT, as is one too many."""
        array = np.array([1], np.int32)
        make = self.session.make_callable
        for values in ([], [array, array]):
            with self.assertRaises(errors.InvalidArgumentError):
                make(["y:0"], ["x:0"])(*values)
        with self.assertRaises(errors.InvalidArgumentError):
            make(["y:0"], [])()

    @parameterized.parameters(
        ("z:0", "x:0"), ("y:0", "z:0"), ("y:1", "x:0"), ("y", "x:0")
    )
    def test_unknown_names_are_invalid(self, fetch: str, feed: str) -> None:
        """Unknown names and operations are INVALID_ARGUMENT at once."""
        with self.assertRaisesRegex(
            errors.InvalidArgumentError, "must fit the graph"
        ):
            self.session.make_callable([fetch], [feed])

    def test_feed_of_another_dtype_is_invalid(self) -> None:
        """A feed of another dtype is INVALID_ARGUMENT and not converted."""
        with self.assertRaisesRegex(
            errors.InvalidArgumentError, "array of int64 .* of int32"
        ):
            self.session.make_callable(["y:0"], ["x:0"])(np.array([1]))

    def test_closed_session_is_a_failed_precondition(self) -> None:
        """A closed session refuses callables made before and after."""
        before = self.session.make_callable(["y:0"], ["x:0"])
        self.session.close()
        with self.assertRaises(errors.FailedPreconditionError):
            before(np.array([1], np.int32))
        with self.assertRaises(errors.FailedPreconditionError):
            self.session.make_callable(["y:0"], ["x:0"])
        with self.assertRaises(errors.FailedPreconditionError):
            self.session.tensor_spec("x:0")


class TensorSpecTest(parameterized.TestCase):
    """Dtype and shape of a tensor."""

    def setUp(self) -> None:
        """Opens a session."""
        super().setUp()
        self.session = _session()
        self.addCleanup(self.session.close)

    @parameterized.parameters(
        ("x:0", np.int32, (None,)),
        ("text:0", object, (None, 2)),
        ("any:0", np.float32, None),
        ("scalar:0", np.float32, ()),
        ("y:0", np.int32, (None,)),
    )
    def test_spec_is_that_of_the_graph(
        self,
        name: str,
        dtype: npt.DTypeLike,
        shape: tuple[int | None, ...] | None,
    ) -> None:
        """None stands for what the graph leaves open."""
        spec = self.session.tensor_spec(name)
        self.assertEqual(
            (spec.name, spec.dtype, spec.shape), (name, np.dtype(dtype), shape)
        )

    @parameterized.parameters("z:0", "x", "x:1", "")
    def test_unknown_name_is_invalid(self, name: str) -> None:
        """Unknown names and operations are INVALID_ARGUMENT."""
        with self.assertRaises(errors.InvalidArgumentError):
            self.session.tensor_spec(name)

    def test_tensor_that_holds_no_array_is_invalid(self) -> None:
        """A handle on a variable is of no use outside."""
        with self.assertRaisesRegex(
            errors.InvalidArgumentError, "handle:0 must .* got resource"
        ):
            self.session.tensor_spec("handle:0")


if __name__ == "__main__":
    absltest.main()
