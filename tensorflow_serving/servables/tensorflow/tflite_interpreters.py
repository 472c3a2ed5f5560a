"""Interpreters of one TFLite model, each of which runs one call at a time."""

import contextlib
import re
import threading
from collections.abc import Iterator, Sequence
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from tensorflow_serving.util import errors

# The most that is shown of a text of LiteRT, which may hold several.
_MAX_TEXT: Final = 500
_FAILED_NODE: Final = re.compile(r"Node number (\d+ \(\w+\)) failed")

Array = npt.NDArray[Any]


class _Native(Protocol):
    """The part of LiteRT's own interpreter that is used here.

    Of its Python classes, one reaches but the first graph of a model, the other
    but graphs with a signature.
    """

    def ResizeInputTensor(  # noqa: N802
        self, index: int, shape: npt.NDArray[np.int32], strict: bool, graph: int
    ) -> None:
        """Gives an input a shape."""

    def AllocateTensors(self, graph: int) -> None:  # noqa: N802
        """Makes room for all tensors of a graph."""

    def SetTensor(self, index: int, value: Array, graph: int) -> None:  # noqa: N802
        """Copies a value to an input."""

    def Invoke(self, graph: int) -> None:  # noqa: N802
        """Runs a graph, without the lock of Python's interpreter."""

    def GetTensor(self, index: int, graph: int) -> Array:  # noqa: N802
        """Returns a copy of a tensor."""

    def TensorSize(self, index: int, graph: int) -> npt.NDArray[np.int32]:  # noqa: N802
        """Returns the shape of a tensor."""

    def TensorType(self, index: int, graph: int) -> type[Any]:  # noqa: N802
        """Returns the type of the elements of a tensor."""

    def ResetVariableTensors(self) -> None:  # noqa: N802
        """Clears what a run leaves for the next one."""


class Interpreters:
    """A pool of interpreters.

    Each has weights of its own in the form that suits its processor; the
    content of the file is shared. A call waits until one is idle.

    Thread-safe.
    """

    def __init__(
        self, content: bytes, count: int, *, has_variables: bool
    ) -> None:
        """Makes the interpreters.

        Args:
          content: The whole content of a model.tflite.
          count: How many.
          has_variables: Whether the model has tensors that keep their values
            between runs. They are cleared, so that no call depends on others.

        Raises:
          FailedPreconditionError: LiteRT cannot interpret the model. Permanent.
        """
        self._count: Final = count
        # Notified when an interpreter becomes idle, and by close().
        self._changed = threading.Condition()
        # Both guarded by _changed. The one that ran last comes last: it is
        # taken first, as it may have the right shapes already.
        self._idle = [
            _Interpreter(content, has_variables) for _ in range(count)
        ]
        self._is_closed = False

    def prepare(self, graph: int) -> None:
        """Makes room for the tensors of a graph, with the shapes that it has.

        Call it before any run(): an interpreter that runs is passed over.

        Raises:
          FailedPreconditionError: An operator is unknown or cannot be prepared.
            Permanent.
        """
        with self._changed:
            for interpreter in self._idle:
                interpreter.prepare(graph)

    def run(
        self,
        graph: int,
        inputs: Sequence[tuple[int, Array]],
        outputs: Sequence[int],
    ) -> list[Array]:
        """Runs a graph; returns the values of tensors.

        Args:
          graph: The index of a graph.
          inputs: The index and the value of each of its inputs.
          outputs: The indices of tensors.

        Raises:
          InvalidArgumentError: The model cannot be resized to the inputs, or
            fails on their values. Permanent.
          ResourceExhaustedError: There is not enough memory. Transient.
          FailedPreconditionError: The pool is closed. Permanent.
        """
        with self._one() as interpreter:
            return interpreter.run(graph, inputs, outputs)

    def close(self) -> None:
        """Frees the interpreters, once none of them runs. Idempotent."""
        with self._changed:
            if self._is_closed:
                return
            self._is_closed = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: len(self._idle) == self._count)
            self._idle.clear()

    @contextlib.contextmanager
    def _one(self) -> Iterator["_Interpreter"]:
        """Takes an interpreter out of the pool, and puts it back."""
        with self._changed:
            self._changed.wait_for(lambda: self._idle or self._is_closed)
            if self._is_closed:
                raise errors.FailedPreconditionError("The session is closed.")
            interpreter = self._idle.pop()
        try:
            yield interpreter
        finally:
            with self._changed:
                self._idle.append(interpreter)
                self._changed.notify()


class _Interpreter:
    """One interpreter."""

    def __init__(self, content: bytes, has_variables: bool) -> None:
        self._has_variables: Final = has_variables
        # Only a process that serves such a model has it.
        from ai_edge_litert import interpreter

        with _load_errors_converted():
            # Also keeps the content, of which it has no copy.
            self._owner = interpreter.Interpreter(model_content=content)
        self._native: _Native = self._owner._interpreter
        # The shapes of the inputs, for each graph that is ready to run.
        self._shapes: dict[int, list[tuple[int, ...]]] = {}

    def prepare(self, graph: int) -> None:
        with _load_errors_converted():
            self._native.AllocateTensors(graph)

    def run(
        self,
        graph: int,
        inputs: Sequence[tuple[int, Array]],
        outputs: Sequence[int],
    ) -> list[Array]:
        with _run_errors_converted():
            self._resize(graph, inputs)
            if self._has_variables:
                self._native.ResetVariableTensors()
            for index, array in inputs:
                self._native.SetTensor(index, array, graph)
            self._native.Invoke(graph)
            return [self._output(index, graph) for index in outputs]

    def _resize(self, graph: int, inputs: Sequence[tuple[int, Array]]) -> None:
        shapes = [array.shape for _, array in inputs]
        if self._shapes.get(graph) == shapes:
            return
        self._shapes.pop(graph, None)
        for index, array in inputs:
            self._native.ResizeInputTensor(
                index, np.array(array.shape, np.int32), False, graph
            )
        self._native.AllocateTensors(graph)
        self._shapes[graph] = shapes

    def _output(self, index: int, graph: int) -> Array:
        try:
            return self._native.GetTensor(index, graph)
        except ValueError:
            # LiteRT refuses to copy a tensor without elements.
            shape = self._native.TensorSize(index, graph)
            if shape.all():
                raise
            return np.empty(shape, self._native.TensorType(index, graph))


@contextlib.contextmanager
def _load_errors_converted() -> Iterator[None]:
    try:
        yield
    except (ValueError, RuntimeError) as error:
        raise errors.FailedPreconditionError(
            "TFLite model must be one that LiteRT can interpret; got "
            f"{_text(error)}"
        ) from None


@contextlib.contextmanager
def _run_errors_converted() -> Iterator[None]:
    try:
        yield
    except MemoryError:
        raise errors.ResourceExhaustedError(
            "There is not enough memory for the tensors of this call."
        ) from None
    except (ValueError, RuntimeError) as error:
        raise errors.InvalidArgumentError(
            "inputs must have shapes and values that the TFLite model can "
            f"compute with; got others{_node(error)}"
        ) from None


def _node(error: Exception) -> str:
    """Returns where a run failed. The rest of the text may hold values."""
    nodes = _FAILED_NODE.findall(str(error))
    return f", at node {nodes[-1]}" if nodes else ""


def _text(error: Exception) -> str:
    return " ".join(str(error).split())[:_MAX_TEXT]
